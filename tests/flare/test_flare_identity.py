"""A contract is its scientist's only where their kit's certificate says so."""

import datetime

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from fednb.coordinator.contracting import Scientist
from fednb.flare import identity
from fednb.flare.identity import Endorsement, admit, endorse, read_root, vouch
from fednb.flare.kit import Kit
from fednb.flare.provision import ProjectSpec, SiteSpec, provision
from fednb.records.base import canonical
from fednb.records.contracts import Contract, Privacy, Resources
from fednb.records.messages import Ping, Propose
from fednb.records.service import Forward, ListSites
from fednb.wire.codec import decode_ask, decode_service_ask, encode

USER = "scientist@fednb.local"
PROJECT = ProjectSpec("p", (SiteSpec("a"),), scientists=(USER, "other@fednb.local"))


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    return provision(PROJECT, tmp_path_factory.mktemp("kits") / "out")


@pytest.fixture(scope="module")
def root(kits):
    return read_root(kits["a"] / "startup")


@pytest.fixture
def scientist(tmp_path):
    return Scientist(tmp_path, USER)


def contract(key, name=USER):
    return Contract(
        version=1,
        nonce="n",
        requester=name,
        requester_key=key,
        purpose="p",
        dataset="d",
        participants=(),
        steps=(),
        outputs=(),
        privacy=Privacy(),
        resources=Resources(),
        created=0,
        expires=1,
    )


def proposal(scientist, name=USER):
    body = canonical(contract(scientist.public_key, name))
    return Propose(body, scientist.sign(body))


def carried(asked, endorsement):
    """Return what a site gets of what a notebook sends through the service."""
    message = vouch(encode(Forward("a", encode(asked))), endorsement)
    return decode_service_ask(message).message


def admitted(frame, root):
    return decode_ask(admit(frame, root)).signature


def test_an_endorsed_proposal_arrives_as_it_was_signed(kits, root, scientist):
    asked = proposal(scientist)
    frame = carried(asked, endorse(Kit(kits[USER]), scientist.public_key))
    assert len(decode_ask(frame).signature) > 64
    assert decode_ask(admit(frame, root)) == asked


def test_other_messages_pass_as_they_are(kits, root, scientist):
    held = endorse(Kit(kits[USER]), scientist.public_key)
    for message in (encode(ListSites()), encode(Forward("a", encode(Ping())))):
        assert vouch(message, held) == message
    for frame in (encode(Ping()), b"no message"):
        assert admit(frame, root) is frame


def test_a_proposal_without_endorsement_loses_its_signature(root, scientist):
    assert admitted(encode(proposal(scientist)), root) == b""


def test_a_key_that_the_kit_did_not_vouch_for(kits, root, scientist, tmp_path):
    (tmp_path / "server").mkdir()
    forger = Scientist(tmp_path / "server", USER)
    # the server has seen the scientist's endorsement, and not the scientist's key
    held = endorse(Kit(kits[USER]), scientist.public_key)
    assert admitted(carried(proposal(forger), held), root) == b""
    swapped = msgspec.structs.replace(held, key=forger.public_key)
    assert admitted(carried(proposal(forger), swapped), root) == b""


def test_another_scientists_name(kits, root, scientist):
    held = endorse(Kit(kits["other@fednb.local"]), scientist.public_key)
    assert admitted(carried(proposal(scientist), held), root) == b""


@pytest.mark.parametrize("party", ["a", "keeper@fednb.local", "coordinator"])
def test_only_a_scientists_certificate_vouches(kits, root, scientist, party):
    name = Kit(kits[party]).config.party
    kind = "server" if party == "coordinator" else "client"
    key = load_pem_private_key(
        (kits[party] / "startup" / f"{kind}.key").read_bytes(), None
    )
    held = _endorsed(
        key,
        (kits[party] / "startup" / f"{kind}.crt").read_bytes(),
        scientist,
    )
    assert admitted(carried(proposal(scientist, name), held), root) == b""


def test_another_federations_certificate(root, scientist, tmp_path):
    kits = provision(PROJECT, tmp_path / "out")
    held = endorse(Kit(kits[USER]), scientist.public_key)
    assert admitted(carried(proposal(scientist), held), root) == b""


@pytest.mark.parametrize(("days", "holds"), [(1, True), (-1, False)])
def test_an_expired_certificate(kits, root, scientist, days, holds):
    # issued anew under a root of the same name, so that only the dates differ
    kit = Kit(kits[USER])
    key = load_pem_private_key((kit.startup / "client.key").read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    subject = kit.certificate().subject
    issuer = (
        x509.CertificateBuilder()
        .subject_name(root.subject)
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(now - datetime.timedelta(days=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    held = _endorsed(key, pem, scientist)
    asked = proposal(scientist)
    found = admitted(carried(asked, held), issuer)
    assert found == (asked.signature if holds else b"")


@pytest.mark.parametrize("junk", [b"", b"x", b"-----BEGIN CERTIFICATE-----"])
def test_junk_is_no_certificate(root, scientist, junk):
    held = Endorsement(junk, scientist.public_key, b"")
    assert admitted(carried(proposal(scientist), held), root) == b""


def _endorsed(key, pem, scientist):
    signature = key.sign(
        identity._PURPOSE + scientist.public_key.encode(),
        identity._pss(),
        hashes.SHA256(),
    )
    return Endorsement(pem, scientist.public_key, signature)
