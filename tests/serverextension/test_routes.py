"""The routes of a real Jupyter Server, beside the sites that it decides for."""

from __future__ import annotations

import http.cookiejar
from dataclasses import replace

import pytest
from panel_server import TOKEN, id_of

from fednb.display.html import TAGS
from fednb.records.tasks import StatisticsPlan
from fednb.serverextension.manager import NO_HOME, HomesManager


def path_of(sites, request, site="a", verb=""):
    home = f"fednb/homes/{id_of(sites.owner(site).path)}"
    return "/".join(filter(None, (home, "requests", request.hash, verb)))


def words_of(nodes) -> str:
    return "".join(n if isinstance(n, str) else words_of(n["children"]) for n in nodes)


def tags_of(nodes) -> set[str]:
    inner = [n for n in nodes if isinstance(n, dict)]
    return {n["tag"] for n in inner}.union(*(tags_of(n["children"]) for n in inner))


def stranger(server):
    return replace(server, token="", cookies=http.cookiejar.CookieJar())


def test_homes_come_from_the_environment_and_the_configuration(server, sites):
    answer = server.ask("fednb/homes")
    rows = {row.get("name", ""): row for row in answer.body["homes"]}
    assert (answer.status, answer.body["advice"]) == (200, "")
    assert list(rows) == ["a", "b", "", "c"]
    assert rows["a"]["profile"] == "standard"
    assert rows["a"]["fingerprint"] == sites.owner("a").fingerprint
    assert rows["a"]["datasets"] == [
        {"name": "clinic", "patients": 60, "modalities": [], "synthetic": False}
    ]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_home_that_is_missing_gives_one_clear_error(server, asked):
    rows = server.ask("fednb/homes").body["homes"]
    (missing,) = [row["error"] for row in rows if "error" in row]
    assert missing["code"] == "home"
    assert missing["message"] == (
        "The site's home cannot be used; nothing was decided."
    )
    assert "nothing-here: site.sqlite is missing" in missing["advice"]
    one = server.ask(f"fednb/homes/{server.missing}")
    assert (one.status, one.body["error"]) == (503, missing)
    # the others are not disturbed
    listed = server.ask("fednb/requests").body["requests"]
    assert {r["site"] for r in listed if r["hash"] == asked.hash} == {"a", "b", "c"}


def test_without_homes_the_answer_says_how_to_get_one():
    assert HomesManager(("", " ")).homes() == {"homes": [], "advice": NO_HOME}


@pytest.mark.parametrize("verb", ["", "approve", "deny", "revoke"])
def test_without_a_token_nothing_is_answered(server, sites, asked, verb):
    body = {"note": "mine"} if verb else None
    answer = stranger(server).ask(path_of(sites, asked, verb=verb), body)
    assert (answer.status, answer.body["error"]["code"]) == (403, "forbidden")
    assert set(answer.body) == {"error"}
    for path in ("fednb/homes", "fednb/requests"):
        assert stranger(server).ask(path).status == 403
    assert asked.status["a"] == "pending"


def test_a_cookie_alone_decides_nothing(server, sites, asked):
    """Another page in the same browser has the cookie, and no XSRF token."""
    browser = stranger(server)
    # what a browser does that opens the link with the token
    assert browser.ask(f"?token={TOKEN}").status in {200, 404}
    cookies = {cookie.name: cookie.value for cookie in browser.cookies}
    assert browser.ask("fednb/homes").status == 200
    approve = path_of(sites, asked, verb="approve")
    forged = browser.ask(approve, {"note": ""}, Origin="http://elsewhere.example")
    assert forged.status in {403, 404}
    bare = browser.ask(approve, {"note": ""})
    assert (bare.status, bare.body["error"]["code"]) == (403, "forbidden")
    assert asked.status["a"] == "pending"
    meant = browser.ask(approve, {"note": ""}, **{"X-XSRFToken": cookies["_xsrf"]})
    assert (meant.status, meant.body["status"]) == (200, "approved")


