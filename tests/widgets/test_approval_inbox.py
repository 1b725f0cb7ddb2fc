"""`ApprovalInbox` over real sites whose owners decide by hand."""

from __future__ import annotations

import pytest
from clinics import COLUMNS, clinic, federate

from fednb.embedded.federation import Federation
from fednb.records.datasets import Column
from fednb.records.tasks import DescribePlan, StatisticsPlan
from fednb.widgets import approvals
from fednb.widgets.approvals import ApprovalInbox

PLAN = StatisticsPlan(("age",))


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    with federate(tmp_path_factory.mktemp("inbox")) as served:
        yield served


@pytest.fixture
def request_(fed):
    return fed.request(PLAN, purpose="how old they are")


def row_of(inbox, request) -> dict:
    return next(r for r in inbox.requests if r["hash"] == request.hash)


def decide(inbox, verb: str, request, **words: object) -> None:
    inbox.comm.receive(verb=verb, hash=request.hash, **words)


def test_a_request_is_shown_in_full_and_approved(fed, request_):
    owner = fed.owner("a")
    inbox = ApprovalInbox(owner)
    row = row_of(inbox, request_)
    assert inbox.site == "a"
    assert (row["status"], row["verbs"]) == ("pending", ["approve", "deny"])
    assert row["page"] == owner.requests[request_.hash]._repr_html_()
    assert request_.hash in row["page"]
    decide(inbox, "approve", request_, note="by telephone")
    assert row_of(inbox, request_)["verbs"] == ["revoke"]
    assert request_.status == {"a": "approved", "b": "pending", "c": "pending"}
    assert owner.requests[request_.hash].note == "by telephone"
    assert inbox.notice == ""
    owner.ledger.verify()


def test_denying_and_revoking_need_a_reason(fed, request_):
    inbox = ApprovalInbox(fed.owner("a"))
    decide(inbox, "deny", request_, reason=" ")
    assert inbox.notice == "Say why, for the site's own records: reason is empty."
    assert request_.status["a"] == "pending"
    decide(inbox, "deny", request_, reason="not for this")
    assert row_of(inbox, request_)["status"] == "denied"
    assert row_of(inbox, request_)["verbs"] == []
    other = ApprovalInbox(fed.owner("b"))
    decide(other, "approve", request_)
    decide(other, "revoke", request_)
    assert other.notice == "Say why, for the site's own records: reason is empty."
    decide(other, "revoke", request_, reason="a mistake")
    assert request_.status == {"a": "denied", "b": "revoked", "c": "pending"}


def test_a_decision_is_made_once_and_only_on_what_is_shown(fed, request_):
    inbox = ApprovalInbox(fed.owner("a"))
    later = fed.request(PLAN, purpose="came after the inbox was drawn")
    decide(inbox, "approve", later)
    assert later.status["a"] == "pending"
    start = f"No contract '{later.hash[:12]}' is shown; show the requests anew."
    assert inbox.notice == start
    fed.owner("a").requests[request_.hash].approve()
    decide(inbox, "approve", request_)
    assert "approved" in inbox.notice
    for content in ({"verb": "grant", "hash": request_.hash}, {"verb": 1}, {"hash": 2}):
        inbox.comm.receive(**content)
    assert later.status["a"] == "pending"


def test_requests_that_come_later_appear_by_themselves(fed, monkeypatch):
    monkeypatch.setattr(approvals, "REFRESH_SECONDS", 0.1)
    inbox = ApprovalInbox(fed.owner("c"))
    inbox.comm.receive(view="shown")
    late = fed.request(PLAN, purpose="a later one")
    known = inbox.comm.until(
        lambda s: any(r["hash"] == late.hash for r in s["requests"])
    )
    assert known["requests"][0]["status"] == "pending"


def test_requests_that_were_looked_up_can_be_decided(fed, request_):
    inbox = ApprovalInbox(fed.owner("a").requests)
    decide(inbox, "approve", request_)
    assert row_of(inbox, request_)["status"] == "approved"
    assert inbox.publisher.join(60)
    assert request_.status["a"] == "approved"


def test_a_long_list_is_cut_and_what_waits_comes_first(fed, request_, monkeypatch):
    monkeypatch.setattr(approvals, "MAX_SHOWN", 1)
    denied = fed.request(DescribePlan(), purpose="the newest")
    owner = fed.owner("a")
    owner.requests[denied.hash].deny("no")
    inbox = ApprovalInbox(owner)
    assert [r["status"] for r in inbox.requests] == ["pending"]
    assert inbox.rest == len(owner.requests) - 1


def test_nothing_hostile_is_live(tmp_path, hostile):
    """The words of a requester, and a column of a dataset, are shown as text."""
    name = "<img src=x onerror=alert(1)>\"'>"
    frame = clinic("a").assign(**{name: 1.5})
    columns = (*COLUMNS, Column(name=name, kind="number", upper=3, step=1))
    given = {"dataset": "clinic", "columns": columns, "folder": tmp_path}
    with Federation.from_frames({"a": frame}, **given) as fed:
        fed._scientist.name = hostile.HOSTILE
        plan = StatisticsPlan((name,))
        fed.request(plan, purpose=hostile.HOSTILE, profile="standard")
        inbox = ApprovalInbox(fed.owner("a"))
        (row,) = inbox.requests
    words = hostile.assert_harmless_html(row["page"], times=4)
    assert words.count(name) >= 4
    for field in ("purpose", "requester"):
        hostile.assert_harmless_text(row[field])
