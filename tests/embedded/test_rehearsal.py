"""Dry runs of contracts: what would leave, as it leaves, and what it would cost."""

from __future__ import annotations

import pytest
from clinics import COLUMNS, clinic, federate

import fednb
from fednb.errors import InputError, PlanError
from fednb.records.heads import CoxPlan
from fednb.records.specs import EmbeddingRef, SplitSpec
from fednb.records.tasks import DescribePlan, StatisticsPlan

COX = CoxPlan(
    covariates=("age",),
    duration="os_months",
    event="death",
    split=SplitSpec(1.0, 0.0, 0.0),
    fit_on="train",
    evaluate_on="train",
)
ELSEWHERE = CoxPlan(
    EmbeddingRef("ab" * 32, 0, 8, SplitSpec()),
    "score",
    duration="os_months",
    event="death",
)


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    with federate(tmp_path_factory.mktemp("rehearsal")) as served:
        yield served


def named(contract) -> set:
    return {(o.step, o.name, o.kind) for o in contract.outputs}


def shown(rehearsal) -> set:
    return {(o.step, o.name, o.kind) for o in rehearsal.outputs}


def test_a_dry_run_shows_every_output_within_its_size(fed):
    request = fed.request(COX, purpose="survival by age")
    preview = request.preview(dry_run=True)
    rehearsal = preview.rehearsal
    assert rehearsal.contract == request.hash
    assert shown(rehearsal) == named(request.contract)
    specs = {(o.step, o.name): o for o in preview.outputs}
    for output in rehearsal.outputs:
        spec = specs[output.step, output.name]
        assert output.bytes <= spec.bytes
        assert output.times <= spec.times
        assert output.sample.startswith("noise: ")
    # moments, then at most twelve evaluations, then metrics: 8 bytes a number
    (moments,) = [o for o in rehearsal.outputs if o.name == "moments"]
    assert (moments.shape, moments.bytes, moments.times) == ((4,), 32, 1)
    assert request.status == dict.fromkeys("abc", "pending")


def test_the_cost_card_says_that_it_predicts(fed):
    request = fed.request(COX, purpose="cost")
    preview = request.preview(dry_run=True)
    cost = preview.rehearsal.cost
    assert cost.seconds > 0
    assert (cost.patients, cost.mock_patients) == (60, 60)
    out = sum(o.bytes * o.times for o in preview.rehearsal.outputs)
    assert cost.bytes_out == out
    assert cost.bytes_in > 0
    for words in (repr(preview), preview._repr_html_()):
        assert "A prediction from a dry run on the mock" in words
        assert "What it costs a site" in words
        assert "In total: at most" in words


def test_time_and_bytes_scale_with_patients_and_rounds(fed):
    contract = fed.request(COX, purpose="scale").contract
    mock = fed["a"].datasets["clinic"].mock
    small, large = (mock.rehearse(contract, n).cost for n in (6, 600_000))
    assert large.seconds > small.seconds
    assert large.bytes_out == small.bytes_out


def test_an_owner_rehearses_on_the_sites_own_mock(fed):
    request = fed.request(StatisticsPlan(("age",), by="sex"), purpose="ages")
    owner = fed.owner("a")
    before = owner.ledger.verify().count
    rehearsal = fednb.rehearse(owner, request.hash[:12])
    assert shown(rehearsal) == named(request.contract) == {(0, "table", "masked")}
    assert rehearsal.cost.patients == 60
    assert owner.ledger.verify().count == before
    with pytest.raises(InputError, match="Unknown contract"):
        fednb.rehearse(owner, "0" * 12)


def test_what_one_site_answers_alone_is_shown_as_a_cut_table(fed):
    request = fed.request(StatisticsPlan(("age",)), purpose="one", sites=["a"])
    (table,) = request.preview(dry_run=True).rehearsal.outputs
    assert table.kind == "table"
    assert table.sample.endswith(", ...")
    assert table.sample.count(",") == 4


def test_statistics_can_be_tried_on_the_mock(fed):
    result = StatisticsPlan(("age",), by="sex").dry_run(
        fed["a"].datasets["clinic"].mock
    )
    assert "age" in repr(result)


def test_a_description_can_be_tried_on_the_mock_and_its_contract_too(fed):
    mock = fed["a"].datasets["clinic"].mock
    result = DescribePlan(("age", "sex")).dry_run(mock)
    assert result.subjects == len(mock.table)
    assert result.column("age").n == mock.table["age"].notna().sum()
    request = fed.request(DescribePlan(), purpose="how many there are")
    rehearsal = request.preview(dry_run=True).rehearsal
    (output,) = rehearsal.outputs
    (spec,) = request.contract.outputs
    assert output.bytes == spec.bytes == 8 * 2 * (1 + len(COLUMNS))


def test_what_builds_on_another_contract_has_no_dry_run(fed):
    mock = fed["a"].datasets["clinic"].mock
    contract = fed.request(COX, purpose="later").contract
    later = type(contract)(
        **{n: getattr(contract, n) for n in contract.__struct_fields__}
        | {"steps": (ELSEWHERE,)}
    )
    with pytest.raises(PlanError, match="step 0 builds on the result of another"):
        mock.rehearse(later)


def test_nothing_private_is_in_a_rehearsal(fed):
    request = fed.request(StatisticsPlan(("age",)), purpose="secrets", sites=["a"])
    words = repr(fednb.rehearse(fed.owner("a"), request.hash))
    assert "patient-0" not in words
    # sizes and times may look like anybody's age
    shown = words.split("sample of the mock")[1].split("What it costs")[0]
    assert not [v for v in clinic("a")["age"] if f"{v:.4g}" in shown]
