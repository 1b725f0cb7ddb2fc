"""Kill -9 of a site's worker, of the server and of the notebook: the run goes on."""

import time

import pandas as pd
import psutil
import pytest

from fednb.coordinator.store import Store
from fednb.embedded.federation import Federation as Embedded
from fednb.flare import processes
from fednb.flare.provision import ProjectSpec, SiteSpec
from fednb.flare.session import connect
from fednb.owner import SiteOwner
from fednb.records.studies import StudyPlan
from fednb.records.tasks import CoxPlan, SplitSpec

SITES = ("mayo", "ucl", "ucsf")
USER = "scientist@fednb.local"
STEP = CoxPlan(
    duration="os_months",
    event="death",
    covariates=("age",),
    split=SplitSpec(train=1.0, validation=0.0, test=0.0),
    fit_on="train",
    evaluate_on="train",
)
PLAN = StudyPlan((STEP,) * 20)
SECONDS = 120.0


def clinic(offset, rows=60):
    return pd.DataFrame(
        {
            "age": [30.0 + (7 * i + offset) % 50 for i in range(rows)],
            "os_months": [1.0 + (13 * i + 5 * offset) % 97 for i in range(rows)],
            "death": [(i + offset) % 3 % 2 for i in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("flare")
    frames = {site: clinic(i) for i, site in enumerate(SITES)}
    with Embedded.from_frames(
        frames, dataset="trial", approve="auto", profile="open", folder=root
    ) as fed:
        wanted = fed.request(STEP, purpose="alone").start().result().summary
    project = ProjectSpec(
        "trial",
        tuple(SiteSpec(site, str(root / site)) for site in SITES),
        port=processes.free_port(),
        home=str(root / "coordinator-home"),
    )
    try:
        yield root, processes.up(root, project), wanted
    finally:
        processes.down(root)


def until(true):
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def begun(fed):
    """Start a study and return its run once it has done some of its steps."""
    run = fed.request(PLAN, purpose="the run goes on").start()
    until(lambda: run.line.step >= 2)
    return run


def assert_whole(run, wanted):
    found = run.wait(SECONDS).results()
    assert run.status == "completed"
    assert len(found) == len(PLAN.steps)
    for cox in found:
        pd.testing.assert_frame_equal(cox.summary, wanted, check_exact=True)


def worker_of(kit):
    (found,) = [
        process
        for process in processes.processes_of([kit])
        if "nvflare.private.fed.app.client.worker_process" in process.cmdline()
    ]
    return found


def assert_nobody_was_asked_twice(root):
    for site in SITES:
        owner = SiteOwner(root / site)
        owner.ledger.verify()
        contracts = [request.hash for request in owner.requests]
        assert len(contracts) == len(set(contracts))


def test_a_killed_worker_of_a_site(world):
    root, kits, wanted = world
    with connect(kits[USER]) as fed:
        run = begun(fed)
        before = fed._client.port.job
        worker_of(kits["ucl"]).kill()
        assert_whole(run, wanted)
        assert fed._client.port.job != before
    assert_nobody_was_asked_twice(root)


def test_a_killed_server_with_no_notebook_there(world):
    root, kits, wanted = world
    with connect(kits[USER]) as fed:
        run = begun(fed).id
    server = processes.pid_of(kits["coordinator"])
    psutil.Process(server).kill()
    # nobody asks for anything: the keeper brings server and session back
    store = Store(root / "coordinator-home")
    until(lambda: store.find_run(run).status == "completed")
    store.close()
    assert processes.pid_of(kits["coordinator"]) not in {0, server}
    with connect(kits[USER]) as fed:
        assert_whole(fed.run(run), wanted)
    assert_nobody_was_asked_twice(root)
