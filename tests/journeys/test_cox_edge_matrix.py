"""Rows that break a fit, with what may go with a fit, in the open and the standard
profile: a clear error or a finite answer, never a NaN and never numpy's traceback.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pooled_rows import split

from fednb.embedded.federation import Federation
from fednb.errors import FednbError
from fednb.records.assessment import FixedModel
from fednb.records.curves import SurvivalPlan
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan

SITES = ("north", "south", "west")
COLUMNS = (
    Column("time", "number", lower=0.0, upper=100.0, step=5.0),
    Column("event", "binary"),
    Column("age", "number", lower=18.0, upper=90.0, step=6.0),
    Column("sex", "binary"),
    Column("arm", "category", levels=("a", "b")),
    Column("weight", "number", lower=0.0, upper=3.0, step=0.5),
    Column("late", "number", lower=0.0, upper=100.0, step=5.0),
)
OPTIONS = {
    "plain": {},
    "weighted": {"weights": "weight", "entry": "late"},
    "net": {"penalizer": 0.05, "l1_ratio": 0.5, "strata": ("site", "arm")},
    "formula": {"covariates": (), "formula": "age * sex", "robust": True},
}


def patients(n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, sex = rng.uniform(30, 80, n).round(), rng.integers(0, 2, n)
    death = rng.exponential(30 * np.exp(-0.03 * (age - 55) - 0.4 * sex))
    censored = rng.uniform(5, 60, n)
    time = np.minimum(death, censored).round(1) + 0.1
    return pd.DataFrame(
        {
            "time": time,
            "event": (death <= censored).astype(int),
            "age": age,
            "sex": sex,
            "arm": rng.choice(["a", "b"], n),
            "weight": rng.uniform(0.5, 2, n).round(2),
            "late": np.where(rng.random(n) < 0.3, (0.3 * time).round(2), 0.0),
        }
    )


def separated(frames) -> None:
    for table in frames.values():
        table["sex"] = table["event"]


def collinear(frames) -> None:
    for table in frames.values():
        table["age"] = 50.0 + 10.0 * table["sex"]


def without_events(frames) -> None:
    frames["south"]["event"] = 0


def all_censored(frames) -> None:
    for table in frames.values():
        table["event"] = 0


def gaps(frames) -> None:
    for start, table in enumerate(frames.values()):
        for name in ("time", "age", "sex", "weight", "late"):
            table.loc[start : start + 20, name] = np.nan


def zeros(frames) -> None:
    for table in frames.values():
        table.loc[:12, ["time", "late"]] = 0.0


REFUSED = {
    "separated": ("The outcome is separated: the coefficients of 'sex'", {"net"}),
    "collinear": ("The information matrix is rank-deficient: ", {"net"}),
    "without_events": ("", set(OPTIONS)),
    "all_censored": ("The fit has 300 patients and 0 events over all sites", set()),
    "gaps": ("", set(OPTIONS)),
    # who enters when the follow-up ends is for the owner to correct
    "zeros": ("refused (data)", {"plain", "net", "formula"}),
}
"""By what is wrong: what the error says, and with which options there is none."""


def cox(**options: object) -> CoxPlan:
    chosen = {"covariates": ["age", "sex"], "fit_on": "all", "evaluate_on": "all"}
    return CoxPlan(**{**chosen, **options})


@pytest.mark.parametrize("profile", ["open", "standard"])
@pytest.mark.parametrize(
    "wrong", [separated, collinear, without_events, all_censored, gaps, zeros]
)
def test_every_fit_ends_in_numbers_or_in_words(wrong, profile):
    frames = split(patients(), *SITES)
    wrong(frames)
    says, fitted = REFUSED[wrong.__name__]
    with Federation.from_frames(
        frames, approve="auto", profile=profile, columns=COLUMNS
    ) as fed:

        def ask(plan):
            return fed.request(plan, purpose="edges").start().result()

        for name, options in OPTIONS.items():
            if name in fitted:
                result = ask(cox(**options))
                assert_finite(result)
            else:
                with pytest.raises(FednbError) as error:
                    ask(cox(**options))
                assert says in str(error.value), name
        curves = ask(SurvivalPlan("time", "event", range(5, 101, 5), by="sex"))
        assert np.isfinite(curves.to_frame().to_numpy()).all()
        assert 0 <= curves.log_rank_test().p_value <= 1
        model = FixedModel("cox", (-0.03, -0.4), ("age", "sex"))
        asked = {"duration": "time", "event": "event", "on": "all"}
        if wrong is all_censored:
            with pytest.raises(FednbError, match="300 patients and 0 events"):
                fed.evaluate(model, **asked)
            return
        report = fed.evaluate(model, **asked)
        for measure in report.performance.measures:
            # what has no figure says why
            assert np.isfinite(measure.value) or measure.note


def assert_finite(result) -> None:
    for values in (result.params_, result.standard_errors_, result.variance_matrix_):
        assert np.isfinite(values.to_numpy()).all()
    table = result.summary.drop(columns="-log2(p)")
    assert np.isfinite(table.to_numpy()).all()
    assert np.isfinite(result.log_likelihood_)
    assert 0 < result.concordance_index_ < 1
    assert 0 < result.concordance_index_se_ < 0.2


@pytest.mark.parametrize("unit", [1000.0, 1e-4])
def test_rounding_is_of_patients_whatever_they_weigh(unit):
    """Of weights of thousands a tenth would round nothing, of tiny ones everything."""
    tables = split(patients(), *SITES)
    found = []
    for by in (1.0, unit):
        frames = {s: t.assign(weight=t["weight"] * by) for s, t in tables.items()}
        heavy = Column("weight", "number", lower=0.0, upper=3.0 * by, step=0.5 * by)
        columns = (*COLUMNS[:5], heavy, COLUMNS[6])
        with Federation.from_frames(
            frames, approve="auto", profile="standard", columns=columns
        ) as fed:
            asked = cox(weights="weight", evaluate_on="none")
            found.append(fed.request(asked, purpose="weights").start().result())
    one, other = found
    np.testing.assert_allclose(one.params_, other.params_, rtol=1e-3)
    # how far each coefficient may have moved, in its own unit
    moved = [r.shifts_["rounding"] * r.standard_errors_ for r in found]
    np.testing.assert_allclose(*moved, rtol=0.01)
    assert one.precision_shift > 1e-3
