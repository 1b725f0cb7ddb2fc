"""What a network brings each site at once: told before anybody is asked."""

from __future__ import annotations

import shutil

import msgspec
import pytest
from filing import contract_of
from small_studies import SITES, TERMS, serve, small

from fednb.config import MAX_MESSAGE_BYTES
from fednb.coordinator.traffic import AROUND, check_traffic, loads_of
from fednb.errors import PlanError
from fednb.privacy.egress import outputs_of
from fednb.records.contracts import Participant, Privacy, Resources
from fednb.records.specs import StrategySpec
from fednb.records.studies import StudyPlan
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, TrainingPlan
from fednb.site.proposals import strategy_vectors

replace = msgspec.structs.replace
PLAN = TrainingPlan("resnet18-3d", "idh", rounds=5)
MILLION = 10**6


def asked(*steps, sites: int, weights: int, secure_sum=True, cap=2**30):
    names = [f"site-{i:02d}" for i in range(sites)]
    given = {
        "privacy": Privacy("standard" if secure_sum else "open", secure_sum),
        "parameters": {"0": weights},
    }
    outputs = outputs_of(
        steps, sites=sites, calls=10, vectors_of=strategy_vectors, **given
    )
    return contract_of(
        steps=steps,
        outputs=outputs,
        participants=tuple(Participant(n, n, n, "") for n in names),
        resources=Resources(message_bytes=cap),
        **given,
    )


def test_every_round_brings_all_other_sites_vectors():
    (load,) = loads_of(asked(PLAN, sites=30, weights=33 * MILLION))
    assert (load.own, load.relayed) == (132 * MILLION, 29)
    assert load.bytes == 29 * 132 * MILLION
    # SCAFFOLD sends two vectors, and one round has nothing to relay
    scaffold = replace(PLAN, strategy=StrategySpec("scaffold"))
    (load,) = loads_of(asked(scaffold, sites=3, weights=MILLION))
    assert load.bytes == 2 * 2 * 4 * MILLION
    (load,) = loads_of(asked(replace(PLAN, rounds=1), sites=30, weights=MILLION))
    assert load.bytes == 4 * MILLION


def test_what_is_not_summed_in_secret_is_not_relayed():
    (load,) = loads_of(asked(PLAN, sites=30, weights=MILLION, secure_sum=False))
    assert load.bytes == 4 * MILLION
    relay = replace(PLAN, strategy=StrategySpec("cyclic"))
    (load,) = loads_of(asked(relay, sites=30, weights=MILLION))
    assert load.bytes == 4 * MILLION


def test_a_model_that_was_just_trained_comes_with_its_proof():
    model = StudyPlan.model_of(0, PLAN)
    steps = (PLAN, EvaluationPlan(model), EmbeddingPlan(model))
    loads = loads_of(asked(*steps, sites=4, weights=MILLION))
    assert [load.bytes for load in loads] == [n * 4 * MILLION for n in (3, 4, 4)]


def test_a_network_too_large_for_so_many_sites_is_told_with_figures():
    with pytest.raises(PlanError) as error:
        check_traffic(asked(PLAN, sites=30, weights=33 * MILLION))
    assert str(error.value) == (
        "Step 0 would bring each site 3.83 GB at once: the masked vectors of 29 other "
        "sites, 132 MB each. A message holds at most 1.07 GB. Use a smaller network, "
        "at most 9 sites, or weights that travel from site to site (cyclic)."
    )
    check_traffic(asked(PLAN, sites=9, weights=33 * MILLION))
    with pytest.raises(PlanError, match=r"^Step 0 would bring each site 1\.19 GB"):
        check_traffic(asked(PLAN, sites=10, weights=33 * MILLION))


def test_a_cap_of_the_contract_s_own_can_be_raised():
    with pytest.raises(PlanError) as error:
        check_traffic(asked(PLAN, sites=3, weights=MILLION, cap=7 * MILLION))
    assert str(error.value) == (
        "Step 0 would bring each site 8 MB at once: the masked vectors of 2 other "
        "sites, 4 MB each. The contract names at most 7 MB a message: ask with "
        "resources=fednb.Resources(message_bytes=8000000), which each site's owner may "
        "refuse by max_message_bytes, or use a smaller network."
    )
    check_traffic(asked(PLAN, sites=3, weights=MILLION, cap=8 * MILLION))


def test_nobody_can_send_what_no_message_holds():
    huge = MAX_MESSAGE_BYTES // 4
    with pytest.raises(PlanError, match=r"^A message of step 0 would have 1\.07 GB\."):
        check_traffic(asked(PLAN, sites=3, weights=huge, secure_sum=False))


def test_it_is_told_by_request_and_true_of_what_is_sent(hospitals, tmp_path):
    for site in SITES:
        shutil.copytree(hospitals / site, tmp_path / site)
    sizes: list[int] = []
    caps = Resources(message_bytes=1000)
    with serve(tmp_path) as fed:
        with pytest.raises(PlanError, match=r"^Step 0 would bring each site .* MB at"):
            fed.request(small(2), resources=caps, **TERMS)
        assert not fed.requests
        request = fed.request(small(2), **TERMS)
        fed.transport.observe(
            lambda _, to, frame: sizes.append(len(frame) * (to != "from-site"))
        )
        request.start().result()
        (load,) = loads_of(request.contract)
    assert load.relayed == len(SITES) - 1
    assert load.bytes <= max(sizes) <= load.bytes + AROUND
