"""Secure sum of all K participants: the coordinator learns the sum and nothing else.

Neighbours share a mask that the lower name adds and the higher subtracts, modulo
2^bits; in the sum over all sites the masks cancel. A pair's mask is an
AES-256-CTR keystream under a key used once: HKDF-SHA256 of their X25519 secret, salted
with the contract's hash and bound to run, step, round, attempt, output, element size,
the pair, and all participants with their keys.

Source: K. Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine
Learning", ACM CCS 2017, without its dropout recovery: where a site is lost, the round
pauses, and the same set resumes under a new attempt with fresh masks. Who is whose
neighbour: J. Bell et al., "Secure Single-Server Aggregation with (Poly)Logarithmic
Overhead", ACM CCS 2020, see `neighbours`.

Threat model
------------
* The coordinator is honest but curious: it sees every masked vector and every public
  key. Where all sites are neighbours, it may collude with all but two; it then learns
  the sum of the two. Where they are not, it may collude with a third of them.
* Keys are those that the contract binds and the site owner approved, so that a
  coordinator cannot put itself between two sites.
* Who is whose neighbour is a function of all sites' names and agreement keys, not of
  anything that a requester writes. Whoever could try many keys, or many sets of sites,
  could search for a ring that surrounds somebody: sites therefore refuse keys that
  nobody confirmed (`fednb.site.peers`), and sets that nearly repeat (rule 11).
* All K vectors are needed: from fewer, nothing but random bits is seen.

What it does not protect
------------------------
* The sum itself: what may be summed is for the disclosure rules (3 sites at least).
* Against a site that contributes false values, or a coordinator that reports a false
  sum: each site therefore derives the next value of a fit (disclosure rule 19) and the
  next weights of a network (`fednb.site.states`) from the signed parts by itself.
* Against a caller that masks two different vectors at the same place: their difference
  would show. A site keeps the release of a call and returns it on a retry.

A sum is exact in the ring; the step of `FixedPoint` is its only error. Each site makes
K - 1 masks up to 20 sites, and `degree` above: 8 for 21 sites, 38 for a thousand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from fednb.errors import InputError, IntegrityError, RunError
from fednb.privacy.agreement import derive_key, public_hex, shared_secret
from fednb.privacy.fixed_point import FixedPoint, totals, updates
from fednb.records.base import Record, canonical, sha256_hex
from fednb.records.contracts import Participant
from fednb.records.outputs import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.ciphers import CipherContext
    from numpy.typing import NDArray

    from fednb.privacy.fixed_point import Ring

__all__ = [
    "MINIMUM_SITES",
    "FixedPoint",
    "MaskContext",
    "degree",
    "mask",
    "neighbours",
    "totals",
    "unmask_sum",
    "updates",
]

MINIMUM_SITES: Final = 3
"""With two sites, each knows the other's vector from the sum."""

DENSE: Final = 20
"""Up to so many sites, each shares a mask with every other."""

COLLUDING: Final = 3
"""One in so many sites may collude with the coordinator in a sparse graph."""

SECURITY_BITS: Final = 40
"""A random ring exposes somebody with a chance of 2 to the minus this, at most."""

_CHUNK_BYTES: Final = 256 * 1024
"""Keystream held at a time: fits a core's own cache; a multiple of AES blocks."""

_BLOCK_BYTES: Final = 16
_ZEROS: Final = bytes(_CHUNK_BYTES)


class _MaskInfo(Record, frozen=True):
    """What a mask's key is bound to; its canonical bytes are HKDF's info."""

    place: Place
    output: str
    bits: int
    participants: tuple[Participant, ...]
    lower: str
    higher: str
    version: int = 1


