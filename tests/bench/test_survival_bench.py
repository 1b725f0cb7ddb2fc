"""Deep Cox beside central: which rows the bench prints, and what they are held to."""

import json

import msgspec
import numpy as np
import pytest
from scipy.stats import ttest_1samp

from fednb.bench import main, survival
from fednb.phantom.demo import DemoSize
from fednb.phantom.oracle import OracleCounts
from fednb.phantom.study import COX, study_plan, training_plan

BEST = OracleCounts(770.0, 1000, 400)
"""C of .77 over 400 patients: 2 SD are .026."""


def level(federated, idh_head=0.75):
    return survival.Level(federated, 0.7, idh_head, 0.7, BEST)


def pair(federated, central, image=0.0):
    return survival.Pair(federated, central, 0.7 + image, 0.7)


def by_name(rows):
    return {row.figure: row for row in rows}


def test_a_quick_run_prints_a_row_a_figure(tmp_path, capsys):
    file = tmp_path / "figures.json"
    report = main.run("science:survival", json_file=file, quick=True)
    body = json.loads(file.read_text())
    for row in body["rows"]:
        assert set(row) == {"figure", "mean", "each", "target"}
    c = {n: row.mean for n, row in by_name(report.rows).items() if n.startswith("C")}
    assert len(c) == 9
    assert all(0.0 < mean < 1.0 for mean in c.values())
    assert len(body["targets"]) == 3
    shown = capsys.readouterr()
    words = " ".join(shown.out.split())
    assert "fednb bench science:survival" in words
    size = "12 training, 30 validation and 24 test patients a hospital, seeds 1 to 1."
    assert f"Levels: {size}" in words
    assert f"Federated - central: {size}" in words
    told = shown.err.splitlines()
    assert [line.split(":")[0] for line in told] == ["seed 1", "seed 1"]
    head = c["C of image and age, deep Cox"]
    assert told[0].startswith(f"seed 1: C {head:.4f} (image alone ")


def test_both_models_have_one_plan_but_for_where_they_train():
    plan = survival.deep_plan(survival.Settings(rounds=7), DemoSize(seed=401))
    assert (plan.seed, plan.rounds, plan.threads) == (401, 7, 1)
    assert plan.target == survival.SURVIVAL
    assert plan.target.loss == "deep-cox"


def test_the_head_on_the_idh_encoder_is_the_demos():
    demos = study_plan(training_plan()).steps[COX]
    assert msgspec.structs.replace(survival.IDH_HEAD, split=demos.split) == demos


def test_differences_have_students_interval():
    found = [pair(0.75, 0.76), pair(0.74, 0.74), pair(0.76, 0.75)]
    row = by_name(survival.paired_figures(found))["image and age, federated - central"]
    expected = ttest_1samp([-0.01, 0.0, 0.01], 0.0).confidence_interval(0.95)
    low, high = np.asarray(expected)
    assert row.mean == pytest.approx(0.0, abs=1e-12)
    assert row.each.endswith(f"; 95 % CI {low:.4f} to {high:.4f}")
    assert row.target.value == pytest.approx(-0.02 - low)
    assert row.target.verdict == "over"


def test_a_narrow_interval_excludes_the_margin():
    found = [pair(0.750 + i / 1000, 0.75, image=-0.05) for i in range(4)]
    rows = by_name(survival.paired_figures(found))
    assert rows["image and age, federated - central"].target.verdict == "ok"
    alone = rows["image, federated - central"]
    assert alone.mean == pytest.approx(-0.05)
    assert alone.target.verdict == "over"


@pytest.mark.parametrize(
    ("federated", "misses"),
    [
        (0.75, set()),
        (0.738, {"deep Cox - head on the IDH encoder"}),
        (0.70, {"deep Cox - head on the IDH encoder", "deep Cox - oracle"}),
        (0.80, {"oracle + 2 SD - deep Cox"}),
    ],
)
def test_levels_are_held_to_what_is_asked(federated, misses):
    rows = survival.level_figures([level(federated), level(federated)])
    missed = {r.figure for r in rows if r.target and r.target.verdict == "over"}
    assert missed == misses


def test_reported_seeds_are_not_those_that_a_quick_run_shows():
    assert survival.Settings().first_seed == survival.FULL.first_seed == 411
    assert survival.QUICK.first_seed == 1
    assert (survival.Settings().seeds, survival.FULL.paired_seeds) == (3, 10)
    assert survival.Settings().paired_seeds == survival.FULL.seeds == 0


def test_ctrl_c_shows_the_seeds_that_are_there():
    def run(size):
        if size.seed == 3:
            raise KeyboardInterrupt
        return size.seed

    sizes = [DemoSize(seed=seed) for seed in range(1, 5)]
    assert survival.until_stopped(run, sizes) == [1, 2]
    assert survival.until_stopped(run, sizes[:2]) == [1, 2]
    with pytest.raises(KeyboardInterrupt):
        survival.until_stopped(run, sizes[2:])
