"""Effects that change with time over sites, against lifelines on split episodes."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_gbsg2, load_rossi
from matplotlib import pyplot as plt
from pooled_rows import split

from fednb.embedded.federation import Federation
from fednb.errors import InputError, PlanError, RefusedError, UnknownNameError
from fednb.records.heads import CoxPlan
from fednb.records.specs import SplitSpec

EXACT = {"precision": 1e-13}
SITES = ("north", "south", "west")
WHOLE = {"split": SplitSpec(train=1.0, validation=0.0, test=0.0), "fit_on": "train"}


@pytest.fixture(scope="module")
def prison():
    rng = np.random.default_rng(2)
    frame = load_rossi()
    frame["weight"] = 1 + np.arange(len(frame)) % 3
    frame["late"] = np.where(rng.random(len(frame)) < 0.3, frame["week"] * 0.5, 0.0)
    yield from _federation(frame, "open")


@pytest.fixture(scope="module")
def breast():
    yield from _federation(load_gbsg2(), "standard")


def _federation(frame: pd.DataFrame, profile: str):
    frames = split(frame, *SITES)
    with Federation.from_frames(frames, approve="auto", profile=profile) as fed:
        parts = [f.assign(site=s) for s, f in frames.items()]
        yield fed, pd.concat(parts, ignore_index=True)


def fit(fed: Federation, plan: CoxPlan):
    return fed.request(plan, purpose="parity").start().result()


def cox(**options: object) -> CoxPlan:
    return CoxPlan(**{"duration": "week", "event": "arrest", **WHOLE, **options})


def episodes(rows, varying, duration="week", event="arrest", entry=None):
    """Split rows at all cuts; a column for each of a covariate's intervals."""
    begins = rows[entry] if entry else pd.Series(-1.0, rows.index)
    cuts = sorted({cut for cuts in varying.values() for cut in cuts})
    found = []
    for low, high in zip([-1.0, *cuts], [*cuts, np.inf], strict=True):
        inside = (rows[duration] > low) & (begins < high)
        part = rows[inside].assign(
            start=np.maximum(begins[inside], low),
            stop=np.minimum(rows[duration][inside], high),
            died=rows[event][inside] * (rows[duration][inside] <= high),
        )
        for name, times in varying.items():
            for a, b in zip([0.0, *times], [*times, np.inf], strict=True):
                text = f"{a:g}-{b:g}" if np.isfinite(b) else f"{a:g}+"
                acts = max(low, 0.0) >= a and high <= b
                part[f"{name}:{text}"] = part[name] * acts
        found.append(part)
    return pd.concat(found, ignore_index=True)


@pytest.mark.parametrize(
    ("varying", "options"),
    [
        ({"age": (15, 30)}, {}),
        ({"age": (20,), "prio": (10, 30)}, {"entry": "late", "weights": "weight"}),
        ({"fin": (26,)}, {"strata": ("site", "race")}),
    ],
)
def test_steps_are_those_of_lifelines_on_episodes(prison, varying, options):
    fed, pooled = prison
    ours = fit(
        fed, cox(covariates=("age", "fin", "prio"), time_varying=varying, **options)
    )
    rows = episodes(pooled, varying, entry=options.get("entry"))
    names = list(ours.params_.index)
    strata = list(options.get("strata", ("site",)))
    weights = [options["weights"]] if "weights" in options else []
    theirs = CoxPHFitter().fit(
        rows[["start", "stop", "died", *strata, *weights, *names]],
        "stop",
        "died",
        entry_col="start",
        strata=strata,
        weights_col=weights[0] if weights else None,
        fit_options=EXACT,
    )
    assert np.abs(ours.params_ - theirs.params_[names]).max() < 1e-6
    assert np.abs(ours.standard_errors_ - theirs.standard_errors_[names]).max() < 1e-6
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, abs=1e-6)
    assert ours.estimate.n == len(pooled)


