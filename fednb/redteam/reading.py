"""How an attacker reads what crossed: tables, mocks, totals of heads."""

from __future__ import annotations

import io
import itertools
import secrets
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from fednb.privacy.egress import outputs_of
from fednb.privacy.tables import StatisticsLayout
from fednb.records.heads import CoxPlan
from fednb.records.messages import FetchMock, Publication
from fednb.records.specs import SplitSpec
from fednb.redteam.world import DATASET
from fednb.survival.protocol import design_of, replay
from fednb.survival.sums import LikelihoodSums

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.records.datasets import Column
    from fednb.records.heads import LogisticPlan
    from fednb.records.tasks import AnyPlan, StatisticsPlan
    from fednb.redteam.coordinator import HostileCoordinator

    Floats = NDArray[np.float64]


def cells(contract: Contract, plan: StatisticsPlan, vector: Floats) -> dict[Any, Any]:
    """Return the cells of a table by column and group."""
    return dict(StatisticsLayout.from_plan(plan, contract.columns).decode(vector))


def means(
    contract: Contract, plan: StatisticsPlan, vector: Floats | None
) -> dict[str, float]:
    """Return the mean of each number that a table shows."""
    if vector is None:
        return {}
    found = {}
    for column in contract.columns:
        cell = cells(contract, plan, vector).get((column.name, ""))
        if column.kind == "number" and cell is not None and cell.n > 0:
            span = column.upper - column.lower
            found[column.name] = column.lower + span * cell.total / cell.n
    return found


def steps(
    contract: Contract, plan: StatisticsPlan, vector: Floats, column: str
) -> list[tuple[float, float]]:
    """Return how many patients lie below each edge of the grid, as the table says."""
    cell = cells(contract, plan, vector)[column, ""]
    grid = next(c for c in contract.columns if c.name == column).grid()
    below = np.concatenate([[0.0], np.cumsum(cell.grid)])
    return list(zip(grid, below.tolist(), strict=True))


def isolated(found: list[tuple[float, float]], width: float) -> Floats:
    """Return the values between neighbouring edges that part exactly one patient.

    Parameters
    ----------
    found
        ``(edge, patients below it)``, of any number of answers.
    width
        Edges further apart pin nobody down.

    Returns
    -------
    claims
        Shape (claims, 1).
    """
    ordered = sorted(set(found))
    claims = [
        (low + high) / 2
        for (low, before), (high, after) in itertools.pairwise(ordered)
        if high - low <= width and abs(after - before - 1) < 1e-6
    ]
    return np.asarray(claims, dtype=np.float64).reshape(-1, 1)


def mock_tables(
    coordinator: HostileCoordinator, sites: tuple[str, ...]
) -> list[pd.DataFrame]:
    """Return the mock table of each site."""
    import pandas as pd

    found = []
    for site in sites:
        reply = coordinator.send(site, FetchMock(DATASET))
        if isinstance(reply, Publication):
            found.append(pd.read_csv(io.BytesIO(reply.bodies[0])))
    return found


def raw_sums(
    contract: Contract, plan: LogisticPlan, history: list[Floats]
) -> dict[str, Floats | float] | None:
    """Return sums of raw columns from a logistic head's totals at coefficients 0.

    At 0 every chance is one half, so the information is a quarter of the columns'
    cross products and the score gives their products with the outcome.

    Returns
    -------
    sums
        ``n``, ``positives``, and ``columns``: the sum of each column, shape (p,). None
        where the head did not get so far.
    """
    if len(history) < 2:
        return None
    design = design_of(
        plan,
        contract.columns,
        privacy=contract.privacy,
        parts=len(contract.participants),
    )
    state = replay(design, history[:1])
    names = state.names(design)
    sums = LikelihoodSums.from_vector(history[1], len(names))
    n = 4 * float(sums.information[-1, -1])
    scaled = 4 * sums.information[-1, :-1]
    if state.scale is None:
        return None
    columns = n * state.scale.mean + state.scale.std * scaled
    return {"n": n, "positives": float(sums.score[-1]) + n / 2, "columns": columns}


def fit_plan(**changes: object) -> CoxPlan:
    """Return a fit on everybody that no site has a reason to refuse."""
    fields = {
        "duration": "os_months",
        "event": "death",
        "covariates": ("age",),
        "split": SplitSpec(train=1.0, validation=0.0, test=0.0),
        "fit_on": "train",
        "evaluate_on": "none",
        **changes,
    }
    return CoxPlan(**fields)  # type: ignore[arg-type]


def changed(
    contract: Contract, plan: AnyPlan, columns: tuple[Column, ...] = ()
) -> Contract:
    """Return a contract for another plan: nobody but the sites looks at its times."""
    outputs = outputs_of(
        (plan,),
        parameters=contract.parameters,
        privacy=contract.privacy,
        sites=len(contract.participants),
        calls=contract.resources.calls if contract.standing else 1,
        vectors_of=lambda _spec, n: {"update": n},
    )
    nonce = secrets.token_hex(16)
    return msgspec.structs.replace(
        contract,
        steps=(plan,),
        outputs=outputs,
        nonce=nonce,
        columns=columns or contract.columns,
    )
