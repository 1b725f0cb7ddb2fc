"""Contracts as a site files them, and how to file one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fednb.records.base import canonical
from fednb.records.contracts import Contract, Participant, Privacy, Resources
from fednb.records.outputs import Decision
from fednb.records.tasks import DescribePlan

if TYPE_CHECKING:
    from fednb.site.approvals import Approvals

SCIENTIST = Ed25519PrivateKey.from_private_bytes(bytes(32))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)


def contract_of(**changes: object):
    now = int(time.time())
    fields: dict[str, object] = {
        "version": 1,
        "nonce": "0",
        "requester": "Ada",
        "requester_key": SCIENTIST.public_key().public_bytes_raw().hex(),
        "purpose": "how many there are",
        "dataset": "glioma",
        "participants": (Participant("ucsf", "a", "b", "c"),),
        "steps": (DescribePlan((), ()),),
        "outputs": (),
        "privacy": Privacy(),
        "resources": Resources(),
        "created": now,
        "expires": now + 3600,
        "weights": (1.0,),
    }
    return Contract(**{**fields, **changes})


def file(approvals: Approvals, contract: Contract):
    approvals.file(contract, SCIENTIST.sign(canonical(contract)))
    return contract.hash()


def cause_of(answer: object):
    assert isinstance(answer, Decision)
    assert not answer.allow
    return answer.rule, answer.cause
