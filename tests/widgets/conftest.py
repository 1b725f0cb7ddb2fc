"""A front end that only records: what widgets send, and what a page sends back."""

from __future__ import annotations

import runpy
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace

import comm
import pytest
from ipywidgets.widgets.widget import Widget, _instances

PATIENCE = 60.0


class RecordingComm:
    """Stands for the channel between one widget and its page."""

    def __init__(self, *, data=None, **_named) -> None:
        self.comm_id = uuid.uuid4().hex
        self.sent = []
        self.state = dict((data or {}).get("state", {}))
        self.thread_names = set()
        self._changed = threading.Condition()
        self._callback = None

    def on_msg(self, callback) -> None:
        self._callback = callback

    def on_close(self, _callback) -> None:
        pass

    def close(self, *_args, **_named) -> None:
        pass

    def send(self, data=None, **_named) -> None:
        with self._changed:
            self.sent.append(data)
            self.state.update(data.get("state", {}))
            self.thread_names.add(threading.current_thread().name)
            self._changed.notify_all()

    @property
    def custom(self) -> list[dict]:
        """The custom messages, in order."""
        return [m["content"] for m in self.sent if m["method"] == "custom"]

    def receive(self, **content: object) -> None:
        """Deliver a custom message, as a page sends it."""
        data = {"method": "custom", "content": content}
        self._callback({"content": {"data": data}, "buffers": []})

    def until(self, holds) -> dict:
        """Wait until what the page knows fulfils `holds`, and return it."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.state), PATIENCE), (
                self.state
            )
            return dict(self.state)


@pytest.fixture(autouse=True)
def _recorded(monkeypatch):
    """Every widget of a test speaks with a `RecordingComm`, and is closed after it."""
    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    yield
    ours = [w for w in _instances.values() if hasattr(w, "publisher")]
    for widget in ours:
        widget.close()
        assert widget.publisher.join(PATIENCE)
    assert not [t for t in threading.enumerate() if t.name == "fednb-widget"]
    Widget.close_all()


@pytest.fixture(scope="session")
def hostile():
    """The strings and checks of the display layer's tests."""
    path = Path(__file__).parents[1] / "display" / "hostile.py"
    return SimpleNamespace(**runpy.run_path(str(path)))
