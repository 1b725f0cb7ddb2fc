"""Whatever a job asks for, a site enforces its own profile or a stricter one."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from clinics import clinic
from counterparty import (
    approved,
    drafted,
    head_call,
    ledger,
    propose,
    query,
    released,
    send,
)
from demanded_plans import DECLARED, PLANS
from demands import (
    CAPS,
    HONEST,
    SITES,
    derived,
    jobs,
    on_paper,
    plain_job,
    policies,
)
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from fednb.embedded.federation import Federation
from fednb.errors import FednbError
from fednb.privacy.accountant import epsilon_of
from fednb.privacy.dp import steps_of
from fednb.privacy.pool import total
from fednb.privacy.profiles import PROFILES
from fednb.privacy.tables import DescribeLayout, LevelCell, StatisticsLayout
from fednb.records.arrays import unpack
from fednb.records.assessment import AssessmentPlan
from fednb.records.code import Code
from fednb.records.curves import SurvivalPlan
from fednb.records.messages import Call, Refusal, Release, State
from fednb.records.specs import SummedPlan
from fednb.records.tasks import (
    DescribePlan,
    StatisticsPlan,
    TrainingPlan,
    columns_of,
)
from fednb.site.policy import Policy, check_contract, read_policy
from fednb.survival.registry import analysis_of

if TYPE_CHECKING:
    from fednb.records.contracts import Contract

replace = msgspec.structs.replace
FEW = 6
"""Patients with a `marker`: below the threshold of both strict profiles."""

SEARCH = settings(
    derandomize=True,
    database=None,
    # what fails is told as it was found: to shrink it takes minutes
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
EXAMPLES = {
    "describe": 8,
    "statistics": 20,
    "cox": 30,
    "logistic": 25,
    "curves": 20,
    "assessment": 20,
    "training": 50,
}
COUNTS = {"standard": 10, "rare-disease": 3, "open": 1}
"""What every sum of rounded counts is a multiple of."""


def table(site: str):
    """Return a clinic with columns and cells that hold too few patients."""
    rows = clinic(site)
    rng = np.random.default_rng(len(rows) + ord(site))
    some = rng.permutation(len(rows))
    rows["marker"] = np.where(np.isin(rows.index, some[:FEW]), rng.uniform(0, 10), None)
    rows["mutation"] = np.isin(rows.index, some[:4]).astype(int)
    rows["grade"] = np.where(np.isin(rows.index, some[:8]), "3", "1")
    rows.loc[some[8:30], "grade"] = "2"
    return rows


@dataclass
class World:
    """Three sites whose owners wave everything through: the rules alone protect."""

    fed: Federation
    policy: Policy
    tables: dict
    base: Contract

    @property
    def profile(self):
        return PROFILES[self.policy.profile]


@pytest.fixture(scope="module", params=sorted(PROFILES))
def world(request, tmp_path_factory):
    tables = {site: table(site) for site in SITES}
    fed = Federation.from_frames(
        tables,
        dataset="clinic",
        columns=DECLARED,
        approve="auto",
        profile=request.param,
        folder=tmp_path_factory.mktemp(request.param),
    )
    with fed:
        for site in SITES:
            fed.owner(site).policy.set(**CAPS)
            home = fed._servers[site]._gatekeeper._home
            # how fast a disk syncs is not what is tested
            home.database.execute("PRAGMA synchronous=OFF")
        yield World(fed, read_policy(home), tables, drafted(fed, resources=HONEST))


# what is at least as strict


def assert_strict(contract, policy: Policy, *, weighed: bool = True) -> None:
    """Assert what a policy demands of a contract, by words of our own."""
    order = ["open", "rare-disease", "standard"]
    asked, own = contract.privacy, policy.profile
    assert order.index(asked.profile) >= order.index(own)
    assert asked.profile == "open" or asked.precision >= 0.1
    caps = contract.resources
    assert caps.seconds <= policy.max_seconds
    assert caps.gpu_gib <= policy.max_gpu_gib
    assert caps.message_bytes <= policy.max_message_bytes
    assert caps.calls <= policy.max_calls
    for plan in contract.steps:
        if isinstance(plan, TrainingPlan):
            assert plan.rounds <= policy.max_rounds
            assert plan.device in policy.devices
            assert not isinstance(plan.model, Code)
            assert plan.dp is not None or not policy.require_dp
            if plan.dp is not None:
                assert plan.dp.epsilon <= policy.max_epsilon
                assert plan.dp.delta <= policy.max_delta
                # on paper nobody has worked out yet what the noise costs
                spent = epsilon_of((steps_of(plan, plan.rounds),), plan.dp.delta)
                assert not weighed or spent <= plan.dp.epsilon * (1 + 1e-6)
    if asked.profile != "open":
        for output in contract.outputs:
            assert_hidden(output, contract, weighed=weighed)


def assert_hidden(output, contract, *, weighed: bool) -> None:
    """Assert that nothing of a single site's network or fit leaves in the clear."""
    plan, sites = contract.steps[output.step], len(contract.participants)
    if output.kind == "masked":
        assert sites >= 3
        if weighed and isinstance(plan, TrainingPlan) and plan.dp is None:
            heaviest = max(contract.weights)
            assert 1 - heaviest >= 0.1 * heaviest
    elif output.kind == "table":
        private = isinstance(plan, TrainingPlan) and plan.dp is not None
        assert isinstance(plan, DescribePlan | StatisticsPlan) or private
        assert not private or plan.validate_every == 0
    elif output.kind in {"weights", "sealed"}:
        relayed = plan.strategy.name == "cyclic" and sites >= 3
        assert plan.dp is not None or relayed
    else:
        assert output.kind == "receipt"


