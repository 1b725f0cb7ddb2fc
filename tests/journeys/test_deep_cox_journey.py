"""Deep Cox on small synthetic hospitals: verified halves of rounds, one pooled step."""

from __future__ import annotations

import shutil

import msgspec
import numpy as np
import pytest
from small_studies import TERMS, serve, small, start

from fednb.errors import PlanError, RefusedError
from fednb.phantom.demo import CENTRAL, HOSPITALS, DemoSize, baselines
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.heads import CoxPlan
from fednb.records.outcomes import Survival
from fednb.records.specs import SplitSpec
from fednb.records.studies import StudyPlan
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, TrainingPlan
from fednb.results.performance import interval

SURVIVAL = Survival("os_months", "death")
PLAIN = {
    "transforms": small().transforms[:1],
    "batch_size": 256,
    "optimiser": "sgd",
    "schedule": "constant",
    "weight_decay": 0.0,
    "learning_rate": 1.0,
    "validate_every": 0,
}


@pytest.fixture(scope="module")
def fed(hospitals):
    with serve(hospitals) as served:
        yield served


def deep(rounds: int = 2, **changes: object) -> TrainingPlan:
    strategy = changes.pop("strategy", "fedavg")
    plan = small(rounds, strategy=strategy)
    return msgspec.structs.replace(plan, **({"target": SURVIVAL} | changes))


def weights_of(result) -> np.ndarray:
    return result.weights()["weights"]


def test_a_round_begins_with_a_sum_of_hazards_that_sites_check(fed):
    request = fed.request(deep(), **TERMS)
    named = {o.name: o for o in request.contract.outputs}
    ends = request.contract.steps[0].target.intervals
    assert ends == tuple(6.0 * i for i in range(1, 21))
    baseline = named["baseline"]
    assert (baseline.kind, baseline.times) == ("masked", 2)
    assert (baseline.elements, baseline.bytes) == (3 * len(ends), 24 * len(ends))
    assert "disclosure rule 10" in baseline.control
    assert "each round begins with a sum over sites" in str(request.preview())
    result = request.start().result()
    assert [r.round for r in result.rounds] == [0, 1]
    assert all(r.train_loss > 0 for r in result.rounds)
    assert 0 <= result.rounds[0].validation_c <= 1
    sums = [line for line in result.releases if line.name == "baseline"]
    left = [(line.site, line.round) for line in sums]
    assert sorted(left) == [(s, r) for s in ("aspen", "birch", "dune") for r in (0, 2)]
    test = fed.request(EvaluationPlan(result.model), **TERMS).start().result()
    assert 0 <= test.c_index <= 1
    assert np.isnan(test.auc)
    assert "survival (os_months, death)" in str(test)


@pytest.mark.parametrize(
    ("loss", "strategy", "more"),
    [
        ("deep-cox", "scaffold", {"optimiser": "sgd", "learning_rate": 0.1}),
        ("deep-cox", "fedprox", {}),
        ("partial-likelihood", "fedavg", {}),
        ("discrete-time", "cyclic", {}),
    ],
)
def test_losses_go_with_strategies(fed, loss, strategy, more):
    target = msgspec.structs.replace(SURVIVAL, loss=loss)
    result = start(fed, deep(1, target=target, strategy=strategy, **more)).result()
    assert np.isfinite(weights_of(result)).all()


def test_a_relay_has_no_baseline(fed):
    with pytest.raises(
        PlanError, match=r"^Strategy 'cyclic' trains one site after the"
    ):
        fed.request(deep(strategy="cyclic"), **TERMS)


def test_hazards_of_too_few_patients_are_not_summed(fed):
    few = SplitSpec(train=0.1, validation=0.1, test=0.8)
    plan = deep(1, split=few)
    request = fed.request(plan, **(TERMS | {"profile": "standard"}))
    with pytest.raises(RefusedError):
        request.start().result()


def test_one_full_batch_step_is_the_central_step(tmp_path, hospitals):
    """Three sites behind a secure sum, against their union in one place."""
    shutil.copytree(hospitals / "hospitals", tmp_path / "hospitals")
    size = DemoSize(train=16, validation=16, test=12, voxels=16)
    with baselines(tmp_path, size) as fed:
        sites = tuple(HOSPITALS)

        def trained(names, **changes) -> np.ndarray:
            plan = deep(1, **(PLAIN | changes))
            return weights_of(fed.request(plan, sites=names, **TERMS).start().result())

        central = trained((CENTRAL,))
        still = trained((CENTRAL,), learning_rate=1e-9)
        assert np.abs(central - still).max() > 1e-3
        assert np.abs(trained(sites) - central).max() < 1e-5


def test_a_survival_network_is_assessed_with_an_interval_of_its_c(fed):
    training = deep(1)
    model = StudyPlan.model_of(0, training)
    score = FixedModel(
        "cox", (1.0,), embedding=StudyPlan.embedding_of(1), features="score"
    )
    outcome = {"duration": SURVIVAL.duration, "event": SURVIVAL.event}
    assessed = AssessmentPlan(score, **outcome)
    head = CoxPlan(
        StudyPlan.embedding_of(1), features="score", evaluate_on="none", **outcome
    )
    of_head = StudyPlan.assessment_of(3, head)
    study = StudyPlan((training, EmbeddingPlan(model), assessed, head, of_head))
    terms = TERMS | {"profile": "open"}
    found = fed.request(study, **terms).start().results()
    trained, embedding, within, cox, on_head = found
    assert on_head.plan.model.embedding.width == embedding.ref.width
    np.testing.assert_allclose(on_head.plan.model.coefficients, cox.params_)
    # one coefficient orders patients as the score does, or the other way round
    own = within["C, pairs within sites"].value
    ordered = own if cox.params_["score"] > 0 else 1 - own
    assert on_head["C, pairs within sites"].value == pytest.approx(ordered, abs=1e-9)
    assert embedding.survival.duration == SURVIVAL.duration
    later = fed.evaluate(embedding, on="test", **terms)
    plain = fed.request(EvaluationPlan(trained.model), **terms).start().result()
    for report in (within, later):
        own = report["C, pairs within sites"]
        assert own.value == pytest.approx(plain.c_index, abs=1e-9)
        error = plain.c_index_se
        assert (own.low, own.high) == pytest.approx(interval(own.value, error))
        assert own.low < own.value < own.high
        assert report.plan.duration == "os_months"
