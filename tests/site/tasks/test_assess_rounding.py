"""Of an assessment outside the open profile only rounded numbers leave a site."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from assessed import MODEL, assess, patients

from fednb.privacy.profiles import STANDARD
from fednb.records.assessment import AssessmentPlan, FixedModel

PLAN = AssessmentPlan(MODEL, duration="time", event="event")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    tables = patients(5, (83, 86, 91))
    return assess(PLAN, tables, tmp_path_factory.mktemp("standard"), "standard")


@pytest.fixture(params=range(3))
def blocks(found, request):
    """What one site sends in the first three rounds."""
    names = ("risk", "joint", "weighted")
    return {
        name: found.design.layout(name).split(parts[request.param])
        for name, parts in zip(names, found.parts, strict=False)
    }


def are_multiples(values, step: float) -> None:
    units = np.asarray(values) / step
    np.testing.assert_allclose(units, np.rint(units), atol=1e-6)


def test_where_the_bins_lie_is_told_in_two_decimals(blocks):
    n, events, total, squares = blocks["risk"]["spread"]
    are_multiples([n, events], 10)
    mean = total / n
    are_multiples([mean, np.sqrt(squares / n - mean**2)], 0.01)
    are_multiples(blocks["risk"]["missing"], 10)


def test_pairs_leave_in_tens_and_their_spread_to_a_tenth(found, blocks):
    of_kinds = [blocks["joint"]["pairs"], *blocks["weighted"]["pairs"]]
    for vector in np.array(of_kinds):
        spread = vector[2] * found.state.n**2
        # of pairs that are all in order there is none
        are_multiples(np.log(spread) if spread else 0.0, 0.2)
        are_multiples(vector[:2] * found.state.n, 10)


def test_pairs_of_all_kinds_leave_in_tens(found, blocks):
    for name in ("cross", "same", "close"):
        are_multiples(blocks["weighted"][name] * found.state.n, 10)


def test_sums_of_hazards_leave_in_tenths(blocks):
    # between merged places what is shown is linear: the first is a place by itself
    are_multiples(blocks["joint"]["hazards"][0], 0.1)
    are_multiples(blocks["weighted"]["expected"], 0.1)
    for predicted in blocks["weighted"]["predicted"]:
        are_multiples(predicted.sum(), 0.1)


def test_a_site_of_few_deaths_tells_no_pairs_and_no_estimate(tmp_path):
    tables = patients(5, (80, 80, 80))
    died = np.flatnonzero(tables[1]["event"])
    few = STANDARD.threshold - 1
    tables[1].loc[died[few:], "event"] = 0
    found = assess(PLAN, tables, tmp_path, "standard")
    first, second, _ = (
        found.design.layout("joint").split(part) for part in found.parts[1]
    )
    for name in ("pairs", "effects"):
        assert first[name].any()
        assert not second[name].any()


def test_no_sum_of_hazards_is_one_patient_s(tmp_path):
    """Even where no column and no score stands out by itself."""
    tables = patients(8, (60, 60, 60))
    for table in tables:
        table["x"] = np.linspace(-1, 1, 60)
    tables[0].loc[0, "x"] = 2.5
    steep = (4.0, 0.0)
    model = FixedModel("cox", steep, ("x", "z"))
    with pytest.raises(AssertionError, match=r"disclosure\.6-dominance"):
        assess(msgspec.structs.replace(PLAN, model=model), tables, tmp_path, "standard")
    # a classifier sums no hazards: there the same scores pass
    scores = FixedModel("logistic", steep, ("x", "z"))
    assess(AssessmentPlan(scores, target="y"), tables, tmp_path, "standard")
