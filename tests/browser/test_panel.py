"""The panel of the site owner: a request is read and approved there, and runs."""

from __future__ import annotations

from playwright.sync_api import expect

from browser.cells import REQUEST, RESULT, RUN, opening
from fednb.owner import SiteOwner

IMAGE = "<img src=x onerror='window.fednbHacked=1'>"


def approve_in_panel(lab) -> None:
    """Read the one request that waits, as its owner, and approve it with a note."""
    page = lab.page
    row = page.locator("[data-fednb='panel'] [data-fednb='request']")
    expect(row).to_contain_text(f"IDH from small volumes {IMAGE}")
    row.click()
    card = page.locator("[data-fednb='card']")
    expect(card.locator("[data-fednb='purpose']")).to_contain_text(IMAGE)
    expect(card.locator("[data-fednb='deny']")).to_be_disabled()
    lab.shoot("panel-card")
    card.locator("[data-fednb='note']").fill("board 12")
    card.locator("[data-fednb='approve']").click()
    expect(card.locator("[data-fednb='status']")).to_have_text("approved")


def test_a_request_is_approved_in_the_panel_and_its_run_moves(lab, server, owned):
    request = REQUEST.replace("small volumes", f"small volumes {IMAGE}")
    name = server.write("panel.ipynb", [opening(owned), request, RUN, RESULT])
    lab.open(name)
    waiting = lab.page.locator("[data-fednb='pending-count']")
    expect(waiting).to_have_text("fednb: 0 pending")
    lab.run(0, 1)
    expect(waiting).to_have_text("fednb: 1 pending")
    lab.start(2)
    waiting.click()
    approve_in_panel(lab)
    expect(waiting).to_have_text("fednb: 0 pending")
    lab.page.get_by_role("tab", name=name).click()
    lab.end()
    heading = lab.cell(2).locator("[data-events] .heading")
    expect(heading).to_contain_text("round 8 of at most 8")
    expect(heading.locator(".badge")).to_have_text("completed")
    lab.run(3)
    expect(lab.cell(3)).to_contain_text("Training result")
    lab.shoot("panel-result")
    assert lab.page.evaluate("window.fednbHacked") is None
    with SiteOwner(owned / "aspen") as owner:
        found = owner.requests[0]
        assert (found.status, found.note) == ("approved", "board 12")
        owner.ledger.verify()
