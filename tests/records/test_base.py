from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import InputError
from fednb.records.base import canonical, sha256_hex
from fednb.records.datasets import Column, Manifest, VolumeFile
from fednb.records.heads import CoxPlan

NUMBERS = st.integers(-(10**30), 10**30) | st.floats(
    allow_nan=False, allow_infinity=False
)


def reread(body: bytes, record: object):
    return msgspec.json.decode(body, type=type(record))


def test_the_bytes_can_be_written_by_hand():
    column = Column("age", "number", unit="years", lower=18, upper=90.5)
    assert canonical(column) == (
        b'{"type":"Column","name":"age","kind":"number","unit":"years","lower":18.0,'
        b'"upper":90.5,"step":0.05,"resolution":1.0,"levels":[],"description":""}'
    )
    assert sha256_hex(b"abc").startswith("ba7816bf8f01cfea")  # FIPS 180-2, B.1


@given(lower=NUMBERS, upper=NUMBERS)
def test_the_bytes_survive_reading(lower: float, upper: float):
    column = Column("age", "number", lower=lower, upper=upper)
    assert canonical(reread(canonical(column), column)) == canonical(column)


@given(whole=st.integers(-(2**53), 2**53))
def test_equal_records_have_equal_bytes(whole: int):
    column = Column("age", "number", lower=whole)
    same = Column("age", "number", lower=float(whole))
    assert column == same
    assert canonical(column) == canonical(same)


def test_fractions_inside_other_records_are_fractions():
    volume = VolumeFile("p", "T1", "p/T1.nii", 1, "0", (1, 2, 3), (1, 1, 2))
    manifest = Manifest(
        "d", (Column("a", "number", upper=2),), (), ("p",), "", (volume,)
    )
    body = canonical(manifest)
    assert b'"spacing":[1.0,1.0,2.0]' in body
    assert b'"shape":[1,2,3]' in body
    assert manifest.fingerprint() == reread(body, manifest).fingerprint()


def test_a_plan_with_a_whole_penalizer_names_the_same_task():
    whole, fraction = (
        CoxPlan(duration="t", event="e", covariates=("x",), penalizer=p)
        for p in (1, 1.0)
    )
    assert canonical(whole) == canonical(fraction)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (math.nan, "Expected `float`, got `null`"),
        (math.inf, "Expected `float`, got `null`"),
        ("18", "Expected `float`, got `str`"),
        (True, "Expected `float`, got `bool`"),
    ],
)
def test_what_a_field_cannot_hold_has_no_bytes(value: object, seen: str):
    with pytest.raises(InputError) as caught:
        canonical(Column("age", "number", lower=value))
    assert str(caught.value) == f"Column holds what it cannot: {seen} - at `$.lower`."
