"""Totals over sites, in float64 and, for networks, in float32."""

from __future__ import annotations

import numpy as np
import pytest

from fednb.errors import IntegrityError
from fednb.privacy.fixed_point import CHUNK, updates
from fednb.privacy.pool import total, total_update
from fednb.records.arrays import pack
from fednb.records.outputs import Output, Place

SITES = ("a", "b", "c")
PLACE = Place("c", 0, "r", 0, 0)


def outputs(vectors, kind="table"):
    return [
        Output(site, PLACE, "update", kind, pack(vector))
        for site, vector in zip(SITES, vectors, strict=True)
    ]


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 2 * CHUNK + 7)).astype(np.float32)


def test_an_update_is_the_float64_total_rounded_once(vectors):
    wide = total(outputs(vectors), SITES, training=True)
    assert wide.dtype == np.float64
    assert np.array_equal(wide, vectors.astype(np.float64).sum(axis=0))
    narrow = total_update(outputs(vectors), SITES)
    assert narrow.dtype == np.float32
    assert np.array_equal(narrow, wide.astype(np.float32))


def test_a_masked_update_is_decoded_to_the_same(vectors):
    # without masks, which cancel anyway
    rings = [updates(3).encode(vector) for vector in vectors]
    found = outputs(rings, "masked")
    wide = total(found, SITES, training=True)
    assert np.array_equal(total_update(found, SITES), wide.astype(np.float32))
    assert np.allclose(wide, vectors.sum(axis=0), atol=3 * 2**-25)


@pytest.mark.parametrize("add", [total_update, lambda o, s: total(o, s, training=True)])
def test_a_sum_needs_every_site_once_and_of_one_round(add, vectors):
    found = outputs(vectors)
    with pytest.raises(
        IntegrityError, match=r"^A sum over a, b, c was given .* a, b\."
    ):
        add(found[:2], SITES)
    with pytest.raises(IntegrityError, match="was given parts of a, a, b, c"):
        add([*found, found[0]], SITES)
    other = Output("c", Place("c", 0, "r", 1, 0), "update", "table", found[2].data)
    with pytest.raises(IntegrityError, match="different rounds"):
        add([*found[:2], other], SITES)


def test_nobody_is_nobody():
    with pytest.raises(IntegrityError, match="was given parts of nobody"):
        total_update([], SITES)