def assert_owners_grid(contract) -> None:
    own = {column.name: column for column in DECLARED}
    for column in contract.columns:
        mine = own[column.name]
        for name in ("kind", "lower", "upper", "step", "resolution"):
            assert getattr(column, name) == getattr(mine, name)


# what leaves


class Conversation:
    """One run of a contract by a coordinator that keeps to the protocol."""

    def __init__(self, world: World, contract) -> None:
        self.world, self.contract = world, contract
        self.plan = contract.steps[0]
        self.profile = PROFILES[contract.privacy.profile]
        self.run = secrets.token_hex(8)
        self.history: list[np.ndarray] = []

    def go(self) -> str:
        """Run all rounds; how it ended."""
        if not isinstance(self.plan, SummedPlan):
            return self.table()
        parts: tuple = ()
        try:
            analysis = analysis_of(self.plan, self.contract)
            for round_ in range(self.plan.most_rounds()):
                state = analysis.replay(self.history)
                if state.phase == "done":
                    return "done"
                parts = self.round(round_, parts)
                if not parts:
                    return "refused"
                assert {part.name for part in parts} == {state.phase}
                self.history.append(total(parts, self.contract.sites(), training=False))
                self.check(state, self.history[-1])
        except FednbError:
            # what the totals allow no more, no site would answer either
            return "stopped"
        return "done"

    def round(self, round_: int, parts: tuple) -> tuple:
        asks = {
            site: head_call(self.contract, site, self.run, round_, parts)
            for site in self.contract.sites()
        }
        return self.ask(asks)

    def table(self) -> str:
        asks = {
            site: query(self.world.fed, site, self.contract, self.plan, run=self.run)
            for site in self.contract.sites()
        }
        parts = self.ask(asks)
        if not parts:
            return "refused"
        whole = total(parts, self.contract.sites(), training=False)
        self.check_counts(whole)
        if parts[0].kind == "table":
            for part in parts:
                self.check_cells(part.site, unpack(part.data))
        return "done"

    def ask(self, asks: dict[str, Call]) -> tuple:
        found = []
        for site, ask in asks.items():
            reply = send(self.world.fed, site, ask)[1]
            if isinstance(reply, Refusal):
                return ()
            assert isinstance(reply, Release)
            for output in reply.outputs:
                self.check_named(output)
            found += reply.attested()
        return tuple(found)

    def check_named(self, output) -> None:
        (spec,) = [
            o
            for o in self.contract.outputs
            if (o.step, o.name) == (output.place.step, output.name)
        ]
        assert output.kind == spec.kind
        assert output.data.data.nbytes <= spec.bytes

    def check(self, state, vector: np.ndarray) -> None:
        """Assert that sums are no finer than counts and steps may be."""
        if self.profile.exact:
            return
        self.check_cohort()
        count = COUNTS[self.profile.name]
        step = self.contract.privacy.precision
        if isinstance(self.plan, AssessmentPlan):
            if state.phase == "risk":
                multiples(vector[:2], count)
                multiples(vector[4:], count)
            if state.phase == "slope":
                multiples(vector, step)
        elif isinstance(self.plan, SurvivalPlan):
            groups = analysis_of(self.plan, self.contract).shape[0]
            multiples(vector[:groups], count)
        elif state.phase == "moments":
            multiples(vector[:2], count)
        elif state.phase == "metrics":
            multiples(vector[:5], count)
            # no share of so many pairs varies more
            assert 0 <= vector[5] <= vector[4] ** 2 / 4e6
        else:
            multiples(vector, step)

    def check_cohort(self) -> None:
        """Assert that every site has the threshold of patients with all values."""
        for site in self.contract.sites():
            whole = self.world.tables[site][list(columns_of(self.plan))].notna()
            assert whole.all(axis=1).sum() >= self.world.profile.threshold

    def check_counts(self, whole: np.ndarray) -> None:
        if self.profile.exact:
            return
        counts = whole
        if isinstance(self.plan, DescribePlan):
            counts = DescribeLayout.from_plan(self.plan).decode(whole).counts
        elif isinstance(self.plan, StatisticsPlan):
            layout = StatisticsLayout.from_plan(self.plan, self.contract.columns)
            cells = layout.decode(whole).values()
            counts = np.concatenate(
                [c.counts if isinstance(c, LevelCell) else [c.n] for c in cells]
            )
        multiples(counts, COUNTS[self.profile.name])

    def check_cells(self, site: str, vector: np.ndarray) -> None:
        """Assert of a site's own table that every cell shown holds enough patients."""
        least = self.world.profile.threshold
        rows = self.world.tables[site]
        if isinstance(self.plan, DescribePlan):
            names = self.plan.columns
            cell = DescribeLayout.from_plan(self.plan).decode(np.asarray(vector))
            for name, n in zip(names, cell.counts[1:], strict=False):
                assert n == 0 or rows[name].notna().sum() >= least
            return
        layout = StatisticsLayout.from_plan(self.plan, self.contract.columns)
        for (name, group), cell in layout.decode(np.asarray(vector)).items():
            inside = rows[rows[self.plan.by].astype(str) == group] if group else rows
            if isinstance(cell, LevelCell):
                labels = next(c.levels for c in DECLARED if c.name == name) or "01"
                for label, n in zip(labels, cell.counts, strict=True):
                    true = (inside[name].astype(str) == label).sum()
                    assert n == 0 or true >= least
            elif cell.n > 0:
                assert inside[name].notna().sum() >= least
                self.check_bins(cell.grid, inside[name].to_numpy(dtype=float), name)

    def check_bins(self, shown: np.ndarray, values: np.ndarray, name: str) -> None:
        """Assert that the site's bins end where the threshold of patients lies."""
        if self.world.profile.exact:
            return
        (column,) = [c for c in DECLARED if c.name == name]
        edges = np.flatnonzero(np.diff(shown)) + 1
        true = np.histogram(values.clip(column.lower, column.upper), column.grid())[0]
        for inside in np.split(true, edges):
            assert inside.sum() in {0} or inside.sum() >= self.world.profile.threshold


