"""The panel of the site owner: a request is read and approved there, and runs."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from browser.cells import REQUEST, RESULT, RUN, opening
from browser.conftest import FLAGS, in_a_browser
from browser.lab import LabServer
from fednb.owner import SiteOwner
from fednb.serverextension.manager import NO_HOME

LISTED = re.compile(r"/fednb/requests\b")
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


def revoke_in_panel(lab) -> None:
    """Take the approval back on the card that is open, which asks for a reason."""
    card = lab.page.locator("[data-fednb='card']")
    revoke = card.locator("[data-fednb='revoke']")
    expect(revoke).to_be_disabled()
    card.locator("[data-fednb='reason']").fill("a patient withdrew")
    revoke.click()
    expect(card.locator("[data-fednb='status']")).to_have_text("revoked")
    expect(card).to_contain_text("Your note: a patient withdrew")
    assert revoke.count() == 0


def reload_without_being_told_again(lab) -> None:
    """Reload while a request waits, of which the page told already."""
    toast = lab.page.locator(".Toastify__toast", has_text="waits for your decision")
    expect(toast).to_be_visible()
    lab.save()
    lab.reload()
    waiting = lab.page.locator("[data-fednb='pending-count']")
    expect(waiting).to_have_text("fednb: 1 pending")
    # the page asks once more, and draws, after what would have told
    with lab.page.expect_response(LISTED):
        lab.page.evaluate("window.jupyterapp.commands.execute('fednb:refresh')")
    assert toast.count() == 0


def begin(lab, number: int) -> None:
    """Start a cell; JupyterLab brings its notebook to the front when it begins."""
    lab.start(number)
    prompt = lab.cell(number).locator(".jp-InputArea-prompt")
    expect(prompt).to_have_text("[*]:")


def test_a_request_is_approved_in_the_panel_and_its_run_moves(lab, server, owned):
    request = REQUEST.replace("small volumes", f"small volumes {IMAGE}")
    name = server.write("panel.ipynb", [opening(owned), request, RUN, RESULT])
    lab.open(name)
    waiting = lab.page.locator("[data-fednb='pending-count']")
    expect(waiting).to_have_text("fednb: 0 pending")
    lab.run(0, 1)
    expect(waiting).to_have_text("fednb: 1 pending")
    reload_without_being_told_again(lab)
    begin(lab, 2)
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
    lab.page.get_by_role("tab", name=re.compile("^Request ")).click()
    revoke_in_panel(lab)
    lab.shoot("panel-revoked")
    assert lab.page.evaluate("window.fednbHacked") is None
    with SiteOwner(owned / "aspen") as owner:
        found = owner.requests[0]
        assert (found.status, found.note) == ("revoked", "a patient withdrew")
        made = [e.reason for e in owner.ledger.entries if e.kind == "decision"]
        assert made[-2:] == ["board 12", "a patient withdrew"]
        owner.ledger.verify()


def test_without_a_home_the_panel_says_how_to_get_one(tmp_path):
    server = LabServer(tmp_path, {"FEDNB_SITE_HOME": ""})

    def act(lab):
        page = lab.page
        page.goto(f"{server.url}/lab?token={server.token}")
        page.wait_for_function("window.jupyterapp !== undefined")
        page.evaluate("window.jupyterapp.restored")
        page.locator(".jp-LauncherCard[data-category='fednb']").click()
        panel = page.locator("[data-fednb='panel']")
        panel.locator("[data-fednb='empty']").wait_for()
        assert NO_HOME in panel.inner_text()
        # nothing waits where there is no site, and nothing failed
        assert not page.locator("[data-fednb='pending-count']").is_visible()
        assert panel.locator("[data-fednb='error']").count() == 0
        lab.shoot("panel-no-home")

    try:
        server.wait()
        asked = in_a_browser(server, tmp_path / "profile", FLAGS, act)
    finally:
        server.close()
    assert "/fednb/homes" in asked
    assert "/fednb/requests" not in asked
