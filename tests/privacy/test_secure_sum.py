from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from fednb.errors import InputError, IntegrityError, RunError
from fednb.privacy.agreement import shared_secret
from fednb.privacy.secure_sum import (
    MaskContext,
    degree,
    mask,
    neighbours,
    totals,
    unmask_sum,
    updates,
)


def masked_all(parties, values, ring, context):
    return {
        site: mask(ring.encode(values[site]), site, parties.keys[site], context)
        for site in parties.sites
    }


@settings(max_examples=25)
@given(
    count=st.integers(3, 20),
    size=st.integers(1, 50),
    seed=st.integers(0, 2**31),
    small=st.booleans(),
)
def test_sum_is_the_plain_sum_within_the_step(party, count, size, seed, small):
    parties = party(count)
    ring = updates(count) if small else totals(count)
    scale = ring.limit / count / 6
    rng = np.random.default_rng(seed)
    values = {s: rng.uniform(-scale, scale, size) for s in parties.sites}
    vectors = masked_all(parties, values, ring, parties.context())
    total = ring.decode(unmask_sum(vectors, parties.sites))
    plain = np.sum(list(values.values()), axis=0)
    # beyond 2^53 steps a float64 itself is coarser than the step
    assert np.abs(total - plain).max() <= count * ring.step / 2 + 1e-14 * scale * count


@pytest.mark.parametrize("size", [0, 65_535, 65_536, 65_537, 200_000])
def test_chunks_of_the_keystream_join(party, size):
    parties = party(3)
    ring = updates(3)
    values = {s: np.full(size, i + 0.5) for i, s in enumerate(parties.sites)}
    vectors = masked_all(parties, values, ring, parties.context())
    total = ring.decode(unmask_sum(vectors, parties.sites))
    assert np.array_equal(total, np.full(size, 4.5))


@pytest.mark.parametrize("ring", [updates(3), totals(3)])
def test_a_masked_vector_looks_uniform(party, ring):
    parties = party(3)
    site = parties.sites[1]
    encoded = ring.encode(np.zeros(100_000))
    masked = mask(encoded, site, parties.keys[site], parties.context())
    counts = np.bincount(masked.view(np.uint8), minlength=256)
    expected = counts.sum() / 256
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert chi2.ppf(0.0005, 255) < statistic < chi2.ppf(0.9995, 255)
    # and no element repeats as zeros would
    assert np.unique(masked).size > 99_000


def test_two_of_three_vectors_stay_hidden(party):
    parties = party(3)
    ring = updates(3)
    values = dict.fromkeys(parties.sites, np.zeros(10_000))
    vectors = masked_all(parties, values, ring, parties.context())
    first, second, _ = parties.sites
    partial = ring.decode(vectors[first] + vectors[second])
    assert np.abs(partial).mean() > ring.limit / 3


def test_masks_differ_for_everything_they_are_bound_to(party):
    parties = party(4)
    site = parties.sites[0]
    base = parties.context()
    other_key = msgspec.structs.replace(
        base.participants[3], agreement_key=base.participants[3].agreement_key[::-1]
    )
    contexts = {
        "base": base,
        "contract": parties.context(contract="d" * 64),
        "step": parties.context(step=1),
        "run": parties.context(run="r2"),
        "round": parties.context(round=3),
        "attempt": parties.context(attempt=1),
        "output": parties.context(output="metrics"),
        "set": dataclasses.replace(base, participants=base.participants[:3]),
        "keys": dataclasses.replace(
            base, participants=(*base.participants[:3], other_key)
        ),
    }
    pair = (site, parties.sites[1])
    secret = shared_secret(parties.keys[site], base.participants[1].agreement_key)
    keys = {name: c.key(secret, pair, 32) for name, c in contexts.items()}
    keys["bits"] = base.key(secret, pair, 64)
    keys["pair"] = base.key(secret, (site, parties.sites[2]), 32)
    assert len(set(keys.values())) == len(keys)
    masked = {
        name: mask(np.zeros(64, np.uint32), site, parties.keys[site], c).tobytes()
        for name, c in contexts.items()
    }
    assert len(set(masked.values())) == len(masked)


