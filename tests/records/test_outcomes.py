from __future__ import annotations

import math

import msgspec
import pytest

from fednb.errors import PlanError
from fednb.records.base import canonical
from fednb.records.datasets import Column
from fednb.records.outcomes import Survival, settle_target
from fednb.records.tasks import AnyPlan, TrainingPlan, columns_of

MONTHS = Column("os", "number", "months", lower=0.0, upper=24.0, step=6.0)
DEATH = Column("death", "binary")


def test_a_plan_with_survival_is_read_as_it_was_written():
    target = Survival("os", "death", intervals=(3, 6))
    plan = TrainingPlan(model="small-cnn-3d", target=target, covariates=("age",))
    assert target.intervals == (3.0, 6.0)
    read = msgspec.json.decode(canonical(plan), type=AnyPlan)
    assert read == plan
    assert columns_of(read) == ("os", "death", "age")
    assert str(read.target) == "survival (os, death)"
    assert read.network.params == {}


def test_discrete_time_has_a_baseline_in_the_network():
    target = Survival("os", "death", loss="discrete-time", intervals=(3, 6, 9))
    plan = TrainingPlan(model="small-cnn-3d", target=target)
    assert plan.network.params == {"intervals": 3}


@pytest.mark.parametrize(
    "intervals",
    [(6.0, 3.0), (3.0, 3.0), (0.0, 3.0), (-1.0,), (1.0, math.inf), tuple(range(1, 63))],
)
def test_intervals_increase_from_above_zero(intervals):
    with pytest.raises(PlanError, match=r"^intervals must be at most 60 increasing"):
        Survival("os", "death", intervals=intervals)


def test_the_partial_likelihood_of_sites_has_no_intervals():
    with pytest.raises(PlanError) as error:
        Survival("os", "death", loss="partial-likelihood", intervals=(3.0,))
    assert str(error.value) == (
        "The partial likelihood of each site needs no intervals: leave them out, or "
        "use loss='deep-cox'."
    )
    plain = Survival("os", "death", loss="partial-likelihood")
    assert settle_target(plain, (MONTHS, DEATH)) is plain


def test_intervals_left_open_are_the_owners_grid():
    settled = settle_target(Survival("os", "death"), (MONTHS, DEATH))
    assert settled.intervals == (6.0, 12.0, 18.0, 24.0)
    named = Survival("os", "death", intervals=(3.0,))
    assert settle_target(named, (MONTHS, DEATH)) is named
    fine = msgspec.structs.replace(MONTHS, step=0.1)
    many = settle_target(Survival("os", "death"), (fine, DEATH)).intervals
    assert len(many) <= 60
    assert many[-1] == pytest.approx(24.0)
    assert settle_target("death", (DEATH,)) == "death"


def test_a_column_of_another_kind_is_refused():
    wrong = [
        ("death", (MONTHS,), "The target must be binary (0 and 1); 'os' is number."),
        (
            Survival("death", "death"),
            (DEATH, DEATH),
            "The duration must be a number; 'death' is binary.",
        ),
        (
            Survival("os", "os"),
            (MONTHS, MONTHS),
            "The event must be binary (0 and 1); 'os' is number.",
        ),
        (
            Survival("os", "death"),
            (msgspec.structs.replace(MONTHS, step=48.0), DEATH),
            "Column 'os' has no grid from which intervals could be made; name them: "
            "intervals=(...).",
        ),
    ]
    for target, columns, words in wrong:
        with pytest.raises(PlanError) as error:
            settle_target(target, columns)
        assert str(error.value) == words
