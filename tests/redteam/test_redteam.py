"""Every attack of the reference: fednb keeps its patients, its peers' rules do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fednb.redteam.main import SEED, catalogue
from fednb.redteam.outcome import FEDNB, Outcome, beyond, clopper_pearson, membership
from fednb.redteam.report import Finding, Report
from fednb.redteam.world import World

REFERENCE = {
    "averaging of fresh noise",
    "replay of a default seed",
    "differencing n and n - 1",
    "one non-missing value in a column",
    "dominance",
    "sliding bins",
    "label leakage",
    "risk-set differencing dS1/dS0",
    "gradient inversion of a small batch",
    "membership inference",
    "totals at chosen coefficients",
    "stepped baseline broadcast",
    "leave-one-site-out subtraction",
    "quantile bisection",
    "filters used as an oracle",
    "planted PHI in an exception message",
    "forged, replayed, expired or edited contract",
}


def _cases():
    # names are known without sites: an attack only touches them when it runs
    for place, attack in enumerate(catalogue(None)):
        name = f"{attack.name}-{attack.system}"
        yield pytest.param(place, attack.system, id=name)


BEYOND = {
    "counts of who has what, of n and n - 1",
    "difference of two assessments",
    "threshold sweep of a decision curve",
    "sliding bins of a calibration",
    "nested subgroups of an assessment",
    "assessment of one patient's score",
    "bisected exit times",
    "slid knots of a spline",
    "neighbouring grids",
    "products of a rare label",
}
"""What the reference does not list, made on fednb and on a peer's rule."""


@pytest.fixture(scope="module")
def world():
    with World(np.random.default_rng(SEED)) as made:
        yield made


@pytest.mark.parametrize(("place", "system"), list(_cases()))
def test_an_attack(world, place, system):
    attack = catalogue(world)[place]
    outcome = attack.run(np.random.default_rng([SEED, place]))
    assert outcome.tried > 0
    if system == FEDNB:
        assert outcome.recovered == 0, outcome
    else:
        assert outcome.recovered >= outcome.tried / 5, outcome


def test_the_catalogue_has_every_attack_of_the_reference():
    attacks = catalogue(None)
    on_fednb = {a.name for a in attacks if a.system == FEDNB}
    assert on_fednb >= REFERENCE | BEYOND
    assert {a.name for a in attacks if a.system != FEDNB} == REFERENCE | BEYOND


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # 1 - 0.025^(1/10), the closed form of no success
        (0, 10, 0.0, 1 - 0.025 ** (1 / 10)),
        (10, 10, 0.025 ** (1 / 10), 1.0),
        (5, 10, 0.187086, 0.812914),  # R: binom.test(5, 10)
    ],
)
def test_clopper_pearson_is_the_textbooks(successes, trials, low, high):
    assert clopper_pearson(successes, trials) == pytest.approx((low, high), abs=1e-5)


def test_what_a_stranger_would_match_as_well_is_not_recovered():
    truth = np.array([[0.0, 0.0], [1.0, 1.0], [5.0, 2.0]])
    claims = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert beyond(claims, truth, truth + 10) == 2
    assert beyond(claims, truth, truth) == 0


def test_members_are_counted_at_one_false_positive_in_a_hundred():
    strangers = np.linspace(0, 1, 1001)
    found = membership(np.full(50, 2.0), strangers)
    assert (found.recovered, found.tried, found.unit) == (50, 50, "members")
    nobody = membership(np.linspace(0, 1, 100), strangers)
    assert nobody.recovered == 0
    assert nobody.note == "true-positive rate 0.010 at 0.01"


def test_a_report_reads_in_text_html_and_json():
    hostile = "<script>alert(1)</script>\u202e"
    attack = catalogue(None)[0]
    breach = Finding.of(attack, Outcome(np.int64(2), 10, note=hostile))
    report = Report((breach,))
    assert report.breaches() == (breach,)
    words = report.to_text()
    assert "1 of 1 attacks succeeded: averaging of fresh noise (2 of 10)." in words
    assert "\u202e" not in words
    page = report.to_html()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    body = json.loads(report.to_json())
    assert body["findings"][0]["recovered"] == 2
    assert body["findings"][0]["high"] == pytest.approx(0.5561, abs=1e-4)
    clean = Report((Finding.of(attack, Outcome(0, 10)),))
    assert clean.verdict() == "fednb: nothing recovered in 1 attacks."
