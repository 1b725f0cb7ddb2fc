from __future__ import annotations

import csv
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fednb.owner.site_owner import SiteOwner
from fednb.privacy.egress import outputs_of
from fednb.records.base import canonical
from fednb.records.contracts import Contract, Participant, Privacy, Resources
from fednb.records.messages import Propose, Refusal, State
from fednb.records.tasks import DescribePlan
from fednb.site.server import SiteServer
from fednb.wire.codec import decode_reply, encode

if TYPE_CHECKING:
    from pathlib import Path

PATIENTS = 40
OTHERS = tuple(Participant(site, "ab" * 32, "cd" * 32, "ef") for site in ("a", "b"))


class Scientist:
    """Signs contracts and proposes them to a server, as bytes."""

    def __init__(self, seed: int, name: str = "Ada") -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.name = name

    def contract(self, owner: SiteOwner, **changes: object):
        now = int(time.time())
        resources = Resources()
        card = owner.datasets["glioma"].card
        mine = Participant(
            owner.name, card.signing_key, card.agreement_key, card.fingerprint
        )
        fields: dict[str, object] = {
            "version": 1,
            "nonce": "0",
            "requester": self.name,
            "requester_key": self.key.public_key().public_bytes_raw().hex(),
            "purpose": "how many there are",
            "dataset": "glioma",
            "participants": (*OTHERS, mine),
            "steps": (DescribePlan((), ()),),
            "outputs": outputs_of(
                (DescribePlan((), ()),),
                parameters={},
                privacy=Privacy(),
                sites=3,
                calls=1,
                vectors_of=lambda _spec, _parameters: {},
            ),
            "privacy": Privacy(),
            "resources": resources,
            "created": now,
            "expires": now + 3600,
            "weights": (0.25, 0.25, 0.5),
        }
        return Contract(**{**fields, **changes})

    def propose(self, server: SiteServer, contract: Contract) -> State | Refusal:
        body = canonical(contract)
        return decode_reply(server.handle(encode(Propose(body, self.key.sign(body)))))


@pytest.fixture
def table(tmp_path: Path):
    """A clinical table of made-up patients."""
    rng = np.random.default_rng(0)
    path = tmp_path / "clinical.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient_id", "age", "idh"])
        for i in range(PATIENTS):
            writer.writerow([f"p{i:03d}", int(rng.integers(20, 80)), i % 2])
    return path


@pytest.fixture
def owner(tmp_path: Path):
    owner = SiteOwner.init(tmp_path / "ucsf", "ucsf")
    yield owner
    owner.close()


@pytest.fixture
def registered(owner: SiteOwner, table: Path):
    """An owner with one dataset, of which no patient's value is published."""
    owner.create_dataset("glioma", table=table, labels=["idh"], summary="made up")
    return owner


@pytest.fixture
def server(registered: SiteOwner):
    """The site's server, running beside the owner."""
    server = SiteServer(registered.path)
    yield server
    server.close()


@pytest.fixture
def ada():
    return Scientist(1)


@pytest.fixture
def impostor():
    """Somebody else who calls herself Ada."""
    return Scientist(2)
