"""The same cells over real FLARE processes under mTLS: a server and three sites."""

import contextlib
import shutil
import socket
import ssl
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest

from fednb.coordinator.contracting import Scientist, Terms, draft
from fednb.embedded.federation import Federation as Embedded
from fednb.errors import (
    FednbError,
    InputError,
    RefusedError,
    RunError,
    UnknownNameError,
)
from fednb.flare import processes
from fednb.flare.provision import ProjectSpec, SiteSpec, provision
from fednb.flare.session import connect
from fednb.owner import SiteOwner
from fednb.records.base import canonical
from fednb.records.tasks import CoxPlan, SplitSpec

SITES = ("mayo", "ucl", "ucsf")
USER = "scientist@fednb.local"
OTHER = "colleague@fednb.local"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How HTTP/2 begins, with empty settings; a server that takes it sends its own."""

PLAN = CoxPlan(
    duration="os_months",
    event="death",
    covariates=("age", "sex"),
    split=SplitSpec(train=1.0, validation=0.0, test=0.0),
    fit_on="train",
    evaluate_on="train",
)


def clinic(seed, rows=80):
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 10, rows).round()
    time = rng.exponential(20 * np.exp((60 - age) / 30), rows).round(2) + 0.1
    return pd.DataFrame(
        {
            "age": age,
            "sex": rng.integers(0, 2, rows),
            "os_months": time,
            "death": rng.integers(0, 2, rows),
        }
    )


def journey(fed):
    statistics = fed.statistics("trial", ["age", "os_months"], by="sex")
    request = fed.request(PLAN, dataset="trial", purpose="survival by age and sex")
    run = request.start()
    return statistics, run.result(), run.id


def speak(address, context):
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as peer,
    ):
        # an HTTP/2 preface and empty settings; a server that takes it sends its own
        peer.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, *[0] * 5])
        )
        said = peer.recv(1024)
    if not said:
        raise ConnectionResetError
    return said


def processes_of(root):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if any(str(root) in part for part in process.cmdline()):
                found.append(process)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Homes, what the embedded federation makes of them, and a live FLARE one."""
    root = tmp_path_factory.mktemp("flare")
    frames = {site: clinic(i) for i, site in enumerate(SITES)}
    with Embedded.from_frames(
        frames, dataset="trial", approve="auto", profile="open", folder=root
    ) as fed:
        statistics, cox, _ = journey(fed)
    project = ProjectSpec(
        "trial",
        tuple(SiteSpec(site, str(root / site)) for site in SITES),
        port=processes.free_port(),
        scientists=(USER, OTHER),
        home=str(root / "coordinator-home"),
    )
    try:
        kits = processes.up(root, project)
        with connect(kits[USER]) as fed:
            yield SimpleNamespace(
                fed=fed,
                kits=kits,
                root=root,
                project=project,
                statistics=statistics,
                cox=cox,
            )
    finally:
        processes.down(root)
        left = processes_of(root)
    assert left == []
    assert {s.pid for s in processes.status(root)} == {0}


def test_all_sites_are_there(world):
    lines = world.fed._client.sites().sites
    assert [(line.site, line.state) for line in lines] == [
        (site, "ready") for site in SITES
    ]


def test_nothing_listens_but_on_this_machine(world):
    addresses = {
        connection.laddr.ip
        for process in processes_of(world.root)
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    # gRPC binds the address in its IPv6 form
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}


def test_statistics_and_a_fit_are_those_of_the_embedded_mode(world):
    statistics, cox, run = journey(world.fed)
    assert repr(statistics) == repr(world.statistics)
    pd.testing.assert_frame_equal(cox.summary, world.cox.summary, check_exact=True)
    assert cox.log_likelihood_ == world.cox.log_likelihood_
    assert cox.concordance_index_ == world.cox.concordance_index_
    assert world.fed.run(run).status == "completed"


def test_errors_of_the_service_and_of_sites_cross(world):
    with pytest.raises(UnknownNameError, match="Unknown column 'agee'"):
        world.fed.statistics("trial", ["agee"])
    with pytest.raises(FednbError, match="nobody"):
        world.fed.run("nobody")


def test_an_owner_decides_beside_the_running_site(world):
    owner = SiteOwner(world.root / "ucl")
    owner.policy.set(auto_approve=())
    request = world.fed.request(PLAN, dataset="trial", purpose="an owner decides")
    assert request.status == {"mayo": "approved", "ucl": "pending", "ucsf": "approved"}
    with pytest.raises(RunError, match="Not approved yet: ucl"):
        request.start()
    owner.requests[request.hash].approve(note="fine")
    assert request.start().wait(30).status == "completed"
    owner.policy.set(auto_approve=("all",))


def test_two_notebooks_share_a_session(world):
    with connect(world.kits[OTHER]) as second:
        first = world.fed._client.port
        assert second._client.port.job == first.job
        assert set(second.datasites) == set(SITES)
    # the first goes on after the second has left
    assert world.fed["ucsf"].ping().status == "ready"


def test_a_kit_of_another_federation_is_refused(world, tmp_path):
    kits = provision(world.project, tmp_path / "kits")
    with pytest.raises(FednbError, match="was refused: the server is another"):
        connect(kits[USER])


def test_a_sites_certificate_is_no_users(world, tmp_path):
    kit = tmp_path / "posing"
    shutil.copytree(world.kits[USER], kit)
    for name in ("client.crt", "client.key"):
        shutil.copy(world.kits["ucl"] / "startup" / name, kit / "startup" / name)
    with pytest.raises(FednbError, match=r"was refused: .* not this user's"):
        connect(kit)


def test_a_peer_without_a_certificate_is_refused(world):
    context = ssl.create_default_context(
        cafile=world.kits[USER] / "startup" / "rootCA.pem"
    )
    context.set_alpn_protocols(["h2"])
    address = ("localhost", world.project.port)
    startup = world.kits[USER] / "startup"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        speak(address, context)
    context.load_cert_chain(startup / "client.crt", startup / "client.key")
    assert speak(address, context)


def test_a_sites_kit_opens_no_session(world):
    with pytest.raises(InputError, match="is the kit of a site"):
        connect(world.kits["ucl"])


def test_whoever_the_server_says_asks_is_checked_at_the_site(world, tmp_path):
    # a server that makes a contract of its own, in the scientist's name
    forger = Scientist(tmp_path, USER)
    terms = Terms("trial", "a contract that nobody asked for")
    cards = {c.site: c for s in SITES for c in world.fed[s].cards()}
    forged = draft(PLAN, terms, cards, forger, world.fed._client.prepare)
    body = canonical(forged)
    with pytest.raises(RefusedError, match=r"ucsf refused \(signature\)"):
        world.fed["ucsf"].propose(body, forger.sign(body))
    assert forged.hash() not in {
        r.hash for r in SiteOwner(world.root / "ucsf").requests
    }


def test_ledgers_hold(world):
    for site in SITES:
        assert SiteOwner(world.root / site).ledger.verify().count > 5
