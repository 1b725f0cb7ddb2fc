"""A request, its approval in a card, and its run, on one notebook page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

OPEN = """
import fednb
from fednb.phantom.demo import DemoSize

size = DemoSize(train=16, validation=16, test=12, voxels=16)
fed = fednb.demo({folder!r}, size=size)
owner = fed.owner("aspen")
training = fednb.TrainingPlan(
    model="small-cnn-3d", target="idh", rounds=8, size=(16, 16, 16), batch_size=8,
    split=fednb.SplitSpec(column="split"),
)
"""
REQUEST = """
request = fed.request(training, purpose="IDH from small volumes", profile="open")
for name in ("birch", "dune"):
    fed.owner(name).requests[request.hash].approve()
"""
INBOX = "owner"
RUN = "run = request.wait(60).start()\nrun"
RESULT = "run.result()"
ROUND = re.compile(r"round (\d+) of")


@pytest.fixture(scope="module")
def mine(copied):
    return copied("approval")


def test_a_card_approves_and_the_run_is_followed_to_its_result(lab, server, mine):
    cells = [OPEN.format(folder=str(mine)), REQUEST, INBOX, RUN, RESULT]
    lab.open(server.write("approval.ipynb", cells))
    lab.run(0, 1, 2)
    inbox = lab.cell(2).locator(".fednb-live")
    card = inbox.locator("details").first
    expect(inbox).to_contain_text("aspen: 1 waiting for a decision")
    expect(card).to_contain_text("IDH from small volumes")
    lab.shoot("approval-card")
    # the kernel waits for the decision while it is made
    lab.start(3)
    card.get_by_placeholder("Note for your own records").fill("board 12")
    card.get_by_role("button", name="Approve").click()
    expect(card.locator("summary .badge")).to_have_text("approved")
    expect(inbox).to_contain_text("aspen: 0 waiting for a decision")
    lab.end()
    monitor = lab.cell(3).locator("[data-events]")
    heading = monitor.locator(".heading")
    first = ROUND.search(heading.inner_text())
    expect(heading).to_contain_text("round 8 of at most 8")
    assert not first or int(first[1]) < 8
    expect(heading.locator(".badge")).to_have_text("completed")
    lab.run(4)
    result = lab.cell(4)
    expect(result).to_contain_text("Training result")
    result.locator("summary", has_text="Rounds").click()
    expect(result.locator("table").first).to_be_visible()
    expect(result.locator("table").first.locator("tbody tr")).to_have_count(8)
    lab.shoot("approval-result")