@dataclass(frozen=True)
class MaskContext:
    """Where in a run a masked vector belongs; two contexts never share a mask.

    Parameters
    ----------
    place
        Contract hash, step, run, round and attempt.
    output
        Name of the output, for example ``"update"``.
    participants
        All sites of the contract with their keys, in any order; at least 3.

    Raises
    ------
    InputError
        Fewer than three participants, or two with the same name or key.
    """

    place: Place
    output: str
    participants: tuple[Participant, ...]

    def __post_init__(self) -> None:
        """Sort the participants by name and refuse too few or doubled ones."""
        ordered = tuple(sorted(self.participants, key=lambda p: p.site))
        object.__setattr__(self, "participants", ordered)
        names = [p.site for p in ordered]
        if len(names) < MINIMUM_SITES:
            message = (
                f"A secure sum needs at least {MINIMUM_SITES} sites; got {names}. "
                "Invite another site, or ask for outputs that leave without it."
            )
            raise InputError(message)
        keys = {p.agreement_key for p in ordered}
        if len(set(names)) < len(names) or len(keys) < len(names):
            message = f"Two participants share a name or an agreement key: {names}."
            raise InputError(message)

    def sites(self) -> tuple[str, ...]:
        """Return the names of all participants in order."""
        return tuple(p.site for p in self.participants)

    def key(self, secret: bytes, pair: tuple[str, str], bits: int) -> bytes:
        """Return the AES-256 key of the mask of a pair of sites.

        Parameters
        ----------
        secret
            The pair's X25519 secret.
        pair
            Both names, in any order.
        bits
            Size of a ring element.
        """
        info = _MaskInfo(
            place=self.place,
            output=self.output,
            bits=bits,
            participants=self.participants,
            lower=min(pair),
            higher=max(pair),
        )
        salt = self.place.contract.encode()
        return derive_key(secret, salt=salt, info=canonical(info))


