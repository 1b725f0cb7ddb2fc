"""Which descriptions a standing contract covers, at a real site over the wire."""

from __future__ import annotations

import pytest
from counterparty import approved, drafted, place, propose, query, refused, released

from fednb.records.base import canonical
from fednb.records.heads import CoxPlan
from fednb.records.messages import Refusal
from fednb.records.studies import StudyPlan
from fednb.records.tasks import DescribePlan, StatisticsPlan
from fednb.wire.codec import encode

COX = CoxPlan(covariates=("age",), duration="os_months", event="death")


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (DescribePlan(("age", "sex"), ()), "The contract names no column sex."),
        (DescribePlan(("age",), ("T1c",)), "The contract names no modality T1c."),
        (DescribePlan(), "The query is a DescribePlan; the step answers a Desc"),
        (DescribePlan(("age",)), "The query is a DescribePlan; the step answers a"),
        (StatisticsPlan(("age",)), "The query is a StatisticsPlan; the step answers"),
        (COX, "The contract names no column "),
    ],
)
def test_what_a_standing_contract_does_not_cover_is_refused(tables, plan, reason):
    contract = approved(tables, drafted(tables, DescribePlan(("age",), ())))
    told = refused(tables, "a", query(tables, "a", contract, plan), "not-in-contract")
    assert told.startswith(reason)


def test_a_query_is_answered_by_the_step_of_its_kind_alone(tables):
    study = StudyPlan((StatisticsPlan(("age",)), DescribePlan(("idh",), ())))
    contract = approved(tables, drafted(tables, study, standing=True))
    ask = query(tables, "a", contract, DescribePlan(("idh",), ()), run="one-query")
    assert refused(tables, "a", ask, "not-in-contract")
    moved = {"place": place(contract, "one-query", 1), "run": "one-query"}
    ask = query(tables, "a", contract, DescribePlan(("idh",), ()), **moved)
    released(tables, "a", ask)
    # another's words, or the same in another order of bytes
    for body in (canonical(DescribePlan((), ())), ask.query.replace(b":", b": ", 1)):
        changed = query(tables, "a", contract, DescribePlan(("idh",), ()), query=body)
        assert refused(tables, "a", changed, "signature")


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((DescribePlan(),), "A description must name its columns and its modalities."),
        ((DescribePlan(("rows",), ()),), "The dataset has no rows; it has "),
        (2 * (DescribePlan(("age",), ()),), "A standing contract answers statistics"),
        ((DescribePlan(("age",), ()), COX), "A standing contract answers statistics"),
    ],
)
def test_a_contract_that_describes_too_much_is_not_shown_to_an_owner(
    tables, steps, reason
):
    honest = drafted(tables, DescribePlan(("age",), ()))
    contract = type(honest)(
        **{n: getattr(honest, n) for n in honest.__struct_fields__} | {"steps": steps}
    )
    _, reply = propose(tables, "a", contract)
    assert isinstance(reply, Refusal)
    assert reply.cause == "not-in-contract"
    assert tables.owner("a").ledger.find(reply.correlation).reason.startswith(reason)


def test_a_description_survives_a_lost_answer(tables):
    """The same call gets the same bytes again (law 5)."""
    contract = approved(tables, drafted(tables, DescribePlan(("age",), ())))
    ask = query(tables, "a", contract, DescribePlan(("age",), ()))
    first, _ = released(tables, "a", ask)
    assert tables.transport.call("a", encode(ask), timeout=5) == first
