"""`RunMonitor` over a scripted run, whose events are known, and over a real one."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from clinics import federate

from fednb.errors import RunError, SiteDownError
from fednb.records.heads import CoxPlan
from fednb.records.messages import Call
from fednb.records.service import Event, Fault, RunLine, SiteLine
from fednb.records.specs import SplitSpec
from fednb.widgets import progress
from fednb.widgets.progress import RunMonitor
from fednb.wire.codec import decode_ask

COX = CoxPlan(
    covariates=("age",),
    duration="os_months",
    event="death",
    split=SplitSpec(1.0, 0.0, 0.0),
    fit_on="train",
    evaluate_on="train",
)


class Outage:
    """Lets a site answer everything but the calls of a run, until it is over."""

    def __init__(self, fed, site: str) -> None:
        self.over = False
        self._site = site
        self._handle = fed.transport._handlers[site]
        fed.transport._handlers[site] = self

    def __call__(self, message: bytes) -> bytes:
        if not self.over and isinstance(decode_ask(message), Call):
            raise SiteDownError(self._site)
        return self._handle(message)


class ScriptedRun:
    """A run that goes as far as its test lets it."""

    id = "0123456789abcdef"
    contract = SimpleNamespace(steps=(COX,))

    def __init__(self, site: str = "a") -> None:
        self.line = RunLine(
            self.id, "ab" * 32, "running", 0, 0, 9, (SiteLine(site, "seen", 5.0),),
            None, 1.0, 2.0,
        )  # fmt: skip
        self.all: list[Event] = []
        self.verbs: list[str] = []

    def events(self, since: int = 0):
        return tuple(self.all[since:])

    def add(self, kind: str = "round", text: str = "", **metrics: float) -> None:
        number = len(self.all)
        self.all.append(Event(number + 1, 7.0, kind, 0, number, text, metrics))

    def end(self, status: str, fault: Fault | None = None) -> None:
        line = self.line
        self.line = RunLine(
            line.run, line.contract, status, 0, 3, 9, line.sites, fault, 1.0, 2.0
        )

    def pause(self) -> None:
        self.verbs.append("pause")

    def resume(self) -> None:
        self.verbs.append("resume")

    def stop(self) -> None:
        message = "Run has completed; it cannot stop."
        raise RunError(message)


@pytest.fixture
def run():
    return ScriptedRun()


def numbers(events) -> list[int]:
    return [event["seq"] for event in events]


def test_a_page_that_is_opened_late_has_the_whole_history(run):
    for i in range(5):
        run.add(train_loss=1.0 / (i + 1))
    run.add("completed")
    run.end("completed")
    monitor = RunMonitor(run)
    assert monitor.publisher.join(60)
    state = monitor.get_state()
    assert numbers(state["history"]) == [1, 2, 3, 4, 5, 6]
    assert state["history"][3]["metrics"] == {"train_loss": 0.25}
    assert state["state"]["status"] == "completed"
    assert state["state"]["final"]
    assert state["state"]["sites"] == [{"name": "a", "state": "seen", "seen": 5.0}]


def test_a_delta_begins_where_the_synced_history_ends(run, monkeypatch):
    """Whatever a view missed: its history and the next message have no gap."""
    monkeypatch.setattr(progress, "SYNC_SECONDS", 3600.0)
    run.add()
    monitor = RunMonitor(run)
    monitor.comm.until(lambda s: numbers(s["history"]) == [1])
    for count in (2, 3):
        run.add(train_loss=0.5)
        # the thread never waits for long, however busy the kernel's own is
        monitor.comm.until(
            lambda _, n=count: any(
                numbers(m["events"])[-1:] == [n] for m in monitor.comm.custom
            )
        )
    assert all(numbers(m["events"])[0] == 2 for m in monitor.comm.custom)
    run.end("completed")
    monitor.comm.until(lambda s: numbers(s["history"]) == [1, 2, 3])
    assert monitor.publisher.join(60)
    assert monitor.comm.thread_names == {"fednb-widget"}


def test_only_the_thread_of_the_monitor_asks(run):
    asked = []
    run.end("stopped")
    events = run.events

    def noting(since):
        asked.append(threading.current_thread().name)
        return events(since)

    run.events = noting
    monitor = RunMonitor(run)
    assert monitor.publisher.join(60)
    assert set(asked) == {"fednb-widget"}


def test_buttons_reach_the_run_and_a_refusal_is_told(run):
    monitor = RunMonitor(run)
    monitor.comm.receive(verb="pause")
    monitor.comm.receive(verb="resume")
    monitor.comm.receive(verb="stop")
    assert run.verbs == ["pause", "resume"]
    assert monitor.notice == "Run has completed; it cannot stop."
    monitor.comm.receive(verb="pause")
    assert monitor.notice == ""


@pytest.mark.parametrize(
    "content", [{"verb": "close"}, {"verb": 1}, {"verb": "__init__"}, {}, {"view": "x"}]
)
def test_other_messages_do_nothing(run, content):
    monitor = RunMonitor(run)
    monitor.comm.receive(**content)
    assert run.verbs == []
    assert monitor.notice == ""


def test_what_others_wrote_is_visible_text(hostile):
    run = ScriptedRun(hostile.HOSTILE)
    run.add("failed", hostile.HOSTILE, **{hostile.HOSTILE: 1.0})
    run.end("failed", Fault("RunError", (hostile.HOSTILE,)))
    monitor = RunMonitor(run)
    assert monitor.publisher.join(60)
    (event,) = monitor.history
    words = (
        monitor.state["sites"][0]["name"],
        monitor.state["fault"],
        event["text"],
        *event["metrics"],
    )
    for word in words:
        hostile.assert_harmless_text(word)


def test_a_run_that_cannot_be_asked_says_why(run):
    def events(since):
        message = "The connection was closed; connect again."
        raise RunError(message)

    run.events = events
    monitor = RunMonitor(run)
    told = monitor.comm.until(lambda s: s["notice"])
    assert told["notice"] == "The connection was closed; connect again."


def test_a_real_run_pauses_resumes_by_a_button_and_completes(tmp_path):
    with federate(tmp_path, approve="auto", profile="open") as fed:
        request = fed.request(COX, purpose="survival by age")
        outage = Outage(fed, "b")
        run = request.start()
        monitor = RunMonitor(run)
        paused = monitor.comm.until(lambda s: s["state"]["status"] == "paused")
        assert "b" in paused["state"]["fault"]
        assert {s["name"] for s in paused["state"]["sites"]} == {"a", "b", "c"}
        outage.over = True
        monitor.comm.receive(verb="resume")
        done = monitor.comm.until(lambda s: s["state"]["status"] == "completed")
        assert done["state"]["final"]
        assert monitor.publisher.join(60)
        assert monitor.history == [progress._event(e) for e in run.events()]
        assert numbers(monitor.history) == list(range(1, len(monitor.history) + 1))
        monitor.comm.receive(verb="stop")
        assert monitor.notice == f"Run {run.id} has completed; it cannot stop."


def test_a_real_run_is_stopped_by_a_button(tmp_path):
    with federate(tmp_path, approve="auto", profile="open") as fed:
        request = fed.request(COX, purpose="survival by age")
        Outage(fed, "b")
        monitor = RunMonitor(request.start())
        monitor.comm.until(lambda s: s["state"]["status"] == "paused")
        monitor.comm.receive(verb="stop")
        monitor.comm.until(lambda s: s["state"]["status"] == "stopped")
        assert monitor.publisher.join(60)
        assert monitor.history[-1]["kind"] == "stopped"
