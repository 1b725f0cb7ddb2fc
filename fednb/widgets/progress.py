"""`RunMonitor`: a run's curves, its sites, and what stops it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import anywidget
import traitlets
from typing_extensions import override

from fednb.display.text import utc, visible
from fednb.errors import FednbError
from fednb.records.service import FINAL
from fednb.widgets.comms import hear_while_busy
from fednb.widgets.publisher import Publisher
from fednb.widgets.sources import CSS, ask, module

if TYPE_CHECKING:
    from fednb.coordinator.handles import Run
    from fednb.records.service import Event, RunLine

SYNC_SECONDS: Final = 2.0
"""How old the synced history may be; deltas carry what came since."""

_STATE_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 0.3
_RETRY_SECONDS: Final = 5.0
_MAX_TEXT: Final = 1000


class RunMonitor(anywidget.AnyWidget):
    """Shows a run while it goes on; its buttons pause, resume and stop it.

    `history` is what a page that is opened or reloaded begins with. A message
    ``{"events": [...], "state": {...}}`` begins where the synced history ends, so that
    a view loses nothing, whichever messages came before it was there; events bear the
    run's own sequence numbers, without gaps.

    Parameters
    ----------
    run
        The run; asked in a thread, never by the kernel's own.

    Attributes
    ----------
    state
        How the run stands, as of ``asked``, with the time each site was last heard.
    history
        All events: ``seq, time, kind, step, round, text, metrics``.
    notice
        Why a button did nothing, or why the run cannot be asked.
    """

    _esm = module("run_monitor")
    _css = CSS

    state: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    history: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(self, run: Run) -> None:
        super().__init__(state={"run": run.id, "status": "not asked yet", "sites": []})
        self._run = run
        self._state = dict(self.state)
        self._events: list[dict[str, Any]] = []
        self._synced_at = 0.0
        self._asked_at = 0.0
        # the publisher's thread and the kernel's own send; a message is whole
        self._lock = threading.Lock()
        self._verbs = {"pause": run.pause, "resume": run.resume, "stop": run.stop}
        self.on_msg(self._on_message)
        hear_while_busy(self)
        self.publisher = Publisher(self._publish)
        self.publisher.start()

    @override
    def close(self) -> None:
        """Take the widget off the page; the run goes on."""
        self.publisher.close()
        super().close()

    def _publish(self) -> float | None:
        # known before the events are asked: nothing follows the last of them
        final = self._state["status"] in FINAL
        try:
            fresh = self._run.events(len(self._events))
            if fresh or time.monotonic() - self._asked_at >= _STATE_SECONDS:
                self._ask_state()
        except FednbError as error:
            self._tell(visible(error, _MAX_TEXT))
            return _RETRY_SECONDS
        self._events += map(_event, fresh)
        ended = final and not fresh
        if fresh and time.monotonic() - self._synced_at < SYNC_SECONDS:
            delta = self._events[len(self.history) :]
            self.send({"events": delta, "state": self._state})
        else:
            self._sync()
        if ended:
            return None
        return 0.0 if fresh else _IDLE_SECONDS

    def _ask_state(self) -> None:
        line = self._run.line
        self._asked_at = time.monotonic()
        self._state = _state(line, len(self._run.contract.steps))

    def _sync(self) -> None:
        """Bring the synced traits up to date, in one message."""
        with self._lock, self.hold_sync():
            self.state = self._state
            if len(self.history) < len(self._events):
                self.history = list(self._events)
                self._synced_at = time.monotonic()

    def _on_message(self, _: object, content: object, _buffers: object) -> None:
        verb = self._verbs.get(ask(content).get("verb", ""))
        if verb is None:
            return
        try:
            verb()
            self._tell("")
        except FednbError as error:
            self._tell(visible(error, _MAX_TEXT))
        self._asked_at = 0.0
        self.publisher.start()

    def _tell(self, notice: str) -> None:
        with self._lock:
            self.notice = notice


def _state(line: RunLine, steps: int) -> dict[str, Any]:
    return {
        "run": line.run,
        "status": line.status,
        "final": line.status in FINAL,
        "step": line.step + 1,
        "steps": steps,
        "round": line.round,
        "rounds": line.rounds,
        "fault": visible(line.fault.revived(), _MAX_TEXT) if line.fault else "",
        "updated": utc(int(line.updated)),
        "asked": time.time(),
        "sites": [
            {"name": visible(s.site), "state": visible(s.state), "seen": s.seen}
            for s in line.sites
        ],
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "time": event.time,
        "kind": visible(event.kind),
        "step": event.step,
        "round": event.round,
        "text": visible(event.text, _MAX_TEXT),
        "metrics": {visible(name): value for name, value in event.metrics.items()},
    }
