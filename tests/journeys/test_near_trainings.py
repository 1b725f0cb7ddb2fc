"""Trainings on patients that differ by one are one training, to the last bit."""

from __future__ import annotations

import shutil

import pytest
from small_studies import SITES, TERMS, replace, serve, small

from fednb.records.specs import SplitSpec
from fednb.records.tasks import EvaluationPlan

STRICT = {**TERMS, "profile": "standard"}


@pytest.fixture(scope="module")
def fed(hospitals, tmp_path_factory):
    root = tmp_path_factory.mktemp("near")
    for site in SITES:
        shutil.copytree(hospitals / site, root / site)
    with serve(root) as served:
        yield served


def trained(fed, patients: int):
    """Return the model trained on so many of 44 patients a site, all in one step."""
    share = patients / 44
    split = SplitSpec(train=share, validation=0.5 * (1 - share), test=0.5 * (1 - share))
    plan = replace(small(1, split=split, optimiser="sgd"), batch_size=64)
    return fed.request(plan, **STRICT).start().result()


def test_one_patient_more_is_no_other_gradient(fed):
    once = trained(fed, 20)
    more = trained(fed, 21)
    assert more.ref.sha256 == once.ref.sha256
    assert trained(fed, 30).ref.sha256 != once.ref.sha256
    figures = [
        fed.request(EvaluationPlan(model), **STRICT).start().result()
        for model in (once, more)
    ]
    one, two = ((f.n, f.log_loss, f.brier) for f in figures)
    assert one == two
