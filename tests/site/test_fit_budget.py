"""Fits over real sites: near cohorts, repeats, and a budget that nobody resets."""

from __future__ import annotations

import secrets

import msgspec
import numpy as np
import pytest
from clinics import COLUMNS, clinic, federate
from counterparty import approved, drafted, head_call, head_round, refused, released

from fednb.coordinator.contracting import Scientist
from fednb.embedded.federation import Federation
from fednb.privacy.fixed_point import totals
from fednb.privacy.pool import total
from fednb.privacy.secure_sum import MaskContext, mask
from fednb.records.arrays import pack
from fednb.records.curves import SurvivalPlan
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import SplitSpec
from fednb.site.keys import SiteKeys

SITES = ("a", "b", "c")


def plan(share: float = 1.0, **changes) -> LogisticPlan:
    split = SplitSpec(train=share, validation=0.0, test=1 - share)
    fields = {"target": "death", "covariates": ("age",), "split": split}
    fields |= {"fit_on": "train", "evaluate_on": "none", **changes}
    return LogisticPlan(**fields)


def cox(**changes) -> CoxPlan:
    whole = SplitSpec(train=1.0, validation=0.0, test=0.0)
    fields = {"covariates": ("age",), "duration": "os_months", "event": "death"}
    fields |= {"split": whole, "fit_on": "train", "evaluate_on": "none", **changes}
    return CoxPlan(**fields)


def fit(fed: Federation, asked: LogisticPlan, rounds: int = 3, **terms) -> list:
    """Return the totals of a fit's first rounds."""
    contract = approved(fed, drafted(fed, asked, **terms))
    run = secrets.token_hex(8)
    parts, found = (), []
    for round_ in range(rounds):
        parts = head_round(fed, contract, run, round_, parts)
        found.append(total(parts, contract.sites(), training=False).tobytes())
    return found


def first_call(fed: Federation, asked: LogisticPlan, **terms):
    contract = approved(fed, drafted(fed, asked, **terms))
    return head_call(contract, "a", secrets.token_hex(8), 0)


@pytest.fixture
def fed(tmp_path):
    with federate(tmp_path, approve="auto") as made:
        yield made


def test_a_cohort_with_one_patient_more_brings_the_same_totals(fed):
    # 0.8 of 60 patients are 48, and 0.815 are 49
    assert fit(fed, plan(0.8)) == fit(fed, plan(0.815))
    assert fit(fed, plan(0.5)) != fit(fed, plan(0.8))


def test_neither_another_requester_nor_a_restart_changes_that(tmp_path):
    with federate(tmp_path, approve="auto") as fed:
        before = fit(fed, plan(0.8))
    homes = {site: tmp_path / site for site in SITES}
    with Federation(homes, tmp_path / "coordinator") as fed:
        fed._scientist = Scientist(tmp_path, "a colleague")
        assert fit(fed, plan(0.815)) == before


def test_a_missing_value_in_another_covariate_stops_the_fit(tmp_path):
    tables = {site: clinic(site) for site in SITES}
    tables["a"]["idh"] = tables["a"]["idh"].astype(float)
    tables["a"].loc[7, "idh"] = np.nan
    options = {"dataset": "clinic", "columns": COLUMNS, "folder": tmp_path}
    with Federation.from_frames(tables, approve="auto", **options) as fed:
        fit(fed, plan())
        wider = first_call(fed, plan(covariates=("age", "idh")))
        reason = refused(fed, "a", wider, "disclosure")
    assert reason == (
        "An earlier cohort of a fit differs by 1 patients, and some of its patients "
        "lack a value or are gone: the difference would show them."
    )


