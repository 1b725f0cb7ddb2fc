"""A site takes no edge of a requester's choice, whatever drew the contract up."""

from __future__ import annotations

import secrets

import pytest
from clinics import clinic
from counterparty import drafted, head_call, propose, refused, released, told
from demanded_plans import DECLARED, EVERYBODY
from demands import HONEST, SITES, contract_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fednb.embedded.federation import Federation
from fednb.privacy.profiles import PROFILES
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.base import canonical
from fednb.records.edges import edges_of
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.messages import Refusal, State
from fednb.records.outcomes import Survival
from fednb.records.tasks import TrainingPlan

GRIDS = {column.name: column.grid() for column in DECLARED if column.kind == "number"}
SEARCH = settings(
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)
MONTHS = GRIDS["os_months"][1:]


def ends(most: int):
    """Return ascending times, on the grid, near it, or anywhere."""
    on = st.sampled_from(MONTHS)
    near = st.builds(lambda t, d: t * (1 + d), on, st.sampled_from([-1e-13, 1e-9]))
    anywhere = st.floats(0.01, 190, allow_subnormal=False)
    one = st.one_of(on, on, on, on, near, anywhere)
    found = st.lists(one, min_size=1, max_size=most, unique=True)
    return found.map(lambda values: tuple(sorted(values)))


def cox(**fields):
    """Return a fit that no rule stops but that of its edges."""
    return CoxPlan(
        duration="os_months",
        event="death",
        evaluate_on="none",
        **{"covariates": ("age",), **EVERYBODY, **fields},
    )


PLANS = st.one_of(
    ends(3).map(lambda e: cox(grid=e)),
    ends(3).map(lambda e: cox(grid=e, strata=())),
    ends(3).map(lambda e: cox(time_varying={"age": e})),
    ends(3).map(
        lambda e: AssessmentPlan(
            FixedModel("cox", (0.05,), ("age",)), "os_months", "death", times=e
        )
    ),
    ends(3).map(
        lambda e: TrainingPlan(
            "small-cnn-3d", Survival("os_months", "death", intervals=e), device="cpu"
        )
    ),
    st.sampled_from([40, 45, 59.9, 60, 61]).map(
        lambda k: LogisticPlan(
            target="death",
            formula=f"ns(age, 30, {k:g})",
            evaluate_on="none",
            **EVERYBODY,
        )
    ),
)


def is_owners(plan) -> bool:
    """Whether every edge is one of the owners', by words of our own."""
    return all(
        value in GRIDS[edges.column]
        for edges in edges_of(plan)
        for value in edges.values
    )


@pytest.fixture(scope="module", params=sorted(PROFILES))
def fed(request, tmp_path_factory):
    tables = {site: clinic(site) for site in SITES}
    columns = [c for c in DECLARED if c.name in tables["a"]]
    with Federation.from_frames(
        tables,
        dataset="clinic",
        columns=columns,
        approve="auto",
        profile=request.param,
        folder=tmp_path_factory.mktemp(request.param),
    ) as made:
        yield made


def test_a_site_takes_edges_of_its_own_only(fed):
    base = drafted(fed, resources=HONEST)
    seen = set()

    @SEARCH
    @given(PLANS)
    def hold(plan):
        contract = contract_of(base, (plan,), SITES, base.privacy, HONEST)
        reply = propose(fed, "a", contract)[1]
        if base.privacy.profile == "open" or is_owners(plan):
            assert isinstance(reply, State), told(fed, "a", reply)
            seen.add("taken")
            return
        assert isinstance(reply, Refusal)
        assert reply.cause == "not-in-contract"
        assert "Outside the open profile" in told(fed, "a", reply)
        seen.add("refused")

    hold()
    assert seen == (
        {"taken"} if base.privacy.profile == "open" else {"taken", "refused"}
    )


def test_a_contract_that_was_approved_before_the_rule_is_not_run(fed):
    base = drafted(fed, resources=HONEST)
    if base.privacy.profile == "open":
        return
    for end, runs in ((60.0, True), (60.5, False)):
        contract = contract_of(base, (cox(grid=(end,)),), SITES, base.privacy, HONEST)
        signature = fed._scientist.sign(canonical(contract))
        approvals = fed._servers["a"]._gatekeeper._approvals
        approvals.file(contract, signature)
        approvals.decide(contract.hash(), "approved", "as if nobody had looked")
        ask = head_call(contract, "a", secrets.token_hex(8), 0)
        if runs:
            released(fed, "a", ask)
        else:
            assert "60.5 does not" in refused(fed, "a", ask, "not-in-contract")