def test_a_request_is_shown_as_the_owner_sees_it(server, sites, asked):
    card = server.ask(path_of(sites, asked)).body
    owned = sites.owner("a").requests[asked.hash]
    assert (card["status"], card["purpose"]) == ("pending", "how old they are")
    assert (card["requester"], card["dataset"]) == (owned.requester, "clinic")
    words = words_of(card["page"])
    for shown in (asked.hash, owned.contract.requester_key, *owned.notes):
        assert shown in words
    assert all(spec.name in words for spec in owned.outputs)
    assert tags_of(card["page"]) <= TAGS


def test_an_approval_is_the_owners_own(server, sites, asked):
    answer = server.ask(path_of(sites, asked, verb="approve"), {"note": "by telephone"})
    assert (answer.status, answer.body["status"]) == (200, "approved")
    assert answer.body["note"] == "by telephone"
    assert asked.status == {"a": "approved", "b": "pending", "c": "pending"}
    owner = sites.owner("a")
    last = owner.ledger.entries[-1]
    assert (last.kind, last.reason) == ("decision", "by telephone")
    assert last.body["contract"] == asked.hash
    owner.ledger.verify()
    home = server.ask(f"fednb/homes/{id_of(owner.path)}").body
    assert home["ledger"]["head"] == last.hash
    assert home["requests"]["approved"] >= 1


def test_denying_needs_a_reason_and_happens_once(server, sites, asked):
    deny = path_of(sites, asked, "b", "deny")
    for body in ({"reason": " "}, {}, {"reason": 1}, {"reason": "x" * 2001}, b"\xff"):
        assert server.ask(deny, body).status == 400
    assert asked.status["b"] == "pending"
    assert server.ask(deny, {"reason": "not for this"}).body["status"] == "denied"
    again = server.ask(path_of(sites, asked, "b", "approve"), {})
    assert (again.status, again.body["error"]["code"]) == (400, "input")
    assert again.body["error"]["advice"] == (
        f"Contract {asked.hash[:12]} is denied; it cannot be approved."
    )
    assert asked.status["b"] == "denied"


def test_an_approval_is_taken_back_with_a_reason(server, sites, asked):
    revoke = path_of(sites, asked, verb="revoke")
    early = server.ask(revoke, {"reason": "too soon"})
    assert (early.status, early.body["error"]["code"]) == (400, "input")
    server.ask(path_of(sites, asked, verb="approve"), {"note": ""})
    for body in ({"reason": " "}, {}, {"note": "x"}):
        assert server.ask(revoke, body).status == 400
    assert asked.status["a"] == "approved"
    answer = server.ask(revoke, {"reason": "a patient withdrew"})
    assert (answer.status, answer.body["status"]) == (200, "revoked")
    assert answer.body["note"] == "a patient withdrew"
    assert asked.status["a"] == "revoked"
    owner = sites.owner("a")
    assert owner.ledger.entries[-1].reason == "a patient withdrew"
    owner.ledger.verify()


def test_what_is_not_there_is_said_in_the_same_shape(server, sites, asked):
    known = path_of(sites, asked)
    for path in (
        known.replace(asked.hash, "0" * 64),
        "fednb/homes/" + "0" * 16,
        known + "/grant",
    ):
        assert server.ask(path).status == 404
    answer = server.ask("fednb/homes/" + "0" * 16)
    assert answer.body["error"]["message"] == (
        "This server does not have what was asked for."
    )
    assert server.ask(known + "/approve").body["error"]["code"] == "method"


def test_hostile_words_come_back_as_text(server, sites, hostile, monkeypatch):
    monkeypatch.setattr(sites._scientist, "name", hostile.HOSTILE)
    plan = StatisticsPlan(("age",), "sex")
    request = sites.request(plan, purpose=hostile.HOSTILE)
    answer = server.ask(path_of(sites, request, "c"))
    assert answer.headers.get_content_type() == "application/json"
    card = answer.body
    words = words_of(card["page"])
    for text in (card["purpose"], card["requester"], words):
        assert "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>" in text
        assert not [c for c in text if hostile.is_invisible(c)]
    assert tags_of(card["page"]) <= TAGS
    listed = server.ask("fednb/requests").body["requests"]
    (row,) = [r for r in listed if r["hash"] == request.hash and r["site"] == "c"]
    assert not [c for c in row["purpose"] if hostile.is_invisible(c)]
