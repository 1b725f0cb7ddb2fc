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
from fednb.records.heads import LogisticPlan
from fednb.records.specs import SplitSpec
from fednb.site.keys import SiteKeys

SITES = ("a", "b", "c")


def plan(share: float = 1.0, **changes) -> LogisticPlan:
    split = SplitSpec(train=share, validation=0.0, test=1 - share)
    fields = {"target": "death", "covariates": ("age",), "split": split}
    fields |= {"fit_on": "train", "evaluate_on": "none", **changes}
    return LogisticPlan(**fields)


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
        "2 of 2 distinct fits of this outcome were made; raise max_fits in policy.toml"
    )
    # another outcome has a budget of its own
    fit(fed, plan(target="idh"), rounds=1)
    fed.owner("a").policy.set(max_fits=3)
    fit(fed, plan(penalizer=0.2), rounds=1)


def test_a_fit_that_was_not_released_is_not_counted(fed):
    fed.owner("a").policy.set(max_fits=1)
    reason = refused(fed, "a", first_call(fed, plan(0.15)), "disclosure")
    assert reason == "9 patients with complete values; the threshold is 10."
    fit(fed, plan(), rounds=1)


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
