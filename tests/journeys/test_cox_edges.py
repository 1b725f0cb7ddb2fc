"""What a Cox head answers where there is little or nothing to fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from pooled_rows import split

from fednb.embedded.federation import Federation
from fednb.errors import DatasetError, FednbError, FitError, PlanError
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan
from fednb.records.specs import SplitSpec

SITES = ("north", "south", "west")
COLUMNS = (
    Column("time", "number", lower=0.0, upper=100.0),
    Column("event", "binary"),
    Column("age", "number", lower=18.0, upper=90.0),
    Column("sex", "binary"),
    Column("arm", "category", levels=("a", "b")),
)


def patients(n: int = 240, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, sex = rng.uniform(30, 80, n).round(), rng.integers(0, 2, n)
    death = rng.exponential(30 * np.exp(-0.03 * (age - 55) - 0.4 * sex))
    censored = rng.uniform(5, 60, n)
    return pd.DataFrame(
        {
            "time": np.minimum(death, censored).round(1),
            "event": (death <= censored).astype(int),
            "age": age,
            "sex": sex,
            "arm": rng.choice(["a", "b"], n),
        }
    )


def federate(frames, profile="open") -> Federation:
    return Federation.from_frames(
        frames, approve="auto", profile=profile, columns=COLUMNS
    )


def plan(**options: object) -> CoxPlan:
    chosen = {
        "covariates": ["age", "sex"],
        "split": SplitSpec(1, 0, 0),
        "fit_on": "train",
        "evaluate_on": "none",
        **options,
    }
    return CoxPlan(**chosen)


def fit(fed: Federation, asked: CoxPlan):
    return fed.request(asked, purpose="edges").start().result()


def lifelines(frames) -> CoxPHFitter:
    rows = pd.concat([f.assign(site=s) for s, f in frames.items()])
    used = ["time", "event", "age", "sex", "site"]
    return CoxPHFitter().fit(
        rows[used].dropna(),
        "time",
        "event",
        strata="site",
        fit_options={"precision": 1e-12},
    )


def assert_same(ours, theirs) -> None:
    np.testing.assert_allclose(ours.params_, theirs.params_, atol=1e-6)
    np.testing.assert_allclose(
        ours.standard_errors_, theirs.standard_errors_, atol=1e-6
    )


def test_a_site_without_events_missing_values_and_times_of_zero_count_as_they_should():
    frames = split(patients(), *SITES)
    frames["south"]["event"] = 0
    frames["west"].loc[:5, "age"] = np.nan
    frames["north"].loc[:3, "time"] = 0.0
    with federate(frames) as fed:
        ours = fit(fed, plan())
    assert ours.estimate.n == 240 - 6
    assert_same(ours, lifelines(frames))


def test_one_site_alone_fits_in_the_open_only():
    frames = split(patients(), "lone")
    with federate(frames) as fed:
        assert_same(fit(fed, plan()), lifelines(frames))
    with federate(frames, "standard") as fed, pytest.raises(PlanError, match="secure"):
        fed.request(plan(), purpose="edges")


def test_nothing_to_fit_is_said_so():
    table = patients()
    censored = federate(split(table.assign(event=0), *SITES))
    with censored, pytest.raises(FitError, match=r"has 240 patients and 0 events"):
        fit(censored, plan())
    with federate(split(table.assign(sex=1, arm="a"), *SITES)) as fed:
        with pytest.raises(FitError, match=r"Constant over all sites: 'sex'"):
            fit(fed, plan())
        with pytest.raises(FitError, match=r"Constant over all sites: 'arm\[T.b\]'"):
            fit(fed, plan(covariates=["arm"]))
        with pytest.raises(FitError, match=r"rank-deficient: .*'age:sex'"):
            fit(fed, plan(formula="age + age:sex", covariates=()))
        with pytest.raises(FitError, match=r"^No event lies on the grid"):
            fit(fed, plan(covariates=["age"], strata="none", grid=[1e-3]))


def test_a_separated_label_is_named():
    table = patients()
    table["arm"] = np.where(table["event"] == 1, "b", "a")
    fed = federate(split(table, *SITES))
    with fed, pytest.raises(FitError, match=r"separated.*'arm\[T.b\]'"):
        fit(fed, plan(covariates=["arm"]))


@pytest.mark.parametrize(("column", "value"), [("time", -1.0)])
def test_times_that_cannot_be_are_for_the_owner_to_correct(column, value):
    frames = split(patients(), *SITES)
    frames["south"].loc[0, column] = value
    with pytest.raises(FednbError) as error, federate(frames) as fed:
        fit(fed, plan())
    text = str(error.value)
    assert "south" in text or "time" in text
    assert "-1" not in text or isinstance(error.value, DatasetError)


def test_a_patient_is_listed_once():
    frames = split(patients().assign(patient_id=[f"p{i}" for i in range(240)]), *SITES)
    frames["west"].loc[1, "patient_id"] = frames["west"].loc[0, "patient_id"]
    with pytest.raises(DatasetError, match="patient"):
        federate(frames)


def test_the_standard_profile_states_what_rounding_and_intervals_moved():
    frames = split(patients(900, 1), *SITES)
    with federate(frames, "standard") as fed:
        ours = fit(fed, plan(strata="none", grid=[10, 20, 30, 60]))
        assert set(ours.shifts_.columns) == {"rounding", "errors", "intervals"}
        # columns that differ have the errors that they would have had
        assert ours.shifts_["errors"].max() < 0.01
        assert (ours.shifts_["rounding"] > 0).all()
        assert ours.shifts_["rounding"].max() < 0.5
        assert np.isfinite(ours.shifts_.to_numpy()).all()
        assert ours.baseline_cumulative_hazard_.shape == (4, 1)
        assert (ours.baseline_survival_.diff().dropna() < 0).all().all()
    theirs = lifelines(frames)
    apart = (ours.params_ - theirs.params_) / theirs.standard_errors_
    assert np.abs(apart).max() < 1.0


def test_columns_much_alike_have_wider_errors_or_are_said_to_be_alike():
    """Splines and their products: rounding moves what little each has of its own."""
    frames = split(patients(300, 1), *SITES)
    columns = (*COLUMNS[:2], Column("age", "number", lower=18.0, upper=90.0, step=6.0))
    errors = {}
    asked = plan(covariates=(), formula="ns(age, 42, 60)")
    for profile in ("open", "standard"):
        with Federation.from_frames(
            {s: f[["time", "event", "age"]] for s, f in frames.items()},
            approve="auto",
            profile=profile,
            columns=columns,
        ) as fed:
            ours = fit(fed, asked)
            errors[profile] = ours.standard_errors_
            told = ours.shifts_["errors"].max()
            assert (told > 0.1) == ("errors, by rounding" in repr(ours))
            assert (told > 0.1) == (profile == "standard")
            if profile == "standard":
                with pytest.raises(FitError, match="rounding of the totals hides"):
                    fit(fed, plan(covariates=(), formula="bs(age, 42, 48, 54, 60, 66)"))
    assert (errors["standard"] > errors["open"]).all()
    assert (errors["standard"] < 2 * errors["open"]).all()


def test_intervals_with_few_exits_stay_at_the_site():
    frames = split(patients(300, 1), *SITES)
    with federate(frames, "standard") as fed:
        with pytest.raises(FednbError, match="disclosure"):
            fit(fed, plan(strata="none", grid=[0.5, 20, 30, 60]))
        with pytest.raises(FednbError, match="disclosure"):
            fit(fed, plan(grid=[0.5, 20, 30, 60]))


def test_a_column_that_answers_to_one_patient_is_not_fitted():
    """One value far from all others: the score would be that patient's own."""
    frames = split(patients().assign(age=50.0), *SITES)
    frames["south"].loc[0, "age"] = 90.0
    with federate(frames, "standard") as fed:
        with pytest.raises(FednbError):
            fit(fed, plan(covariates=["age"]))
        refusals = [
            entry.reason
            for entry in fed.owner("south").ledger.entries
            if entry.kind == "refusal"
        ]
        assert any("A patient's leverage is at least" in told for told in refusals)
        # the others know nothing of it, and were asked for nothing more
        assert not any(e.kind == "refusal" for e in fed.owner("west").ledger.entries)
