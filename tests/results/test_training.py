from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import samples

from fednb.errors import RunError
from fednb.records.heads import CoxPlan
from fednb.records.service import RoundLine
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan
from fednb.results.training import RoundRecord, rounds_of


def test_to_frame_has_a_row_a_round():
    frame = samples.training().to_frame()
    assert frame.index.tolist() == [1, 2, 3]
    assert list(frame.columns) == [
        "train_loss",
        "validation_loss",
        "validation_auc",
        "seconds",
        "bytes",
        "validation_c",
    ]
    assert frame.loc[2, "train_loss"] == 0.5


def test_a_round_is_what_the_service_recorded():
    metrics = {"train_loss": 0.5, "validation_auc": 0.9, "gradient_norm": 3.0}
    record = RoundRecord.of(RoundLine(7, metrics, 1.5, 400))
    assert (record.round, record.train_loss, record.validation_auc) == (7, 0.5, 0.9)
    assert (record.seconds, record.bytes) == (1.5, 400)
    assert math.isnan(record.validation_loss)


def test_halves_of_a_round_are_one_row():
    lines = [
        RoundLine(0, {}, 1.0, 10),
        RoundLine(1, {"train_loss": 2.0, "validation_c": 0.7}, 2.0, 30),
        RoundLine(2, {}, 1.0, 10),
    ]
    (record,) = rounds_of(lines, 2)
    assert (record.round, record.seconds, record.bytes) == (0, 3.0, 40)
    assert (record.train_loss, record.validation_c, record.index) == (2.0, 0.7, 0.7)
    assert [r.round for r in rounds_of(lines)] == [0, 1, 2]


def test_curves_are_drawn_with_the_auc_on_a_second_axis():
    axes = samples.training().plot()
    assert [line.get_label() for line in axes.lines] == [
        "train loss",
        "validation loss",
    ]
    left, right = axes.figure.axes
    assert left is axes
    assert list(right.lines[0].get_ydata()) == [0.5, 0.75, 1 - 0.5 / 3]


def test_rounds_without_a_validation_leave_no_gap_in_its_line():
    whole = samples.training()
    first, second, third = whole.rounds
    skipped = dataclasses.replace(
        second, validation_loss=math.nan, validation_auc=math.nan
    )
    found = dataclasses.replace(whole, rounds=(first, skipped, third))
    left, right = found.plot().figure.axes
    assert list(left.lines[0].get_xdata()) == [1, 2, 3]
    assert list(left.lines[1].get_xdata()) == [1, 3]
    assert list(right.lines[0].get_xdata()) == [1, 3]


def test_weights_are_read_when_they_are_asked_for():
    weights = {"w": np.arange(3.0)}
    result = dataclasses.replace(samples.training(), loader=lambda: weights)
    repr(result)
    assert result.weights()["w"] is weights["w"]


def test_weights_that_were_not_kept():
    with pytest.raises(RunError, match=r"^The weights of run r7 were not kept\.$"):
        samples.training("r7").weights()


def test_plans_take_a_result_or_its_model_in_place_of_a_reference():
    result = samples.training("w")
    assert EvaluationPlan(result).model == result.ref
    assert EmbeddingPlan(result.model).model == result.ref
    assert result.model_sha256 == result.model.ref.sha256 == "w"


def test_plans_take_an_embedding_in_place_of_its_reference():
    result = samples.embedding()
    assert CoxPlan(result).embedding == result.ref


def test_a_dry_run_says_so():
    result = dataclasses.replace(samples.training(), dry_run=True)
    assert "Dry run on mock data" in repr(result)
    assert "Dry run on mock data" in result._repr_html_()
