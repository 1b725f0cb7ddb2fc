"""Who asks: a scientist's signing key, vouched for by the certificate of their kit.

A kit's private key signs the scientist's Ed25519 key once. Its certificate, that
signature and the contract's own cross together, so that a site checks a contract up to
the root certificate in its own kit, whatever the server between them says: the server's
certificate carries no role, and its key vouches for nobody.

On the way a proposal's signature is the scientist's 64 bytes and the frame of an
`Endorsement`; a site's executor takes the frame off. An endorsement that does not hold
leaves a proposal without any signature, which the gatekeeper refuses and records.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fednb.errors import FednbError, InputError, IntegrityError, WireError
from fednb.records.base import Record
from fednb.records.contracts import Contract
from fednb.records.messages import Propose
from fednb.records.service import Forward
from fednb.wire.codec import decode_as, decode_ask, decode_service_ask, encode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.x509 import Certificate

    from fednb.flare.kit import Kit

ROLE: Final = "scientist"
SIGNATURE_BYTES: Final = 64
_PURPOSE: Final = b"fednb-identity\x1f"


class Endorsement(Record, frozen=True):
    """A scientist's signing key, vouched for by the key of a kit.

    Attributes
    ----------
    certificate
        Of the kit, PEM.
    key
        The scientist's Ed25519 public key, hexadecimal.
    signature
        RSA-PSS with SHA-256 by the kit's key, over the purpose and `key`.
    """

    certificate: bytes
    key: str
    signature: bytes


def endorse(kit: Kit, key: str) -> Endorsement:
    """Vouch for a signing key with a user's kit.

    Parameters
    ----------
    kit
        Of the scientist.
    key
        Ed25519 public key, hexadecimal.

    Raises
    ------
    InputError
        The kit's private key is missing or of another kind.
    """
    path = kit.startup / "client.key"
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        message = f"The private key of the kit cannot be read from {path}."
        raise InputError(message, detail=str(error)) from error
    if not isinstance(private, rsa.RSAPrivateKey):
        message = f"The private key in {path} is not the RSA key that FLARE makes."
        raise InputError(message)
    signature = private.sign(_PURPOSE + key.encode(), _pss(), hashes.SHA256())
    certificate = (kit.startup / "client.crt").read_bytes()
    return Endorsement(certificate, key, signature)


def vouch(message: bytes, endorsement: Endorsement) -> bytes:
    """Return a notebook's message with the endorsement in it, where it proposes.

    Parameters
    ----------
    message
        Frame of the service's protocol.
    endorsement
        Of the scientist.
    """
    asked = decode_service_ask(message)
    if not isinstance(asked, Forward):
        return message
    proposal = decode_ask(asked.message)
    if not isinstance(proposal, Propose):
        return message
    signature = proposal.signature + encode(endorsement)
    carried = msgspec.structs.replace(proposal, signature=signature)
    return encode(Forward(asked.site, encode(carried)))


def admit(frame: bytes, root: Certificate) -> bytes:
    """Return a message for a site's server, with a checked endorsement taken off.

    Parameters
    ----------
    frame
        As the coordinator sent it. What is not a proposal passes as it is.
    root
        Root certificate of the site's own kit.
    """
    try:
        asked = decode_ask(frame)
    except WireError:
        # the server answers it, and its ledger shows it
        return frame
    if not isinstance(asked, Propose):
        return frame
    try:
        check(asked, root)
        signature = asked.signature[:SIGNATURE_BYTES]
    except FednbError:
        signature = b""
    return encode(msgspec.structs.replace(asked, signature=signature))


def check(proposal: Propose, root: Certificate) -> None:
    """Refuse a proposal whose requester's key is not vouched for.

    Parameters
    ----------
    proposal
        Its signature followed by an endorsement.
    root
        Root certificate of the site's own kit.

    Raises
    ------
    IntegrityError
        The certificate is not issued under `root`, not valid now, not a scientist's,
        or bears another name; or its key did not vouch for the contract's.
    WireError
        There is no endorsement, or no contract.
    """
    held = decode_as(proposal.signature[SIGNATURE_BYTES:], Endorsement)
    try:
        contract = msgspec.json.decode(proposal.contract, type=Contract)
        certificate = x509.load_pem_x509_certificate(held.certificate)
        certificate.verify_directly_issued_by(root)
        _check_signature(certificate, held)
    except (msgspec.DecodeError, ValueError, TypeError, InvalidSignature) as error:
        message = "The requester's key is not vouched for under this federation's root."
        raise IntegrityError(message, detail=repr(error)) from error
    now = datetime.datetime.now(datetime.UTC)
    names = _names(certificate)
    facts: Mapping[str, bool] = {
        "certificate is not valid now": certificate.not_valid_before_utc
        <= now
        <= certificate.not_valid_after_utc,
        "certificate is not a scientist's": names["role"] == ROLE,
        "certificate bears another name": names["name"] == contract.requester,
        "endorsement is for another key": held.key == contract.requester_key,
    }
    wrong = [fact for fact, holds in facts.items() if not holds]
    if wrong:
        message = f"The contract of {contract.requester!r}: {', '.join(wrong)}."
        raise IntegrityError(message)


def read_root(startup: Path) -> Certificate:
    """Return the root certificate of a kit.

    Raises
    ------
    InputError
        It is missing or cannot be read.
    """
    path = startup / "rootCA.pem"
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"The kit's root certificate cannot be read from {path}."
        raise InputError(message, detail=str(error)) from error


def _check_signature(certificate: Certificate, held: Endorsement) -> None:
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        message = "The certificate has no RSA key."
        raise TypeError(message)
    public.verify(held.signature, _PURPOSE + held.key.encode(), _pss(), hashes.SHA256())


def _names(certificate: Certificate) -> dict[str, str]:
    """Return the name and the role that a certificate's subject bears."""
    wanted = {
        x509.NameOID.COMMON_NAME: "name",
        x509.NameOID.UNSTRUCTURED_NAME: "role",
    }
    found = dict.fromkeys(wanted.values(), "")
    for attribute in certificate.subject:
        if attribute.oid in wanted:
            found[wanted[attribute.oid]] = str(attribute.value)
    return found


def _pss() -> padding.PSS:
    return padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