def test_variants_draw_on_one_budget_and_repeats_do_not(fed, tmp_path):
    fed.owner("a").policy.set(max_fits=2)
    for penalizer in (0.0, 0.1, 0.0, 0.1):
        fit(fed, plan(penalizer=penalizer), rounds=1)
    fed._scientist = Scientist(tmp_path, "a colleague")
    reason = refused(fed, "a", first_call(fed, plan(penalizer=0.2)), "disclosure")
    assert reason == (
        "2 of 2 distinct fits of this outcome were asked for; raise max_fits in "
        "policy.toml"
    )
    # another outcome has a budget of its own
    fit(fed, plan(target="idh"), rounds=1)
    fed.owner("a").policy.set(max_fits=3)
    fit(fed, plan(penalizer=0.2), rounds=1)


def test_a_fit_that_is_refused_is_counted_once(fed):
    """Whether it is refused tells of its patients: nobody asks that without end."""
    fed.owner("a").policy.set(max_fits=2)
    for _ in range(3):
        reason = refused(fed, "a", first_call(fed, plan(0.15)), "disclosure")
        assert reason == "9 patients with complete values; the threshold is 10."
    # another fit under the run's old name is another fit
    ask = first_call(fed, plan(0.13))
    assert "8 patients" in refused(fed, "a", ask, "disclosure")
    spent = "2 of 2 distinct fits of this outcome were asked for"
    assert spent in refused(fed, "a", first_call(fed, plan()), "disclosure")
    # what the budget does not hold is not looked at, and costs nothing more
    assert spent in refused(fed, "a", first_call(fed, plan(0.12)), "disclosure")
    fed.owner("a").policy.set(max_fits=3)
    fit(fed, plan(), rounds=1)


def test_fits_refused_under_one_runs_name_are_counted_each(fed):
    fed.owner("a").policy.set(max_fits=2)
    for share in (0.15, 0.13):
        contract = approved(fed, drafted(fed, plan(share)))
        refused(fed, "a", head_call(contract, "a", "always the same", 0), "disclosure")
    spent = "2 of 2 distinct fits"
    assert spent in refused(fed, "a", first_call(fed, plan()), "disclosure")


def test_a_fit_that_an_error_stops_is_counted(tmp_path):
    tables = {site: clinic(site) for site in SITES}
    tables["a"]["late"] = tables["a"]["os_months"] / 2
    tables["b"]["late"] = tables["c"]["late"] = tables["a"]["late"]
    tables["a"].loc[7, "late"] = tables["a"].loc[7, "os_months"] + 1
    columns = (*COLUMNS, Column("late", "number", upper=200.0, step=10.0))
    options = {"dataset": "clinic", "columns": columns, "folder": tmp_path}
    with Federation.from_frames(tables, approve="auto", **options) as fed:
        fed.owner("a").policy.set(max_fits=1)
        entered = cox(entry="late")
        why = refused(fed, "a", first_call(fed, entered), "data")
        assert "1 patients enter at or after their exit" in why
        spent = "1 of 1 distinct fits"
        assert spent in refused(fed, "a", first_call(fed, cox()), "disclosure")


@pytest.mark.parametrize("site", ["a", "b"])
def test_an_error_tells_nothing_of_fewer_than_the_threshold(tmp_path, site):
    """At site a one of six patients enters too late, at site b none does."""
    tables = {site: clinic(site) for site in SITES}
    for table in tables.values():
        table["late"] = table["os_months"].where(table.index < 6) / 2
    tables["a"].loc[3, "late"] = tables["a"].loc[3, "os_months"] + 1
    columns = (*COLUMNS, Column("late", "number", upper=200.0, step=10.0))
    options = {"dataset": "clinic", "columns": columns, "folder": tmp_path}
    curves = SurvivalPlan("os_months", "death", (50, 100), entry="late")
    with Federation.from_frames(tables, approve="auto", **options) as fed:
        for asked in (cox(entry="late"), curves):
            contract = approved(fed, drafted(fed, asked))
            ask = head_call(contract, site, secrets.token_hex(8), 0)
            refused(fed, site, ask, "disclosure")


