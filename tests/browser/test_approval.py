"""A request, its approval in a card, and its run, on one notebook page."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from browser.cells import REQUEST, RESULT, RUN, opening

INBOX = "owner"
ROUND = re.compile(r"round (\d+) of")


def test_a_card_approves_and_the_run_is_followed_to_its_result(lab, server, copied):
    cells = [opening(copied("approval")), REQUEST, INBOX, RUN, RESULT]
    lab.open(server.write("approval.ipynb", cells))
    lab.run(0, 1, 2)
    expect(lab.cell(0).locator("[data-shown='slices'] canvas")).to_have_count(3)
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
