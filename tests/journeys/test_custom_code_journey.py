"""A scientist's own network: read by its owner, and run behind walls."""

from __future__ import annotations

import shutil

import msgspec
import own_losses
import own_networks
import pytest
from small_studies import TERMS, small

from fednb.embedded.federation import Federation
from fednb.errors import PlanError, RefusedError
from fednb.records.code import Code
from fednb.records.dp import DP
from fednb.records.outcomes import Survival
from fednb.records.specs import ModelSpec, TransformSpec
from fednb.records.studies import StudyPlan
from fednb.records.tasks import EmbeddingPlan, ModelRef
from fednb.site.proposals import check_plan

replace = msgspec.structs.replace
SITE = "aspen"
NAMED = ModelSpec("small-cnn-3d", {"widths": [4, 8], "embedding": 4})
OWN = Code.of(own_networks.Copy, widths=(4, 8), embedding=4)


@pytest.fixture(scope="module")
def fed(hospitals, tmp_path_factory):
    """One of the hospitals, as its policy came: it refuses code."""
    root = tmp_path_factory.mktemp("custom")
    shutil.copytree(hospitals / SITE, root / SITE)
    with Federation({SITE: root / SITE}, root / "coordinator") as served:
        yield served


def set_policy(fed, **rules) -> None:
    with fed.owner(SITE) as owner:
        owner.policy.set(confinement="where-possible", **rules)


def approved(fed, plan):
    """Return the request of a plan after its owner read and approved it."""
    request = fed.request(plan, **TERMS)
    with fed.owner(SITE) as owner:
        owner.requests[request.hash].approve(note="read")
    return request


def study(model) -> StudyPlan:
    plan = small(1, model=model)
    return StudyPlan((plan, EmbeddingPlan(StudyPlan.model_of(0, plan))))


def test_it_is_read_approved_and_trains_as_its_twin_of_the_registry_does(fed):
    with pytest.raises(RefusedError, match="policy does not allow custom code"):
        fed.request(study(OWN), **TERMS)
    set_policy(fed, custom_code="ask")
    request = fed.request(study(OWN), **TERMS)
    with fed.owner(SITE) as owner:
        # the policy approves everything by itself, but for code
        assert owner.policy.rules.auto_approve == ("all",)
        asked = owner.requests[request.hash]
        assert asked.status == "pending"
        page, plain = asked._repr_html_(), str(asked)
        assert OWN.sha256 in page
        assert '<span class="c-keyword">class</span>' in page
        assert "nn.AdaptiveAvgPool3d(1)" in plain
        asked.approve(note="read")
    mine = request.start().results()
    twin = fed.request(study(NAMED), **TERMS).start().results()
    assert mine[0].ref.sha256 == twin[0].ref.sha256
    assert mine[0].parameters == twin[0].parameters
    files = sorted((fed._servers[SITE].path / "work" / "embeddings").iterdir())
    contents = {f.name.split("-")[0]: f.read_bytes() for f in files}
    assert contents[request.hash] == contents[mine[1].ref.contract]
    assert contents[request.hash] == contents[twin[1].ref.contract]


def test_what_fails_tells_a_type_and_a_line_and_changed_code_is_asked_anew(fed):
    set_policy(fed, custom_code="ask", carry_over="tightening")
    broken = Code.of(own_networks.Fails, widths=(4, 8), embedding=4)
    request = approved(fed, small(1, model=broken))
    with pytest.raises(RefusedError) as error:
        request.start().result()
    line = 1 + broken.source.splitlines().index(
        next(x for x in broken.source.splitlines() if "raise ValueError" in x)
    )
    assert f"(ValueError at line {line} of Fails)" in str(error.value)
    assert "patient sums to" not in str(error.value)
    with fed.owner(SITE) as owner:
        reasons = [e.body.get("reason", "") for e in owner.ledger.entries]
        assert any("patient sums to" in reason for reason in reasons)
    source = broken.source.replace("raise ValueError(message)", "return images")
    mended = msgspec.structs.replace(broken, source=source, sha256="")
    changed = fed.request(small(1, model=mended), **TERMS)
    with fed.owner(SITE) as owner:
        asked = owner.requests[changed.hash]
        assert asked.status == "pending"
        gone = [x for x in asked.changes.code if x.startswith("-")]
        assert any("raise ValueError" in x for x in gone)
        assert "c-gone" in asked._repr_html_()