def multiples(values, step: float) -> None:
    found = np.asarray(values, dtype=float) / step
    np.testing.assert_allclose(found, np.rint(found), atol=1e-4)


@settings(SEARCH, max_examples=150)
@given(st.data(), policies(), st.sampled_from(sorted(PLANS)))
def test_no_rule_can_be_loosened_by_a_job_on_paper(data, policy, kind):
    contract = data.draw(jobs(on_paper(), kind))
    outputs = derived(contract)
    if outputs and check_contract(policy, contract).allow:
        assert_strict(replace(contract, outputs=outputs), policy, weighed=False)


@pytest.mark.parametrize("kind", sorted(PLANS))
def test_no_rule_can_be_loosened_by_a_job(world: World, kind):
    """At real sites, over the wire; and the sites answered jobs of every kind."""
    met: Counter = Counter()

    @settings(SEARCH, max_examples=EXAMPLES[kind])
    @given(jobs(world.base, kind))
    @example(plain_job(world.base, kind))
    def hold(contract):
        replies = {s: propose(world.fed, s, contract)[1] for s in contract.sites()}
        taken = [s for s, r in replies.items() if isinstance(r, State)]
        if taken:
            assert_strict(contract, world.policy)
            assert_owners_grid(contract)
            assert contract.outputs == derived(contract)
        if taken != list(contract.sites()):
            met["not taken"] += 1
            return
        met["taken"] += 1
        if kind != "training":
            met[Conversation(world, contract).go()] += 1

    hold()
    assert met["taken"] > 0, met
    assert met["not taken"] > 0, met
    assert kind == "training" or met["done"] > 0, met


def test_no_rule_was_applied_at_a_threshold_below_the_sites_own(world: World):
    contract = approved(world.fed, drafted(world.fed, resources=HONEST))
    for site in SITES:
        released(world.fed, site, query(world.fed, site, contract))
        applied = [
            rule
            for entry in ledger(world.fed, site)
            for rule in entry.body.get("rules", ())
            if rule["rule"].startswith("disclosure.")
        ]
        assert applied
        assert min(r["threshold"] for r in applied) >= world.profile.threshold
