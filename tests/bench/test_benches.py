"""Every bench runs at a tiny size, and its JSON has the keys that are documented."""

import json
from importlib import import_module

import pytest

from fednb.bench import main
from fednb.errors import InputError, UnknownNameError

KEYS = {
    "rounds": {
        "size",
        "sites",
        "secure_sum",
        "rounds",
        "median_ms",
        "p90_ms",
        "cpu_ms",
        "disk_ms",
        "ratio",
        "target",
    },
    "trainer": {
        "model",
        "device",
        "patients",
        "size",
        "batch",
        "repeats",
        "fednb_ms",
        "torch_ms",
        "ratio",
        "difference",
        "target",
    },
    "cox": {
        *("case", "rows", "sites", "columns", "repeats", "register_s", "first_fit_s"),
        *("fit_s", "lifelines_rows", "lifelines_s", "ratio", "memory_gb", "target"),
        *("coef_difference", "se_difference", "log_likelihood_difference"),
        "baseline_difference",
    },
    "statistics": {
        "rows",
        "query",
        "repeats",
        "first_ms",
        "median_ms",
        "p90_ms",
        "target",
    },
    "concordance": {
        *("sites", "patients", "shift", "seeds", "bias", "mean_error", "max_error"),
        "target",
    },
    "import": {"module", "repeats", "median_s", "p90_s", "loaded", "target"},
}


@pytest.mark.parametrize("name", sorted(KEYS))
def test_bench_writes_the_figures_that_it_shows(name, tmp_path, capsys):
    file = tmp_path / "figures.json"
    report = main.run(name, json_file=file, quick=True)
    body = json.loads(file.read_text())
    assert set(body) == {"bench", "machine", "rows", "targets", "notes"}
    assert body["bench"] == name
    assert set(body["machine"]) == {
        "cores",
        "load",
        "threads",
        "python",
        "torch",
        "numpy",
    }
    assert len(body["rows"]) == len(report.rows) >= 1
    for row in body["rows"]:
        assert set(row) == KEYS[name]
    for target in body["targets"]:
        met = target["value"] <= target["limit"]
        assert target["verdict"] == ("ok" if met else "over")
    shown = capsys.readouterr().out
    assert f"fednb bench {name}" in shown
    assert f"{report.machine.cores} cores" in shown


def test_both_sides_of_the_trainer_end_with_the_same_weights():
    trainer = import_module("fednb.bench.trainer")
    (row,) = trainer.measure(trainer.QUICK).rows
    assert row.difference < 1e-6
    assert row.ratio == row.fednb_ms / row.torch_ms


def test_both_cox_fits_agree():
    cox = import_module("fednb.bench.cox")
    row, *parity = cox.measure(cox.QUICK).rows
    assert row.coef_difference < 1e-5
    assert row.se_difference < 1e-5
    assert [line.case for line in parity] == ["rossi, ties", "rossi, ridge .1"]
    assert all(line.target.verdict == "ok" for line in parity)


def test_rounds_are_counted_and_have_both_kinds():
    rounds = import_module("fednb.bench.rounds")
    rows = rounds.measure(rounds.QUICK).rows
    assert [(r.size, r.secure_sum) for r in rows] == [
        ("1.02 KB", False),
        ("1.02 KB", True),
        ("80 KB", False),
        ("80 KB", True),
    ]
    assert [r.rounds for r in rows] == [3, 3, 2, 2]
    assert rows[1].ratio == rows[1].median_ms / rows[0].median_ms


def test_what_is_not_measured_is_left_empty():
    cox = import_module("fednb.bench.cox")
    settings = cox.Settings(rows=(300,), lifelines_up_to=0, repeats=1, parity=False)
    (row,) = cox.measure(settings).rows
    assert row.lifelines_s is row.ratio is row.coef_difference is row.target is None


def test_an_unknown_bench_is_refused():
    with pytest.raises(UnknownNameError, match=r"bench.*'speed'.*rounds"):
        main.run("speed")


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="device is 'cpu' or 'cuda'; got 'tpu'"):
        main.run("trainer", device="tpu")


def test_the_large_cox_fit_is_measured_in_a_process_of_its_own():
    cox = import_module("fednb.bench.cox")
    settings = cox.Settings(rows=(), parity=False, large=2000)
    speed, memory = cox.measure(settings).rows
    assert (speed.rows, speed.sites, speed.columns) == (2000, 10, 20)
    assert speed.ratio == speed.fit_s / speed.lifelines_s
    # all that coordinator and sites need besides rows, which are next to nothing
    assert 0 < memory.memory_gb < 0.2
    assert memory.target.value == memory.memory_gb