def test_labels_that_a_plan_leaves_out_make_another_cohort(tmp_path):
    """Three fits on all but the one patient whose label is rare are one cohort."""
    tables = {site: clinic(site, 80) for site in SITES}
    tables["a"].loc[7, "sex"] = "X"
    sex = Column("sex", "category", levels=("F", "M", "X"))
    columns = tuple(sex if c.name == "sex" else c for c in COLUMNS)
    options = {"dataset": "clinic", "columns": columns, "folder": tmp_path}
    with Federation.from_frames(tables, approve="auto", **options) as fed:
        without = plan(covariates=("age", "sex"), levels={"sex": ("F", "M")})
        one = np.frombuffer(fit(fed, without, rounds=2)[1])
        # the reference has no column whose patients would be counted
        more = plan(covariates=("age", "sex"), levels={"sex": ("X", "F", "M")})
        contract = approved(fed, drafted(fed, more))
        run = secrets.token_hex(8)
        parts = head_round(fed, contract, run, 0)
        other = np.frombuffer(fit(fed, without, rounds=2)[1])
        np.testing.assert_array_equal(one, other)
        n, _, age = total(parts, SITES, training=False)[:3]
        first = np.frombuffer(fit(fed, without, rounds=1)[0])
        assert (n, age) == (first[0], first[2])


def test_the_same_fit_cannot_be_led_another_way(fed, tmp_path):
    """Sites b and c, colluding, answer a repeat otherwise: a's totals stay hidden."""
    fit(fed, plan())
    contract = approved(fed, drafted(fed, plan()))
    run = secrets.token_hex(8)
    honest = head_round(fed, contract, run, 0)
    forged = tuple(
        part if part.site == "a" else _reported(tmp_path, contract, part)
        for part in honest
    )
    reason = refused(fed, "a", head_call(contract, "a", run, 1, forged), "replayed")
    assert reason.endswith("made the same fit, and its totals were others.")
    released(fed, "a", head_call(contract, "a", run, 1, honest))


def _reported(folder, contract, part):
    """Return a site's part with made-up moments, rightly masked and signed."""
    keys = SiteKeys(folder / part.site / "keys")
    context = MaskContext(part.place, part.name, contract.participants)
    ring = totals(3).encode(np.array([50.0, 20.0, 1.0, 30.0]))
    data = pack(mask(ring, part.site, keys.agreement, context))
    unsigned = msgspec.structs.replace(part, data=data)
    attestation = keys.attest(part.attestation.head.hex(), (unsigned.leaf(),))
    return msgspec.structs.replace(unsigned, attestation=attestation)


def test_one_site_cannot_be_subtracted_from_two_fits(tmp_path):
    with federate(tmp_path, "a", "b", "c", "d", approve="auto") as fed:
        fit(fed, plan(), rounds=1)
        three = first_call(fed, plan(penalizer=0.1), sites=["a", "b", "c"])
        reason = refused(fed, "a", three, "participants")
    assert "differs by d alone" in reason


def test_two_grids_do_not_part_a_few(fed):
    """On the owners' grid, each by itself allowed: their difference would be a few."""
    times = {site: np.sort(clinic(site)["os_months"]) for site in SITES}
    assert all((t <= 20).sum() >= 10 for t in times.values())
    few = next(
        end
        for end in range(60, 190, 10)
        if any(0 < ((t > end) & (t <= end + 10)).sum() < 10 for t in times.values())
    )
    ask = {"strata": (), "fit_on": "train"}
    fit(fed, cox(grid=(20, few), **ask), rounds=1)
    site = next(
        s for s, t in times.items() if 0 < ((t > few) & (t <= few + 10)).sum() < 10
    )
    contract = approved(fed, drafted(fed, cox(grid=(20, few + 10), **ask)))
    call = head_call(contract, site, secrets.token_hex(8), 0)
    reason = refused(fed, site, call, "disclosure")
    assert "patients leave between two ends of this fit and of earlier ones" in reason
    # times at which effects change are ends, too
    steps = cox(time_varying={"age": (few + 10,)})
    contract = approved(fed, drafted(fed, steps))
    refused(fed, site, head_call(contract, site, secrets.token_hex(8), 0), "disclosure")
    fit(fed, cox(grid=(20, few), penalizer=0.1, **ask), rounds=1)