def degree(sites: int) -> int:
    """Return with how many others each site shares a mask, k.

    K - 1, all others, up to `DENSE` sites. Above, each site's neighbours are the k/2
    before and the k/2 after it on a ring of random order. The coordinator learns more
    than the sum of all honest sites only where these fall apart into groups without a
    mask in common (Bell et al. 2020, section 3: the honest sites' graph must be
    connected); at most C = floor(K / 3) collude. k is the lesser of two even numbers:

    * the least above C. On a ring, a group of honest sites is cut off only where k/2 or
      more sites in a row collude on each side of it: k at least, and there are not so
      many. So nobody is exposed, whoever colludes and however the ring lies (this ring
      is Harary's graph, which stays connected without any k - 1 of its sites);
    * the least for which K^2/2 * 3^-k <= 2^-40. There are fewer than K^2/2 pairs of
      runs of k/2 sites, and the k sites of one pair all collude with a chance below
      C/K * (C - 1)/(K - 1) * ... < 3^-k: the order is drawn by a hash of keys that
      were fixed before. A random ring exposes somebody with that chance at most.

    The first is the lesser up to about a hundred sites: 8 for 21, 12 for 30, 34 for 99.

    Parameters
    ----------
    sites
        Number of participants, K.
    """
    if sites <= DENSE:
        return sites - 1
    colluding = sites // COLLUDING
    never = 2 * (colluding // 2 + 1)
    bits = SECURITY_BITS + 2 * math.log2(sites) - 1
    seldom = 2 * math.ceil(bits / math.log2(COLLUDING) / 2)
    return min(never, seldom)


def neighbours(participants: Sequence[Participant]) -> dict[str, tuple[str, ...]]:
    """Return with whom each site shares a mask, the same at every site.

    All others up to `DENSE` sites; above, those near it on a ring whose order is drawn
    by a hash of all names and agreement keys.

    Parameters
    ----------
    participants
        All sites of the contract, in any order.
    """
    names = sorted(p.site for p in participants)
    reach = degree(len(names))
    if reach == len(names) - 1:
        return {name: tuple(n for n in names if n != name) for name in names}
    keys = sorted((p.site, p.agreement_key) for p in participants)
    seed = sha256_hex(msgspec.json.encode(keys))
    ring = sorted(names, key=lambda name: sha256_hex(f"{seed}\x1f{name}".encode()))
    steps = [step for step in range(-(reach // 2), reach // 2 + 1) if step]
    return {
        name: tuple(sorted(ring[(place + step) % len(ring)] for step in steps))
        for place, name in enumerate(ring)
    }


def mask(
    encoded: Ring, own_site: str, private_key: X25519PrivateKey, context: MaskContext
) -> Ring:
    """Hide a site's vector, in place.

    Parameters
    ----------
    encoded
        Ring elements from `FixedPoint.encode`, any shape, contiguous; overwritten.
    own_site
        Name of this site.
    private_key
        This site's agreement key; its public half must be the one in the contract.
    context
        Where the vector belongs. Masking a second, different vector in the same context
        would show their difference: callers must never do so.

    Returns
    -------
    masked
        `encoded` itself, now uniformly distributed for whoever lacks the masks.

    Raises
    ------
    InputError
        `encoded` is not a contiguous, writable array of uint32 or uint64, or the site
        does not take part.
    IntegrityError
        The private key is not the one that the contract binds.
    """
    if encoded.dtype.str not in {"<u4", "<u8"} or not (
        encoded.flags.c_contiguous and encoded.flags.writeable
    ):
        message = (
            "A mask needs a contiguous, writable array of uint32 or uint64; got "
            f"{encoded.dtype}. Encode the values with FixedPoint first."
        )
        raise InputError(message)
    streams = _streams(own_site, private_key, context, 8 * encoded.dtype.itemsize)
    # update_into asks for one block more than it writes
    buffer = bytearray(_CHUNK_BYTES + _BLOCK_BYTES - 1)
    count = _CHUNK_BYTES // encoded.dtype.itemsize
    keystream = np.frombuffer(buffer, encoded.dtype, count)
    flat = encoded.reshape(-1)
    for start in range(0, flat.size, count):
        part = flat[start : start + count]
        zeros = memoryview(_ZEROS)[: part.nbytes]
        for combine, stream in streams:
            stream.update_into(zeros, buffer)
            combine(part, keystream[: part.size], out=part)
    return encoded


def _streams(
    own_site: str, private_key: X25519PrivateKey, context: MaskContext, bits: int
) -> list[tuple[np.ufunc, CipherContext]]:
    """Return add or subtract, and a fresh keystream, for each other site."""
    own = [p for p in context.participants if p.site == own_site]
    if not own:
        message = f"{own_site!r} does not take part; sites: {context.sites()}."
        raise InputError(message)
    if own[0].agreement_key != public_hex(private_key):
        message = (
            f"The agreement key of {own_site} is not the one in the contract. Ask for "
            "a new contract, or restore the key file."
        )
        raise IntegrityError(message)
    streams: list[tuple[np.ufunc, CipherContext]] = []
    near = set(neighbours(context.participants)[own_site])
    for peer in context.participants:
        if peer.site not in near:
            continue
        secret = shared_secret(private_key, peer.agreement_key)
        key = context.key(secret, (own_site, peer.site), bits)
        # a zero counter is safe: the key is used for this one keystream only
        stream = Cipher(AES(key), CTR(bytes(_BLOCK_BYTES))).encryptor()
        streams.append((np.add if own_site < peer.site else np.subtract, stream))
    return streams


def unmask_sum(
    vectors: Mapping[str, NDArray[np.generic]], sites: Sequence[str]
) -> Ring:
    """Return the sum of all sites' masked vectors, in which the masks cancel.

    Parameters
    ----------
    vectors
        Masked vector by site: uint32 or uint64, all of one shape and type.
    sites
        All participants of the contract: every one is needed.

    Returns
    -------
    total
        A new array of ring elements, for `FixedPoint.decode`.

    Raises
    ------
    RunError
        A site's vector is missing, comes from a site that does not take part, is no
        ring, or has another shape or type than the first; the error names the site.
    """
    for site in sorted(set(sites) ^ set(vectors)):
        absent = site not in vectors
        message = (
            f"The secure sum lacks {site}'s vector. Resume the round with the same "
            "sites under a new attempt."
            if absent
            else f"{site} sent a vector but does not take part in this secure sum."
        )
        raise RunError(
            message, site=site, cause="unreachable" if absent else "participants"
        )
    first = vectors[min(sites)]
    total: Ring = np.zeros(first.shape, "<u4" if first.dtype.str == "<u4" else "<u8")
    for site in sorted(sites):
        vector = vectors[site]
        if vector.shape != total.shape or vector.dtype != total.dtype:
            message = (
                f"{site}'s vector has shape {vector.shape} and type {vector.dtype}; "
                f"shape {total.shape} and type {total.dtype} are expected. Check that "
                "all sites run the same version of fednb."
            )
            raise RunError(message, site=site, cause="malformed")
        np.add(total, vector, out=total)
    return total
