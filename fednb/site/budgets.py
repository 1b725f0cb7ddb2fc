"""Privacy budgets: what each requester has spent on each dataset's patients.

Every release of training under differential privacy is a charge: its noise, sampling
rate and steps. A charge is reserved when a call is admitted, becomes spent in the
transaction of the release, and is let go where nothing was released; a round that is
asked again gives the same answer and is charged once. Charges add up over contracts
and restarts, in an RDP accountant, to one epsilon a requester and dataset. The owner's
policy caps it (``max_epsilon`` at ``max_delta``); what would go beyond is refused.

A requester is a public key: two keys are two budgets, and who colludes shares the sum,
which the owner sees beside them. A dataset that is registered again under its name goes
on with its budgets; under another name it begins new ones, which is the owner's act.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fednb.errors import HomeError
from fednb.privacy.accountant import Steps, epsilon_of
from fednb.privacy.dp import steps_of
from fednb.records.arrays import hash_of
from fednb.records.outputs import Decision
from fednb.records.tasks import TrainingPlan
from fednb.site.verdicts import ALLOWED, deny

if TYPE_CHECKING:
    import sqlite3

    from fednb.records.contracts import Contract
    from fednb.site.home import Home
    from fednb.site.work import Work

RULE = "budget.epsilon"

_SAME = (
    "SELECT 1 FROM charges WHERE (contract, step, run, round, inputs) = "
    "(?, ?, ?, ?, ?) LIMIT 1"
)
_SPENT = (
    "SELECT noise_multiplier, sampling_rate, SUM(steps) FROM (SELECT DISTINCT contract,"
    " step, run, round, inputs, noise_multiplier, sampling_rate, steps FROM charges "
    "WHERE dataset = ? AND (requester = ? OR ? = '')) "
    "GROUP BY noise_multiplier, sampling_rate"
)
_INSERT = "INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)"


@dataclass(frozen=True)
class Budget:
    """What was spent of one budget.

    Attributes
    ----------
    dataset
        Name of the dataset.
    requester
        Public key, hexadecimal; empty: all requesters together.
    epsilon, delta
        What was spent or is reserved, at the owner's delta.
    releases
        Number of charged calls.
    """

    dataset: str
    requester: str
    epsilon: float
    delta: float
    releases: int


class Budgets:
    """The budgets of one home, as the one server keeps them.

    Reservations of a server that ended before it released are let go.

    Parameters
    ----------
    home
        Of the site.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        with home.transaction() as database:
            database.execute("DELETE FROM charges WHERE spent = 0")

    def reserve(
        self, work: Work, contract: Contract, most: float, delta: float
    ) -> Decision:
        """Reserve what a call would spend, or say that the budget does not hold it.

        The first round of a training must find room for all its rounds, so that none
        is spent on a run that cannot end.

        Parameters
        ----------
        work
            An admitted call.
        contract
            Names requester and dataset.
        most, delta
            The owner's cap: epsilon at delta.
        """
        plan = work.plan
        if not isinstance(plan, TrainingPlan) or plan.dp is None:
            return ALLOWED
        requester = identity(contract.requester_key)
        charge = steps_of(plan, 1)
        with self._home.transaction() as database:
            ahead = steps_of(plan, plan.rounds if work.round == 0 else 1)
            if database.execute(_SAME, _place(work)).fetchone():
                ahead = steps_of(plan, 0)
            before = _spent(database, contract.dataset, requester)
            after = epsilon_of([*before, ahead], delta)
            if after > most:
                spent = epsilon_of(before, delta)
                reason = (
                    f"{contract.requester!r} (key {requester[:12]}) has spent epsilon "
                    f"{spent:.3f} of {most:g} on {contract.dataset!r}, at delta "
                    f"{delta:g}; round {work.round} of this training needs "
                    f"{after:.3f}. Raise max_epsilon in policy.toml to allow it."
                )
                return deny(RULE, reason, "limit")
            row = (work.call, contract.dataset, requester, *_place(work))
            kind = (charge.noise_multiplier, charge.sampling_rate, charge.count)
            database.execute(_INSERT, (*row, *kind, time.time()))
        reason = f"Epsilon {after:.3f} of {most:g} at delta {delta:g}."
        return Decision(allow=True, rule=RULE, reason=reason, threshold=most)

    def let_go(self, work: Work) -> None:
        """Give back what a call reserved and did not spend."""
        if isinstance(work.plan, TrainingPlan) and work.plan.dp is not None:
            with self._home.transaction() as database:
                statement = "DELETE FROM charges WHERE call = ? AND spent = 0"
                database.execute(statement, (work.call,))


def spend(database: sqlite3.Connection, call: str) -> None:
    """Make a reserved charge a spent one, inside the transaction of its release.

    Parameters
    ----------
    database
        A connection inside ``home.transaction()``.
    call
        Id of the call.

    Raises
    ------
    HomeError
        Nothing was reserved: the release must not be.
    """
    statement = "UPDATE charges SET spent = 1 WHERE call = ?"
    if database.execute(statement, (call,)).rowcount != 1:
        message = f"Call {call} has no reserved privacy budget. Ask again."
        raise HomeError(message)


def budgets_of(home: Home, delta: float) -> tuple[Budget, ...]:
    """Return what was spent: a dataset's total, then each requester's part.

    Parameters
    ----------
    home
        Of the site; the server may run beside.
    delta
        At which epsilon is told.
    """
    database = home.database
    rows = database.execute(
        "SELECT dataset, requester, COUNT(*) FROM charges GROUP BY dataset, requester "
        "UNION ALL SELECT dataset, '', COUNT(*) FROM charges GROUP BY dataset "
        "ORDER BY 1, 2"
    ).fetchall()
    return tuple(
        Budget(name, key, epsilon_of(_spent(database, name, key), delta), delta, count)
        for name, key, count in rows
    )


def identity(key: str) -> str:
    """Return a public key in its one spelling: a capital begins no new budget."""
    return bytes.fromhex(key).hex()


def _spent(database: sqlite3.Connection, dataset: str, requester: str) -> list[Steps]:
    """Return spent and reserved steps; of all requesters where none is named."""
    rows = database.execute(_SPENT, (dataset, requester, requester)).fetchall()
    return [Steps(noise, rate, count) for noise, rate, count in rows]


def _place(work: Work) -> tuple[str, int, str, int, str]:
    """Return what a release answers, whatever the attempt."""
    place, began = work.place, hash_of(work.arrays)
    return (place.contract, place.step, place.run, place.round, began)
