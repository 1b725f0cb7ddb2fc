"""A loss of a requester's own: what it computes, where it runs, what is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import own_losses
import pytest
import torch
from filing import contract_of

from fednb.errors import FednbError, InputError, IntegrityError, PlanError
from fednb.models import code as own_code
from fednb.privacy.dp import check_dp
from fednb.records.carried import check_carried, codes_in, codes_of
from fednb.records.code import Code
from fednb.records.dp import DP
from fednb.records.outcomes import Survival
from fednb.records.tasks import EvaluationPlan, ModelRef, TrainingPlan
from fednb.site.tasks.losses import CrossEntropy, OwnLoss

LABELS = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
ROWS = np.array([4, 0, 1])
LOGITS = (0.3, -1.2, 2.0)
FOCAL = Code.of(own_losses.focal, gamma=2.0)
PLAN = TrainingPlan("small-cnn-3d", "idh", loss=FOCAL)
replace = msgspec.structs.replace


@pytest.fixture
def confined(monkeypatch):
    """As in the worker that has put walls around itself."""
    monkeypatch.setattr(own_code, "_allowed", [True])


def value(loss, class_weights=None):
    eta = torch.tensor(LOGITS, requires_grad=True)
    found = loss(eta, ROWS, class_weights)
    found.backward()
    return float(found.detach()), eta.grad.numpy()


@pytest.mark.usefixtures("confined")
@pytest.mark.parametrize("weights", [None, (0.5, 3.0)])
def test_cross_entropy_written_out_again_is_cross_entropy(weights):
    own = OwnLoss(Code.of(own_losses.entropy), LABELS)
    found, gradient = value(own, weights)
    wanted, slope = value(CrossEntropy(LABELS), weights)
    assert found == pytest.approx(wanted, rel=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5)


@pytest.mark.usefixtures("confined")
def test_a_loss_takes_its_parameters():
    # by hand: sum of (1 - p)^2 times -log p over three patients, p of the true label
    p = 1 / (1 + np.exp(-np.array([0.3, 1.2, 2.0])))
    found, _ = value(OwnLoss(FOCAL, LABELS))
    assert found == pytest.approx(np.mean((1 - p) ** 2 * -np.log(p)), rel=1e-5)
    plain = replace(FOCAL, params={"gamma": 0.0})
    assert value(OwnLoss(plain, LABELS))[0] == pytest.approx(np.mean(-np.log(p)))


@pytest.mark.usefixtures("confined")
@pytest.mark.parametrize("wrong", [own_losses.mean, own_losses.forgets])
def test_what_is_no_loss_of_each_patient_is_refused(wrong):
    with pytest.raises(InputError, match=r"must return the loss of each patient"):
        value(OwnLoss(Code.of(wrong), LABELS))


def test_it_runs_in_a_confined_process_only():
    with pytest.raises(IntegrityError, match="runs in a confined worker only"):
        value(OwnLoss(FOCAL, LABELS))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"loss": Code.of(own_losses.renamed)}, "has these arguments: outputs, labels"),
        ({"loss": Code.of(own_losses.Loss)}, "none, or it is a class"),
        ({"loss": Code("f", "import os\ndef f():\n    return 1\n")}, "line 1: 'os' is"),
        ({"device": "cuda"}, "Custom code runs on the CPU"),
        ({"dp": DP(epsilon=8)}, "exclude each other"),
        ({"target": Survival("time", "event")}, "predicts a binary column so far"),
    ],
)
def test_what_a_loss_cannot_be_is_told_before_anybody_is_asked(changes, says):
    check_carried(PLAN)
    with pytest.raises(PlanError, match=says):
        check_carried(replace(PLAN, **changes))


def test_no_budget_is_spent_on_a_loss_that_nobody_knows():
    with pytest.raises(FednbError, match="Code of your own cannot be trained with"):
        check_dp(replace(PLAN, dp=DP(epsilon=8)))


def test_owners_are_shown_it_once_and_only_training_runs_it():
    evaluation = EvaluationPlan(ModelRef("step:0", PLAN))
    assert codes_of(PLAN) == (FOCAL,)
    assert codes_of(evaluation) == ()
    asked = contract_of(steps=(PLAN, evaluation))
    assert codes_in(asked) == {"step 0: focal": FOCAL}
