"""What only a federation of processes has: mTLS, sessions, and who is refused."""

import shutil
import socket
import ssl

import psutil
import pytest
from small_studies import SITES, small
from worlds import OTHER, TERMS, USER, processes_under

from fednb.coordinator.contracting import Scientist, Terms, draft
from fednb.errors import FednbError, InputError, RefusedError, UnknownNameError
from fednb.flare.provision import provision
from fednb.flare.session import connect
from fednb.phantom.demo import DATASET
from fednb.records.base import canonical

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, *[0] * 5])
"""How HTTP/2 begins, with empty settings; a server that takes it sends its own."""

CREDENTIALS = ("client.crt", "client.key")


@pytest.fixture(scope="module")
def strangers(flare, tmp_path_factory):
    """Kits of another federation of the same names, at the same address."""
    return provision(flare.project, tmp_path_factory.mktemp("strangers") / "kits")


def posing(flare, credentials, path):
    """Return the scientist's kit with the certificate and key of another."""
    shutil.copytree(flare.kits[USER], path)
    for name in CREDENTIALS:
        shutil.copy(credentials / "startup" / name, path / "startup" / name)
    return path


def speak(flare, kit=None):
    """Return what the server says to a peer that trusts it."""
    startup = flare.kits[USER] / "startup"
    context = ssl.create_default_context(cafile=startup / "rootCA.pem")
    context.set_alpn_protocols(["h2"])
    if kit is not None:
        context.load_cert_chain(*(kit / "startup" / name for name in CREDENTIALS))
    address = ("localhost", flare.project.port)
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as peer,
    ):
        peer.sendall(PREFACE)
        said = peer.recv(1024)
    if not said:
        raise ConnectionResetError
    return said


def test_all_sites_are_there(flare):
    lines = flare.fed._client.sites().sites
    assert [(line.site, line.state) for line in lines] == [(s, "ready") for s in SITES]


def test_nothing_listens_but_on_this_machine(flare):
    addresses = {
        connection.laddr.ip
        for process in processes_under(flare.root)
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    # gRPC binds the address in its IPv6 form
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}


def test_errors_of_the_service_and_of_sites_cross(flare):
    flare.ask(small(1))
    with pytest.raises(UnknownNameError, match="Unknown column 'agee'"):
        flare.ask(small(1, target="agee"))
    with pytest.raises(FednbError, match=r"^Unknown run 'nobody'\."):
        flare.fed.run("nobody")


def test_two_notebooks_share_a_session(flare):
    with connect(flare.kits[OTHER]) as second:
        first = flare.fed._client.port
        assert second._client.port.job == first.job
        # each asks in their own name, and both see what is asked and run
        request = flare.approve(second.request(small(1), **TERMS))
        assert request.contract.requester == OTHER
        assert flare.fed.requests[0].hash == request.hash
        mine, theirs = flare.start(small(1)), request.start()
        assert theirs.result().ref.sha256 == mine.result().ref.sha256
        assert {r.id for r in second.runs} >= {mine.id, theirs.id}
    # the first goes on after the second has left
    assert flare.fed["aspen"].ping().status == "ready"
    assert flare.fed.run(theirs.id).status == "completed"


def test_a_server_of_another_federation_is_not_trusted(strangers):
    with pytest.raises(FednbError, match="was refused: the server is another"):
        connect(strangers[USER])


def test_a_peer_without_a_certificate_is_refused(flare):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        speak(flare)
    # the very same words are answered where a certificate comes with them
    assert speak(flare, flare.kits[USER])


def test_a_certificate_of_another_federation_is_refused(flare, strangers, tmp_path):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        speak(flare, strangers[USER])
    kit = posing(flare, strangers[USER], tmp_path / "posing")
    with pytest.raises(FednbError, match="was refused"):
        connect(kit)


@pytest.mark.parametrize(
    "party", ["birch", pytest.param(OTHER, marks=pytest.mark.long)]
)
def test_a_certificate_is_nobody_elses(flare, party, tmp_path):
    # the server takes the connection, and refuses the name
    assert speak(flare, flare.kits[party])
    kit = posing(flare, flare.kits[party], tmp_path / "posing")
    with pytest.raises(FednbError, match=r"was refused: .* not this user's"):
        connect(kit)


def test_a_sites_kit_opens_no_session(flare):
    with pytest.raises(InputError, match="is the kit of a site"):
        connect(flare.kits["birch"])


def test_whoever_the_server_says_asks_is_checked_at_the_site(flare, tmp_path):
    # a server that makes a contract of its own, in the scientist's name
    forger = Scientist(tmp_path, USER)
    terms = Terms(DATASET, "a contract that nobody asked for")
    cards = {c.site: c for s in SITES for c in flare.fed[s].cards()}
    forged = draft(small(1), terms, cards, forger, flare.fed._client.prepare)
    body = canonical(forged)
    with pytest.raises(RefusedError, match=r"birch refused \(signature\)"):
        flare.fed["birch"].propose(body, forger.sign(body))
    with flare.owner("birch") as owner:
        assert forged.hash() not in {r.hash for r in owner.requests}