def test_masks_are_a_function_of_the_context_only(party):
    parties = party(3)
    context = parties.context()
    shuffled = MaskContext(context.place, "update", context.participants[::-1])
    again = [
        mask(np.zeros(9, np.uint32), "site-00", parties.keys["site-00"], c)
        for c in (context, shuffled)
    ]
    assert np.array_equal(*again)


def test_masking_is_in_place(party):
    parties = party(3)
    encoded = np.zeros(5, np.uint64)
    masked = mask(encoded, "site-02", parties.keys["site-02"], parties.context())
    assert masked is encoded
    assert encoded.any()


def test_another_attempt_does_not_cancel(party):
    parties = party(3)
    ring = updates(3)
    zeros = dict.fromkeys(parties.sites, np.zeros(1000))
    vectors = masked_all(parties, zeros, ring, parties.context())
    replayed = masked_all(parties, zeros, ring, parties.context(attempt=1))
    mixed = vectors | {"site-00": replayed["site-00"]}
    assert np.abs(ring.decode(unmask_sum(mixed, parties.sites))).mean() > 1


def test_a_missing_a_foreign_and_a_misshapen_vector_name_their_site(party):
    parties = party(3)
    ring = updates(3)
    zeros = dict.fromkeys(parties.sites, np.zeros(4))
    vectors = masked_all(parties, zeros, ring, parties.context())
    two = {s: v for s, v in vectors.items() if s != "site-01"}
    with pytest.raises(RunError, match="lacks site-01's vector") as info:
        unmask_sum(two, parties.sites)
    assert (info.value.site, info.value.cause) == ("site-01", "unreachable")
    with pytest.raises(RunError, match="mallory sent a vector") as info:
        unmask_sum(vectors | {"mallory": vectors["site-00"]}, parties.sites)
    assert info.value.site == "mallory"
    for bad in (np.zeros(5, np.uint32), np.zeros(4, np.uint64), np.zeros(4)):
        with pytest.raises(RunError, match="site-02's vector has shape") as info:
            unmask_sum(vectors | {"site-02": bad}, parties.sites)
        assert info.value.site == "site-02"
    with pytest.raises(RunError, match="type float64"):
        unmask_sum(dict.fromkeys(parties.sites, np.zeros(4)), parties.sites)


def test_wrong_keys_and_strangers_are_refused(party):
    parties = party(3)
    context = parties.context()
    with pytest.raises(IntegrityError, match="is not the one in the contract"):
        mask(np.zeros(3, np.uint32), "site-00", parties.keys["site-01"], context)
    with pytest.raises(InputError, match="'mallory' does not take part"):
        mask(np.zeros(3, np.uint32), "mallory", parties.keys["site-01"], context)
    for bad in (np.zeros(3), np.zeros(6, np.uint32)[::2]):
        with pytest.raises(InputError, match="contiguous, writable"):
            mask(bad, "site-00", parties.keys["site-00"], context)


def test_fewer_than_three_sites_and_doubled_keys_are_refused(party):
    parties = party(3)
    context = parties.context()
    with pytest.raises(InputError, match="at least 3 sites"):
        dataclasses.replace(context, participants=context.participants[:2])
    doubled = msgspec.structs.replace(context.participants[0], site="site-99")
    with pytest.raises(InputError, match="share a name or an agreement key"):
        dataclasses.replace(context, participants=(*context.participants, doubled))


@pytest.mark.parametrize("key", ["zz", "00" * 31, "00" * 32, "01" + "00" * 31])
def test_malformed_and_low_order_keys_are_refused(key):
    with pytest.raises(IntegrityError):
        shared_secret(X25519PrivateKey.generate(), key)


@pytest.mark.parametrize("count", [3, 19, 20])
def test_few_sites_all_share_masks(party, count):
    found = neighbours(party(count).participants)
    assert {len(near) for near in found.values()} == {count - 1}
    assert all(site not in near for site, near in found.items())