def test_a_fit_with_steps_reads_like_any_other_but_scores_nobody(prison):
    fed, pooled = prison
    ours = fit(fed, cox(covariates=("age", "prio"), time_varying={"age": (15, 30)}))
    names = ["age:0-15", "age:15-30", "age:30+", "prio"]
    assert list(ours.summary.index) == names
    assert "age: 0-15, 15-30, 30+" in repr(ours)
    assert np.isnan(ours.concordance_index_)
    axes = ours.plot_effect("age")
    drawn = axes.lines[0].get_xydata()
    np.testing.assert_allclose(drawn[:, 0], [0, 15, 30, 45])
    np.testing.assert_allclose(drawn[:3, 1], ours.params_[:3])
    plt.close(axes.figure)
    with pytest.raises(UnknownNameError, match="prio"):
        ours.plot_effect("prio")
    message = "^Effects of this fit change with time, so no patient has one score: "
    with pytest.raises(InputError, match=message):
        ours.predict_partial_hazard(pooled)
    with pytest.raises(PlanError, match="no patient has one score to assess"):
        fed.evaluate(ours)


def test_the_test_of_assumptions_names_the_next_step(prison, capsys):
    fed, _ = prison
    plan = cox(covariates=("age", "fin"), ph_test="identity", evaluate_on="none")
    ours = fit(fed, plan)
    capsys.readouterr()
    table = ours.check_assumptions(p_value_threshold=0.05)
    told = capsys.readouterr().out
    assert table.loc["age", "p"] < 0.05 < table.loc["fin", "p"]
    assert told.startswith("age: p = ")
    assert 'CoxPlan(..., time_varying={"age": (t1, t2)}) fits a coefficient' in told
    assert "fin" not in told
    ours.check_assumptions(advice=False, p_value_threshold=0.05)
    assert capsys.readouterr().out == ""


def test_a_standard_fit_has_steps_where_every_interval_holds_patients(breast):
    fed, pooled = breast
    names = ("age", "tsize", "pnodes", "progrec")
    varying = {"progrec": (1000,)}
    plan = CoxPlan(
        duration="time", event="cens", covariates=names, time_varying=varying, **WHOLE
    )
    ours = fit(fed, plan)
    rows = episodes(pooled, varying, "time", "cens")
    found = list(ours.params_.index)
    theirs = CoxPHFitter().fit(
        rows[["start", "stop", "died", "site", *found]],
        "stop",
        "died",
        entry_col="start",
        strata="site",
    )
    gap = np.abs(ours.params_ - theirs.params_[found]) / theirs.standard_errors_[found]
    assert gap.max() < 0.2
    # fewer than ten leave after day 2500
    with pytest.raises(RefusedError, match="disclosure rules"):
        fit(fed, msgspec.structs.replace(plan, time_varying={"progrec": (2500,)}))
    message = r"owners' grid of 'time' \(0, 500, 1000 \.\.\.\); 30\.0 does not\."
    with pytest.raises(PlanError, match=message):
        fit(fed, msgspec.structs.replace(plan, time_varying={"progrec": (30,)}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_varying": {"prio": (12,)}}, r"'prio'"),
        ({"time_varying": {"age": ()}}, r"1 to 11 increasing times above 0"),
        ({"time_varying": {"age": (24, 12)}}, r"got \(24\.0, 12\.0\)"),
        ({"time_varying": {"age": (0, 12)}}, r"increasing times above 0"),
        ({"time_varying": {"age": (12,)}, "robust": True}, "does not go with grid"),
        ({"time_varying": {"age": (12,)}, "grid": (12, 24)}, "does not go with grid"),
        (
            {"time_varying": {"age": (12,)}, "strata": "none", "grid": (12, 24)},
            'strata="site"',
        ),
    ],
)
def test_what_does_not_go_with_steps_is_refused(options, message):
    with pytest.raises((PlanError, UnknownNameError), match=message):
        cox(covariates=("age",), **options)
