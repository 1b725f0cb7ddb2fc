"""Kill -9 of a site's worker, of the server and of the notebook during training.

Each run goes on under its id, and ends with the weights of one that nobody disturbed.
"""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import psutil
import pytest
from small_studies import SITES, small
from worlds import SECONDS, TERMS, USER, until

from fednb.errors import FednbError
from fednb.flare import processes
from fednb.flare.session import connect
from fednb.phantom.study import read_study, study_plan

PLAN = study_plan(small(6, local_epochs=4))
ROUNDS = PLAN.steps[0].rounds
NOTEBOOK = """
import sys
from fednb.flare.session import connect
fed = connect(sys.argv[1])
(request,) = [r for r in fed.requests if r.hash == sys.argv[2]]
run = request.start()
sys.stdout.write(run.id + "\\n")
sys.stdout.flush()
run.wait()
"""


@pytest.fixture(scope="module")
def wanted(embedded):
    """The study's results of a run that nobody disturbed, on the other engine."""
    return read_study(embedded.start(PLAN).results())


def begun(flare):
    """Start the study and return its run in mid-training."""
    run = flare.start(PLAN)
    until(lambda: flare.rounds_of(run.id) >= 1)
    return run


def assert_in_training(flare, run):
    """Hold that what was just killed was killed in mid-training."""
    assert flare.rounds_of(run) < ROUNDS
    assert flare.status_of(run) != "completed"


def assert_whole(run, wanted):
    found = read_study(run.wait(SECONDS).results())
    assert run.status == "completed"
    assert found.training.ref.sha256 == wanted.training.ref.sha256
    assert [r.round for r in found.training.rounds] == list(range(ROUNDS))
    for name in ("logistic", "cox", "age_only"):
        ours, theirs = getattr(found, name), getattr(wanted, name)
        pd.testing.assert_frame_equal(ours.summary, theirs.summary, check_exact=True)


def assert_nobody_was_asked_twice(flare, run):
    contract = run.contract.hash()
    for site in SITES:
        with flare.owner(site) as owner:
            owner.ledger.verify()
            asked = [r.status for r in owner.requests if r.hash == contract]
            entries = [e.body for e in owner.ledger.entries if e.kind == "decision"]
        decided = [e["status"] for e in entries if e.get("contract") == contract]
        assert asked == ["approved"]
        assert decided == ["pending", "approved"]


def test_a_killed_torch_worker_is_named_and_the_session_lives(flare):
    # its one round is long enough to be in the midst of
    run = flare.start(small(1, local_epochs=100))
    job = flare.fed._client.port.job
    parent = flare.site_worker("birch").pid
    (worker,) = [process for process in flare.working() if process.ppid() == parent]
    worker.kill()
    with pytest.raises(FednbError) as error:
        run.wait(SECONDS).result()
    assert error.value.site == "birch"
    assert flare.fed._client.port.job == job
    assert flare.start(small(1)).result().rounds


def test_a_killed_worker_of_a_site(flare, wanted):
    run = begun(flare)
    before = flare.fed._client.port.job
    flare.site_worker("birch").kill()
    assert_in_training(flare, run.id)
    assert_whole(run, wanted)
    assert flare.fed._client.port.job != before
    assert_nobody_was_asked_twice(flare, run)


def test_a_killed_notebook(flare, wanted):
    request = flare.approve(flare.ask(PLAN))
    notebook = subprocess.Popen(  # noqa: S603  (our own interpreter)
        [sys.executable, "-c", NOTEBOOK, str(flare.kits[USER]), request.hash],
        stdout=subprocess.PIPE,
        text=True,
    )
    with notebook:
        run = notebook.stdout.readline().strip()
        until(lambda: flare.rounds_of(run) >= 1)
        notebook.kill()
    assert_in_training(flare, run)
    with connect(flare.kits[USER]) as fed:
        assert fed.runs[0].id == run
        assert_whole(fed.run(run), wanted)
        assert_nobody_was_asked_twice(flare, fed.run(run))


def test_a_killed_server_with_no_notebook_there(flare, wanted):
    with connect(flare.kits[USER]) as fed:
        run = flare.approve(fed.request(PLAN, **TERMS)).start().id
        until(lambda: flare.rounds_of(run) >= 1)
    server = processes.pid_of(flare.kits["coordinator"])
    psutil.Process(server).kill()
    assert_in_training(flare, run)
    # nobody asks for anything: the keeper brings server and session back
    until(lambda: flare.status_of(run) == "completed")
    assert processes.pid_of(flare.kits["coordinator"]) not in {0, server}
    # a notebook that was there before finds the session that there is now
    assert_whole(flare.fed.run(run), wanted)
    assert_nobody_was_asked_twice(flare, flare.fed.run(run))


@pytest.mark.long
def test_a_killed_server_while_a_notebook_waits(flare, wanted):
    run = begun(flare)
    psutil.Process(processes.pid_of(flare.kits["coordinator"])).kill()
    assert_in_training(flare, run.id)
    # notebook and keeper both look for a session: there is one in the end
    assert_whole(run, wanted)
    assert_nobody_was_asked_twice(flare, run)
    assert len(flare.fed._client.port._admin.sessions()) == 1
