from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

if TYPE_CHECKING:
    from task_fixtures import Hospital

from fednb.errors import DatasetError, InputError
from fednb.privacy.metrics import EvaluationSums
from fednb.records.arrays import unpack
from fednb.records.tasks import EvaluationPlan, ModelRef, TrainingPlan
from fednb.site.tasks.evaluate import evaluate, log_losses, predict, set_up


def ignore(done: int, total: int) -> None:
    """Take progress, and do nothing with it."""


def test_sums_equal_those_by_hand(hospital: Hospital, plan: TrainingPlan):
    job = hospital.job(EvaluationPlan(ModelRef("0" * 64, plan), "test"))
    seen = []
    result = evaluate(job, lambda *counts: seen.append(counts))
    found = EvaluationSums(*unpack(result.vectors["metrics"]))
    n, loss, brier, above, tied, pairs, positives, spread = found
    setting = set_up(job, plan)
    rows = np.arange(8, 15)
    _, logits = predict(setting, rows, 3, lambda _: None)
    labels = rows % 2
    chance = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert loss == pytest.approx(-np.log(np.where(labels, chance, 1 - chance)).sum())
    assert brier == pytest.approx(((chance - labels) ** 2).sum())
    gaps = logits[labels == 1][:, None] - logits[labels == 0]
    assert (above, tied) == ((gaps > 0).sum(), (gaps == 0).sum())
    wins = (gaps > 0) + 0.5 * (gaps == 0)
    # DeLong's variance of the AUC, with n in place of n - 1
    delong = wins.mean(axis=1).var() / 3 + wins.mean(axis=0).var() / 4
    assert spread * 1e6 == pytest.approx(delong * pairs**2)
    assert found.share_error == pytest.approx(np.sqrt(delong))
    assert (n, pairs, positives, result.patients) == (7, 12, 3, 7)
    assert seen[-1] == (7, 7)


def test_all_is_every_patient_with_a_label(hospital: Hospital, plan: TrainingPlan):
    job = hospital.job(EvaluationPlan(ModelRef("0" * 64, plan), "all"))
    assert evaluate(job, ignore).patients == 15


def test_log_loss_is_stable_where_probabilities_are_not():
    losses = log_losses(np.array([1.0, 0.0, 0.0]), np.array([-800, 800, 0], "f4"))
    assert losses == pytest.approx([800.0, 800.0, np.log(2)])


def test_an_empty_split_is_refused(hospital: Hospital, plan: TrainingPlan):
    job = hospital.job(EvaluationPlan(ModelRef("0" * 64, plan), "test"), split={})
    with pytest.raises(DatasetError, match="no patient of split 'test' has a label"):
        evaluate(job, ignore)
    for least, cause in ((1, "data"), (10, "disclosure")):
        few = msgspec.structs.replace(job, threshold=least)
        with pytest.raises(DatasetError) as told:
            evaluate(few, ignore)
        # where there is a threshold, nobody and few look the same
        assert told.value.cause == cause
    with pytest.raises(InputError, match="evaluate runs an EvaluationPlan"):
        evaluate(hospital.job(plan), ignore)
