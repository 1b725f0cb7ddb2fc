"""Whoever waits for an owner's decision reads whose, and that nothing hangs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fednb.display import progress
from fednb.display.progress import Waiting


@pytest.fixture
def screen(monkeypatch):
    """Return what is written to a terminal."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=160)
    monkeypatch.setattr(progress, "Console", lambda: console)
    return written


def test_it_says_whose_decision_is_missing(screen):
    with Waiting("ab" * 32) as shown:
        shown.say(["aspen", "[red]birch"])
        shown.say(["[red]birch"])
        assert shown.words(["dune"]) == (
            "Request abababababab waits for the owners of dune to approve it; "
            "interrupt to stop waiting, the request stays."
        )
    text = screen.getvalue()
    assert "waits for the owners of [red]birch to approve" in text


def test_where_all_have_decided_nothing_is_shown(screen):
    with Waiting("ab" * 32):
        pass
    assert screen.getvalue() == ""
