"""Words of other parties are text on every page: none of them runs."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import expect

IMAGE = "<img src=x onerror='window.fednbHacked=1'>"
OPEN = f"""
import numpy as np, pandas as pd, fednb

IMAGE = {IMAGE!r}
rng = np.random.default_rng(0)
def table():
    return pd.DataFrame({{
        "age": rng.integers(30, 80, 60), IMAGE: rng.integers(0, 2, 60),
        "group": rng.choice(["F", IMAGE], 60),
        "months": rng.exponential(40, 60).round(1) + 1, "death": rng.integers(0, 2, 60),
    }})
columns = (
    fednb.Column(name="age", kind="number", lower=20, upper=90, step=5, unit=IMAGE),
    fednb.Column(name=IMAGE, kind="binary", description=IMAGE),
    fednb.Column(name="group", kind="category", levels=("F", IMAGE)),
    fednb.Column(name="months", kind="number", lower=0, upper=400, step=10),
    fednb.Column(name="death", kind="binary"),
)
fed = fednb.Federation.from_frames(
    {{name: table() for name in "abc"}}, dataset="trial", columns=columns,
)
fed._scientist.name = "Eve " + IMAGE
owner = fed.owner("a")
for name in "abc":
    fed.owner(name).policy.set(auto_approve=("statistics",))
plan = fednb.CoxPlan(
    covariates=["age", IMAGE], duration="months", event="death",
    split=fednb.SplitSpec(1.0, 0.0, 0.0), fit_on="train", evaluate_on="train",
)
request = fed.request(plan, purpose="Why: " + IMAGE)
"""
NAMES = """
from fednb.errors import FednbError
refused = []
for attempt in (
    lambda: fednb.SiteOwner.init("/nowhere/home", IMAGE),
    lambda: owner.create_dataset(IMAGE, table=table()),
    lambda: owner.requests[IMAGE],
    lambda: fed.request(plan, dataset=IMAGE, purpose="x"),
):
    try:
        attempt()
    except FednbError as error:
        refused.append(error)
display(*refused)
assert len(refused) == 4
"""
SCIENTIST = """
dataset = fed["a"].datasets["trial"]
display(fed, fed.datasites, fed.datasets, dataset, dataset.card, dataset.mock,
        request, request.preview(), fed.statistics("trial", ["age"], by="group"))
"""
OWNER = """
display(owner, owner.requests, owner.requests[0], owner.datasets["trial"],
        owner.datasets, owner.policy)
"""
RUN = """
for name in "abc":
    fed.owner(name).requests[request.hash].approve(note=IMAGE)
run = request.wait(60).start()
display(run, run.result(), owner.ledger, owner.ledger.verify(), owner.requests[0])
"""


def test_nothing_that_another_party_wrote_is_live(lab, server, watch):
    cells = [OPEN, NAMES, SCIENTIST, OWNER, RUN]
    lab.open(server.write("hostile.ipynb", cells))
    lab.run(*range(len(cells)))
    inbox = lab.cell(3).locator(".fednb-live").first
    expect(inbox.locator("summary").first).to_contain_text(f"Eve {IMAGE}")
    purposes = inbox.locator("summary .purpose")
    expect(purposes.get_by_text(f"Why: {IMAGE}", exact=True)).to_be_visible()
    # approved meanwhile or not: a card that was open stays open
    card = inbox.locator("details[data-hash]").filter(has_text="Why: ").first
    card.get_by_placeholder("Reason, for your own records").fill(IMAGE)
    expect(lab.cell(2)).to_contain_text(f"Why: {IMAGE}")
    expect(lab.cell(4)).to_contain_text(IMAGE)
    expect(lab.cell(4).locator("[data-events] .badge")).to_have_text("completed")
    lab.shoot("hostile")
    for number in range(1, len(cells)):
        assert lab.cell(number).locator("img[src=x]").count() == 0
    lab.save()
    lab.reload()
    expect(lab.cell(3).locator(".fednb-live").first).to_contain_text("Eve")
    assert lab.page.evaluate("window.fednbHacked") is None
    assert not [url for url in watch.requests if urlsplit(url).path.endswith("/x")]