def test_a_loss_is_read_and_trains_and_what_fails_in_it_is_told_by_line(fed):
    set_policy(fed, custom_code="refuse")
    plan = small(1, model=NAMED)
    entropy = Code.of(own_losses.entropy)
    with pytest.raises(RefusedError, match="policy does not allow custom code"):
        fed.request(replace(plan, loss=entropy), **TERMS)
    set_policy(fed, custom_code="ask")
    request = fed.request(replace(plan, loss=entropy), **TERMS)
    with fed.owner(SITE) as owner:
        asked = owner.requests[request.hash]
        assert asked.status == "pending"
        assert "The loss is the requester's own, entropy." in str(asked)
        assert "binary_cross_entropy_with_logits" in str(asked)
        asked.approve(note="read")
    mine = request.start().result()
    twin = fed.request(plan, **TERMS).start().result()
    assert mine.ref.sha256 == twin.ref.sha256
    focal = replace(plan, loss=Code.of(own_losses.focal, gamma=2.0))
    assert approved(fed, focal).start().result().ref.sha256 != twin.ref.sha256
    fails = Code.of(own_losses.fails)
    with pytest.raises(RefusedError) as error:
        approved(fed, replace(plan, loss=fails)).start().result()
    line = 1 + [" raise " in x for x in fails.source.splitlines()].index(True)
    assert f"(ValueError at line {line} of fails)" in str(error.value)
    assert "labels sum to" not in str(error.value)


def turn(volume):
    return volume.flip(0)


PARTS = {
    "model": {"model": OWN},
    "loss": {"loss": Code.of(own_losses.entropy)},
    "transform": {"transforms": (TransformSpec("ZScoreInMask"), Code.of(turn))},
}
ASIDE = {
    "privacy": (
        {"dp": DP(epsilon=8)},
        r"^Custom code and differential privacy exclude each other: .* Use a network "
        r"of the registry\.$",
    ),
    "survival": (
        {"target": Survival("os_months", "death")},
        r"^Custom code predicts a binary column so far; .* Train on a binary column, "
        r"and fit a CoxPlan on the embedding\.$",
    ),
    "cuda": (
        {"device": "cuda"},
        r"^Custom code runs on the CPU\. Use device='auto' or 'cpu'\.$",
    ),
}


@pytest.mark.parametrize("part", sorted(PARTS))
@pytest.mark.parametrize("with_", sorted(ASIDE))
def test_what_code_does_not_go_with_is_told_before_anybody_is_asked(fed, part, with_):
    set_policy(fed, custom_code="ask")
    changes, message = ASIDE[with_]
    plan = small(1, **{"model": NAMED, **PARTS[part], **changes})
    with fed.owner(SITE) as owner:
        before = len(owner.requests)
        with pytest.raises(PlanError, match=message):
            fed.request(plan, **TERMS)
        assert len(owner.requests) == before


@pytest.mark.parametrize("with_", sorted(ASIDE))
def test_a_site_refuses_it_whatever_drew_the_contract_up(fed, with_):
    """Also of a step that uses a network that was trained so."""
    set_policy(fed, custom_code="ask")
    wrong = small(1, model=OWN, **ASIDE[with_][0])
    manifest = fed._servers[SITE]._gatekeeper._catalog.get(TERMS["dataset"]).manifest
    for plan in (wrong, EmbeddingPlan(ModelRef("0" * 64, wrong))):
        with pytest.raises(PlanError, match=ASIDE[with_][1]):
            check_plan(plan, manifest)
