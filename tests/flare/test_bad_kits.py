"""A kit that is of no use: one clear error, nothing written, nothing left running."""

from __future__ import annotations

import datetime
import json
import shutil
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fednb.config import PROTOCOL_VERSION
from fednb.errors import FednbError, HomeError, InputError
from fednb.flare import processes
from fednb.flare.kit import Kit
from fednb.flare.provision import COORDINATOR, ProjectSpec, SiteSpec, provision
from fednb.flare.session import connect

USER = "scientist@fednb.local"
KEEPER = "keeper@fednb.local"
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Kits of a federation of which nothing runs."""
    project = ProjectSpec("trial", (SiteSpec("aspen"),), port=processes.free_port())
    return provision(project, tmp_path_factory.mktemp("made") / "kits")


@pytest.fixture
def kits(made, tmp_path):
    """A copy of them, which a test may break; afterwards nothing of it runs."""
    folder = tmp_path / processes.KITS
    shutil.copytree(made[USER].parent, folder)
    copied = {party: folder / party for party in made}
    try:
        yield copied
        assert processes.processes_of(list(copied.values())) == []
        assert not [kit for kit in copied.values() if (kit / "fednb.pid").exists()]
    finally:
        processes.stop(*copied.values())


def files(kit):
    return sorted(path for path in kit.rglob("*") if path.is_file())


def expire(kit):
    """Give a kit a certificate of the same name that ended yesterday."""
    opened = Kit(kit)
    name = "server" if opened.config.kind == "server" else "client"
    subject = opened.certificate().subject
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - 9 * DAY)
        .not_valid_after(now - DAY)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (kit / "startup" / f"{name}.crt").write_bytes(pem)


def of_a_newer_fednb(kit):
    path = kit / "local" / "fednb.json"
    config = json.loads(path.read_text()) | {"protocol": PROTOCOL_VERSION + 1}
    path.write_text(json.dumps(config))


BREAK = {
    "expired": (expire, r"is valid from \S+ to \S+ only\. Ask who provisioned the kit"),
    "newer": (
        of_a_newer_fednb,
        rf"speaks protocol version {PROTOCOL_VERSION + 1}; this fednb speaks "
        rf"{PROTOCOL_VERSION}\. Update the older side",
    ),
}


@pytest.fixture(params=BREAK.values(), ids=BREAK)
def broken(request):
    """How a kit is of no use, and what is said of it."""
    return request.param


def test_nobody_connects_with_it(kits, broken):
    spoil, words = broken
    spoil(kits[USER])
    before = files(kits[USER]), threading.active_count()
    with pytest.raises(InputError, match=words):
        connect(kits[USER])
    assert (files(kits[USER]), threading.active_count()) == before


@pytest.mark.parametrize("party", [COORDINATOR, "aspen", KEEPER])
def test_no_party_starts_from_it(kits, broken, party):
    spoil, words = broken
    spoil(kits[party])
    before = files(kits[party])
    for begin in (processes.start, processes.serve):
        with pytest.raises(InputError, match=words):
            begin(kits[party])
    assert files(kits[party]) == before


def test_a_federation_with_one_such_kit_is_not_begun(kits, broken, tmp_path):
    spoil, words = broken
    spoil(kits["aspen"])
    before = files(tmp_path)
    with pytest.raises(InputError, match=words):
        processes.up(tmp_path, ProjectSpec("trial", (SiteSpec("aspen"),)))
    assert files(tmp_path) == before


def test_a_server_that_does_not_come_up_leaves_nothing(kits, tmp_path):
    (kits[COORDINATOR] / "startup" / "server.key").unlink()
    with pytest.raises(HomeError, match=r"does not come up\. See .*process\.log"):
        processes.up(tmp_path, ProjectSpec("trial", (SiteSpec("aspen"),)))
    assert {party.pid for party in processes.status(tmp_path)} == {0}


def test_a_server_that_is_not_there_is_said_at_once(kits):
    config = Kit(kits[USER]).config
    before = threading.active_count()
    with pytest.raises(FednbError) as caught:
        connect(kits[USER])
    assert str(caught.value) == (
        f"The server of 'trial' does not answer at localhost:{config.port}. "
        "Is it running?"
    )
    assert threading.active_count() == before


@pytest.mark.parametrize("party", ["aspen", COORDINATOR, KEEPER])
def test_a_kit_that_is_no_users_is_not_written_to(kits, party):
    before = files(kits[party])
    with pytest.raises(InputError, match=r"connect with the kit of a user"):
        connect(kits[party])
    assert files(kits[party]) == before