@pytest.mark.parametrize("count", [21, 34, 60, 200])
def test_many_sites_share_masks_with_as_many_others_each(party, count):
    participants = party(count).participants
    found = neighbours(participants)
    assert {len(set(near)) for near in found.values()} == {degree(count)}
    assert degree(count) < count - 1
    for site, near in found.items():
        assert site not in near
        assert all(site in found[other] for other in near)
    assert neighbours(participants[::-1]) == found


def test_the_degree_is_above_all_who_collude_or_its_chance_is_small():
    for count in range(21, 2000):
        k, colluding = degree(count), count // 3
        assert k % 2 == 0
        never, chance = k > colluding, count**2 / 2 * 3.0**-k
        assert never or chance <= 2.0**-40
        # and no two neighbours fewer would do
        assert k - 2 <= colluding
        assert count**2 / 2 * 3.0 ** -(k - 2) > 2.0**-40
    assert [degree(n) for n in (21, 30, 99, 1000)] == [8, 12, 34, 38]


@pytest.mark.parametrize("count", [21, 30, 33])
def test_no_third_of_the_sites_cuts_anybody_off(party, count):
    """The worst that can be: runs of colluders on both sides of honest ones."""
    found = neighbours(party(count).participants)
    ring = _ring(found)
    colluding, reach = count // 3, degree(count) // 2
    for place, site in enumerate(ring):
        around = {ring[(place + i) % count] for i in range(-reach, reach + 1)}
        assert {site, *found[site]} == around
    for first in range(count):
        for left in range(colluding + 1):
            for between in range(1, count - colluding):
                bad = {ring[(first + i) % count] for i in range(left)}
                rest = range(left + between, colluding + between)
                bad |= {ring[(first + i) % count] for i in rest}
                assert _connected(found, set(ring) - bad)


def _ring(found: dict) -> list[str]:
    """Return the sites in their order: next to each other share most neighbours."""
    ring = [min(found)]
    while len(ring) < len(found):
        near = [n for n in found[ring[-1]] if n not in ring]
        own = {ring[-1], *found[ring[-1]]}
        ring.append(max(near, key=lambda n: (len({n, *found[n]} & own), n)))
    return ring


def _connected(found: dict, honest: set[str]) -> bool:
    seen, front = set(), {min(honest)}
    while front:
        seen |= front
        front = {n for s in front for n in found[s]} & honest - seen
    return seen == honest


def test_neighbours_hang_on_keys_and_on_nothing_that_a_requester_writes(party):
    participants = party(40).participants
    found = neighbours(participants)
    other = [msgspec.structs.replace(p, fingerprint="another") for p in participants]
    assert neighbours(other) == found
    first = msgspec.structs.replace(participants[0], agreement_key="00" * 32)
    assert neighbours([first, *participants[1:]]) != found


def test_a_sum_of_forty_sites_is_the_plain_sum_within_the_step(party):
    parties = party(40)
    ring = totals(40)
    rng = np.random.default_rng(1)
    values = {s: rng.normal(size=9) for s in parties.sites}
    vectors = masked_all(parties, values, ring, parties.context())
    total = ring.decode(unmask_sum(vectors, parties.sites))
    plain = np.sum(list(values.values()), axis=0)
    assert np.abs(total - plain).max() <= 40 * ring.step / 2 + 1e-12
    # honest sites keep their sum even where a third of all collude
    honest = {s: v for i, (s, v) in enumerate(vectors.items()) if i % 3}
    bare = ring.decode(unmask_sum(honest, list(honest)))
    assert np.abs(bare - sum(values[s] for s in honest)).min() > 1


def test_honest_sites_hold_together_where_a_third_colludes(party):
    """In many draws of colluders nobody honest is cut off from the others."""
    parties = party(60)
    found = neighbours(parties.participants)
    rng = np.random.default_rng(2)
    for _ in range(300):
        bad = set(rng.choice(parties.sites, 20, replace=False).tolist())
        assert _connected(found, set(parties.sites) - bad)
