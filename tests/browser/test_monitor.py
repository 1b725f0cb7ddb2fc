"""`RunMonitor` on a page: updates while a cell blocks the kernel, and a reload."""

from __future__ import annotations

from playwright.sync_api import expect

UPDATES = 300
BUSY_SECONDS = 30

SCRIPT = '''
import threading, time
from types import SimpleNamespace
from fednb.records.service import Event, RunLine, SiteLine
from fednb.widgets import RunMonitor

class ScriptedRun:
    """Ten events a second, from a thread, once it is told to begin."""
    id = "0123456789abcdef"
    contract = SimpleNamespace(steps=(1,))
    def __init__(self):
        self.all = []
    @property
    def line(self):
        return RunLine(self.id, "ab" * 32, "running", 0, len(self.all), UPDATES,
            (SiteLine("a", "working", time.time()),), None, 1.0, time.time())
    def events(self, since=0):
        return tuple(self.all[since:])
    def pause(self): pass
    resume = stop = pause
    def begin(self):
        threading.Thread(target=self._go).start()
    def _go(self):
        began = time.monotonic()
        for i in range(UPDATES):
            time.sleep(max(began + i * BUSY / UPDATES - time.monotonic(), 0))
            metrics = {"train_loss": 1 / (i + 1), "validation_auc": 0.5 + i / 1000}
            self.all.append(Event(i + 1, time.time(), "round", 0, i, "", metrics))

run = ScriptedRun()
monitor = RunMonitor(run)
monitor
'''.replace("UPDATES", str(UPDATES)).replace("BUSY", str(BUSY_SECONDS))

BLOCK = f"""
run.begin()
until = time.monotonic() + {BUSY_SECONDS}
while time.monotonic() < until:
    pass
seen_by_the_cell = len(run.all)
"""

RECORD = """node => {
  window.fednbCounts = [];
  new MutationObserver(() => {
    const { session } = window.jupyterapp.shell.currentWidget.sessionContext;
    window.fednbCounts.push([Number(node.dataset.events), session.kernel.status]);
  }).observe(node, { attributes: true, attributeFilter: ['data-events'] });
}"""


def test_no_update_is_lost_while_a_cell_blocks_and_a_reload_shows_all(
    lab, server, record_property
):
    lab.open(server.write("monitor.ipynb", [SCRIPT, BLOCK]))
    lab.run(0)
    view = lab.page.locator("[data-events]")
    expect(view).to_have_attribute("data-events", "0")
    view.evaluate(RECORD)
    lab.run(1)
    expect(view).to_have_attribute("data-events", str(UPDATES))
    counts = lab.page.evaluate("window.fednbCounts")
    numbers = [count for count, _ in counts]
    assert numbers == sorted(set(numbers))
    while_busy = [count for count, status in counts if status == "busy"]
    record_property("updates while a cell blocked", len(while_busy))
    assert len(while_busy) > UPDATES / 10
    expect(view).to_contain_text(f"round {UPDATES} of at most {UPDATES}")
    lab.save()
    lab.reload()
    expect(view).to_have_attribute("data-events", str(UPDATES))
    expect(view.locator("polyline")).to_have_count(2)
    lab.shoot("monitor-after-reload")
