"""Bars of a run's steps, as a terminal shows them."""

from __future__ import annotations

import pytest

from fednb.display.progress import RunProgress
from fednb.records.heads import CoxPlan
from fednb.records.service import Event
from fednb.records.tasks import TrainingPlan


class Steps:
    """Of a contract, all that progress looks at."""

    steps = (
        TrainingPlan(model="small-cnn-3d", target="idh", rounds=2),
        CoxPlan(covariates=["age"]),
    )


def event(seq: int, kind: str, step: int = 0) -> Event:
    return Event(seq, 0.0, kind, step, 0, "", {})


@pytest.mark.parametrize(("end", "total"), [("completed", 2), ("failed", None)])
def test_a_fit_of_unknown_length_is_full_when_it_is_over(end, total):
    with RunProgress(Steps(), shown=False) as shown:
        happened = ("step", "round", "round")
        for step in (0, 1):
            for seq, kind in enumerate(happened):
                shown.add(event(seq, kind, step))
        training, cox = shown._progress.tasks
        assert (training.completed, training.total) == (2, 2)
        assert (cox.completed, cox.total) == (2, None)
        shown.add(event(9, end))
        assert cox.total == total
