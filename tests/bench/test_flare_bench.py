"""The bench over FLARE: stock rounds are read from a log, and nothing is left."""

import psutil
import pytest

from fednb.bench import flare_rounds, main
from fednb.bench.flare_federation import FlareFederation
from fednb.bench.flare_stock import read_rounds
from fednb.errors import HomeError, UnknownNameError
from fednb.flare import processes

LOG = """2026-11-23 09:37:16,206 - FedAvg - INFO - [run=5] - 
--------------------------------------------------------------------------------
                                Round 0 started.                                
--------------------------------------------------------------------------------
2026-11-23 09:37:17,721 - FedAvg - INFO - [run=5] - Round 0 started in prose.
2026-11-23 09:37:17,724 - FedAvg - INFO - [run=5] - 
--------------------------------------------------------------------------------
                                Round 1 started.                                
--------------------------------------------------------------------------------
2026-11-23 09:37:19,751 - FedAvg - INFO - [run=5] - 
--------------------------------------------------------------------------------
                                Round 2 started.                                
--------------------------------------------------------------------------------
2026-11-23 09:37:21,800 - FedAvg - INFO - [run=5] - 
================================================================================
                                Finished FedAvg.                                
================================================================================
"""  # noqa: W291


def under(root):
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(root) in part for part in process.info["cmdline"] or ()):
            found.append(process)
    return found


def test_rounds_of_stock_flare_are_read_from_its_log():
    # 17.724 to 19.751 and on to 21.800; the first round is not counted
    assert read_rounds(LOG) == pytest.approx((2.027, 2.049))


def test_a_log_without_an_end_has_no_rounds():
    with pytest.raises(HomeError, match="did not finish; its log names no end"):
        read_rounds(LOG.partition("Finished")[0])


def test_an_interrupted_bench_leaves_nothing(monkeypatch):
    seen = []

    def interrupt(flare):
        seen.append(flare.root)
        # all that `up` starts first: the server
        processes.start(flare.kits["coordinator"])
        assert under(flare.root)
        raise KeyboardInterrupt

    monkeypatch.setattr(FlareFederation, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        flare_rounds.measure(flare_rounds.QUICK)
    assert under(seen[0]) == []
    assert not seen[0].exists()


def test_a_bench_that_cannot_begin_leaves_nothing(monkeypatch):
    seen = []

    def fail(flare):
        seen.append(flare.root)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FlareFederation, "_provision", fail)
    with pytest.raises(OSError, match="No space"):
        flare_rounds.measure(flare_rounds.QUICK)
    assert not seen[0].exists()


def test_only_rounds_are_measured_over_flare():
    with pytest.raises(UnknownNameError, match=r"'cox:flare'.*rounds:flare"):
        main.run("cox:flare")


@pytest.mark.long
def test_fednb_and_stock_flare_are_measured_beside_each_other():
    rows = flare_rounds.measure(flare_rounds.QUICK).rows
    assert {row.target.name for row in rows if row.target} >= {
        "session up",
        "idle site process",
        "statistics from the notebook",
        "round of 1.02 KB",
    }
    assert rows[-1].what == "round of 1.02 KB, stock FLARE FedAvg"
    assert rows[-1].ratio > 1
