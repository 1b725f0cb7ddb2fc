"""The JavaScript: it parses, shows words as text, and loses no event."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from pages import node

from fednb.widgets.sources import CSS, STATIC, ask, module

NAMES = ("run_monitor", "approval_inbox", "sites_table")
PARTS = ("volume_slices", "volume_viewer")
PAGE = Path(__file__).parent / "page.mjs"
BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """The modules as files, each with what it shares with the others."""
    folder = tmp_path_factory.mktemp("modules")
    for name in NAMES:
        (folder / f"{name}.mjs").write_text(module(name))
    return folder


@pytest.fixture
def show(modules):
    """Draw a widget on a page that only remembers, and act on it."""

    def drawn(name: str, state: dict, *script: dict) -> dict:
        given = json.dumps({"state": state, "script": script})
        page = json.loads(node(PAGE, modules / f"{name}.mjs", given=given))
        assert page["left"] == [0, 0, 0], "something stays when a view is closed"
        return page

    return drawn


LOOK = {"do": "look"}


@pytest.mark.parametrize("name", NAMES)
def test_a_module_parses_and_is_small(modules, name):
    node("--check", modules / f"{name}.mjs")
    assert len(module(name)) < 12_000


def test_nothing_is_fetched_and_nothing_else_is_made_markup():
    files = sorted(f for f in STATIC.iterdir() if f.is_file())
    assert {f.stem for f in files} == {*NAMES, *PARTS, "common", "fednb"}
    for file in files:
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        # of the page's own server: whether it has the 3D viewer
        text = text.replace('await fetch(address, { method: "HEAD" })', "")
        banned = r"https?:|//[a-z]+\.|\bfetch\b|\bimport\b|@import|url\(|eval|outerHTML"
        assert not re.findall(banned, text), file.name
        assert not re.findall(r"insertAdjacent|document\.write|save_changes", text)
        markup = re.findall(r"innerHTML = (.*)", text)
        expected = ["row.page;"] if file.stem == "approval_inbox" else []
        assert markup == expected
    assert len(CSS.read_text()) < 6_000


def test_colours_are_of_the_theme():
    colours = re.findall(r"#[0-9a-f]{3,6}|rgba\([^)]*\)", CSS.read_text())
    inside = re.findall(
        r"var\(--jp-[a-z0-9-]+, (#[0-9a-f]+|rgba\([^)]*\))", CSS.read_text()
    )
    assert colours == inside


def test_words_of_a_message_are_text():
    assert ask({"verb": "stop", "hash": 1, 2: "x", "note": ["y"]}) == {"verb": "stop"}
    assert ask("stop") == ask(None) == {}


def event(seq: int, kind: str = "round", text: str = "", **metrics: float) -> dict:
    return {
        "seq": seq,
        "time": 1.0,
        "kind": kind,
        "step": 0,
        "round": seq - 1,
        "text": text,
        "metrics": metrics,
    }


def state(status: str = "running", **changes: object) -> dict:
    return {
        "run": "0123",
        "status": status,
        "final": False,
        "step": 1,
        "steps": 1,
        "round": 1,
        "rounds": 3,
        "fault": "",
        "updated": "then",
        "asked": time.time(),
        "sites": [{"name": BAD, "state": "seen", "seen": time.time() - 3700}],
        **changes,
    }


def test_a_monitor_loses_no_event_and_takes_none_twice(show):
    events = [event(i + 1, train_loss=1.0 / (i + 1)) for i in range(6)]
    page = show(
        "run_monitor",
        {"state": state(), "history": events[:2], "notice": ""},
        {"do": "message", "content": {"state": state(), "events": events[2:4]}},
        {"do": "message", "content": {"state": state(), "events": events[2:5]}},
        # of another view's time: there is a gap, which the next history closes
        {"do": "message", "content": {"state": state(), "events": [event(9)]}},
        LOOK,
        {"do": "set", "name": "history", "value": events},
        LOOK,
    )
    before, after = page["shots"]
    assert (before["events"], after["events"]) == (5, 6)
    (line,) = after["lines"]
    assert len(line.split()) == 6
    # the first round is the leftmost and highest loss, the last the rightmost, lowest
    assert line.split()[0] == "54.0,8.0"
    assert line.split()[-1] == "312.0,130.0"
    assert page["markup"] == []


def test_a_monitor_shows_ages_curves_and_no_old_state_as_live(show):
    events = [
        event(1, train_loss=2.0, validation_loss=3.0, validation_auc=0.5, other=1.0),
        event(2, "failed", BAD),
    ]
    page = show(
        "run_monitor",
        {"state": state(), "history": events, "notice": BAD},
        LOOK,
        {"do": "set", "name": "state", "value": state(asked=time.time() - 100)},
        LOOK,
    )
    live, old = page["shots"]
    assert f"{BAD} seen 1 h ago" in " ".join(live["text"].split())
    assert "validation auc 0.5" in live["text"]
    assert "other 1" in live["text"]
    assert len(live["lines"]) == 4
    assert f"failed {BAD}" in live["text"]
    assert "last known" not in live["text"]
    assert "last known: running" in old["text"]
    assert page["markup"] == []


def test_buttons_of_a_run_follow_its_state_and_stop_asks_twice(show):
    page = show(
        "run_monitor",
        {"state": state(), "history": [], "notice": ""},
        LOOK,
        {"do": "click", "label": "Pause"},
        {"do": "click", "label": "Stop"},
        # a state that comes in between does not take the question back
        {"do": "set", "name": "state", "value": state()},
        LOOK,
        {"do": "click", "label": "Stop for good?"},
        {"do": "set", "name": "state", "value": state("paused")},
        LOOK,
        {"do": "set", "name": "state", "value": state("completed", final=True)},
        LOOK,
    )
    shown = [[label for label, _ in shot["buttons"]] for shot in page["shots"]]
    assert shown == [
        ["Pause", "Stop"],
        ["Pause", "Stop for good?"],
        ["Resume", "Stop"],
        [],
    ]
    assert page["sent"] == [{"view": "shown"}, {"verb": "pause"}, {"verb": "stop"}]


def row(name: str, status: str = "pending", **changes: object) -> dict:
    verbs = {"pending": ["approve", "deny"], "approved": ["revoke"]}.get(status, [])
    return {
        "hash": name * 64,
        "status": status,
        "requester": BAD,
        "dataset": BAD,
        "purpose": BAD,
        "received": "then",
        "page": f"<p>{name}</p>",
        "verbs": verbs,
        **changes,
    }


def test_an_inbox_denies_only_with_a_reason_and_names_the_hash(show):
    page = show(
        "approval_inbox",
        {"requests": [row("a")], "rest": 0, "notice": BAD, "site": BAD},
        {"do": "click", "label": "Deny"},
        LOOK,
        {"do": "type", "at": 1, "words": "no"},
        {"do": "click", "label": "Deny"},
        {"do": "type", "at": 0, "words": "yes"},
        {"do": "click", "label": "Approve"},
        {"do": "set", "name": "requests", "value": [row("a", "approved")]},
        LOOK,
        {"do": "click", "label": "Revoke"},
        {"do": "type", "words": "a mistake"},
        {"do": "click", "label": "Revoke"},
    )
    pending, approved = page["shots"]
    assert pending["buttons"] == [["Approve", False], ["Deny", True]]
    assert approved["buttons"] == [["Revoke", True]]
    assert page["sent"] == [
        {"view": "shown"},
        {"verb": "deny", "hash": "a" * 64, "reason": "no"},
        {"verb": "approve", "hash": "a" * 64, "note": "yes"},
        {"verb": "revoke", "hash": "a" * 64, "reason": "a mistake"},
    ]
    # only the page of the display layer becomes markup
    assert page["markup"] == ["<p>a</p>", "<p>a</p>"]
    assert pending["text"].count(BAD) == 5


def test_an_inbox_keeps_what_is_being_typed_when_others_arrive(show):
    page = show(
        "approval_inbox",
        {"requests": [row("a")], "rest": 0, "notice": "", "site": ""},
        {"do": "type", "words": "half a sen"},
        {"do": "set", "name": "requests", "value": [row("b"), row("a")]},
        {"do": "set", "name": "rest", "value": 3},
        LOOK,
    )
    (shot,) = page["shots"]
    assert shot["words"] == ["", "", "half a sen", ""]
    assert "2 waiting for a decision" in shot["text"]
    assert "… and 3 more" in shot["text"]


def test_a_table_of_sites_says_when_it_was_not_asked_and_how_old_it_is(show):
    now = time.time()
    rows = [
        {"name": BAD, "state": "ready", "seen": now - 5},
        {"name": "b", "state": "unreachable", "seen": 0},
    ]
    page = show(
        "sites_table",
        {"table": {}, "notice": ""},
        LOOK,
        {"do": "set", "name": "table", "value": {"rows": rows, "asked": now}},
        LOOK,
        {"do": "set", "name": "table", "value": {"rows": rows, "asked": now - 60}},
        LOOK,
    )
    none, live, old = (" ".join(shot["text"].split()) for shot in page["shots"])
    assert "being asked" in none
    assert re.search(rf"{re.escape(BAD)} ready \d+ s ago b unreachable never", live)
    assert "last known: ready" in old
    assert page["markup"] == []
