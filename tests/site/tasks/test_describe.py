"""Descriptions of random cohorts: the sum over sites against counts made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fednb.privacy.differencing import Book
from fednb.privacy.pool import totals
from fednb.privacy.profiles import OPEN, PROFILES, STANDARD
from fednb.privacy.secure_sum import MaskContext, mask, public_hex, unmask_sum
from fednb.privacy.tables import DescribeLayout
from fednb.records.contracts import Participant
from fednb.records.datasets import Column, Manifest, VolumeFile
from fednb.records.outputs import Place
from fednb.results.description import patient_counts
from fednb.site.tasks.describe import describe

COLUMNS = (
    Column("age", "number", lower=0, upper=120, step=5),
    Column("sex", "category", levels=("F", "M")),
    Column("idh", "binary"),
)
LAYOUT = DescribeLayout(("age", "sex", "idh"), ("T1c", "FLAIR"))
FAST = settings(
    max_examples=30,
    derandomize=True,
    database=None,
    # what fails is told as it was found: to shrink it takes minutes
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def cohorts(draw):
    """Return who has what at a site, each row a cohort of LAYOUT's order."""
    patients = draw(st.integers(1, 90))
    shares = draw(
        st.lists(st.sampled_from([0, 0.05, 0.2, 0.5, 0.9, 1]), min_size=5, max_size=5)
    )
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    return rng.random((5, patients)) < np.array(shares)[:, None]


def job_of(path, having):
    """Write a site's table and return what `describe` reads of a job."""
    ids = tuple(f"p{i}" for i in range(having.shape[1]))
    age, sex, idh, *scans = having
    table = {
        "patient_id": ids,
        "age": np.where(age, 50.0, np.nan),
        "sex": np.where(sex, "F", ""),
        "idh": np.where(idh, 1.0, np.nan),
    }
    pd.DataFrame(table).to_csv(path, index=False)
    volumes = tuple(
        VolumeFile(ids[place], modality, "", 1, "0", (1, 1, 1), (1, 1, 1))
        for modality, has in zip(LAYOUT.modalities, scans, strict=True)
        for place in np.flatnonzero(has)
    )
    manifest = Manifest("glioma", COLUMNS, LAYOUT.modalities, ids, "00", volumes)
    return SimpleNamespace(manifest=manifest, table=str(path))


def by_hand(having, profile):
    """Return what a site may say, by words of our own: rules 2 to 4 and 12.

    A cohort near one that was answered afresh has its answer, and is none itself.
    """
    fresh: list[tuple[np.ndarray, int]] = []
    said: list[int] = []
    everybody = np.ones(having.shape[1], dtype=bool)
    for members in (everybody, *having):
        n = int(members.sum())
        if profile is OPEN:
            said.append(n)
            continue
        apart = [int((members ^ other).sum()) for other, _ in fresh]
        shown = (n + 5) // 10 * 10 if profile is STANDARD else -(-n // 6) * 6 - 3
        value = shown if n >= profile.threshold else 0
        near = [
            (d > 0, place)
            for place, d in enumerate(apart)
            if d < profile.threshold and fresh[place][1] and n >= profile.threshold
        ]
        if not near:
            fresh.append((members, value))
        said.append(fresh[min(near)[1]][1] if near else value)
    return said


@FAST
@given(
    sites=st.lists(cohorts(), min_size=3, max_size=4),
    name=st.sampled_from(sorted(PROFILES)),
)
def test_the_sum_over_sites_is_that_of_the_rounded_counts(tmp_path, sites, name):
    """Masked and unmasked, decoded and read: nothing is lost and nothing is added."""
    profile = PROFILES[name]
    keys = {f"s{i}": X25519PrivateKey.generate() for i in range(len(sites))}
    people = tuple(Participant(s, "00", public_hex(k), "00") for s, k in keys.items())
    context = MaskContext(Place("c" * 64, 1, "r", 0, 0), "table", people)
    ring = totals(len(sites))
    masked = {}
    expected = []
    for (site, key), having in zip(keys.items(), sites, strict=True):
        vector, _ = describe(job_of(tmp_path / f"{site}.csv", having), profile, LAYOUT)
        expected.append(by_hand(having, profile))
        assert LAYOUT.decode(vector).counts.tolist() == expected[-1]
        masked[site] = mask(ring.encode(vector), site, key, context)
    total = ring.decode(unmask_sum(masked, tuple(keys)))
    found = patient_counts(LAYOUT, total, sites=len(sites), profile=profile)
    assert [c.n for c in found] == np.sum(expected, axis=0).tolist()
    hidden = np.sum(np.array(expected) == 0, axis=0) * (profile is not OPEN)
    assert [c.sites for c in found] == (len(sites) - hidden).tolist()


@pytest.mark.parametrize("few", range(10))
def test_none_and_few_give_the_same_bytes(tmp_path, few):
    """Who has a value, or lacks one: below the threshold it makes no difference."""
    having = np.zeros((5, 40), dtype=bool)
    having[1] = having[2] = having[4] = True
    plain, _ = describe(job_of(tmp_path / "plain.csv", having), STANDARD, LAYOUT)
    having[0, :few] = having[3, :few] = True
    having[1, :few] = having[4, :few] = False
    other, _ = describe(job_of(tmp_path / "other.csv", having), STANDARD, LAYOUT)
    assert other.tobytes() == plain.tobytes()


def test_a_name_of_the_requesters_own_leaves_nothing_in_the_book(tmp_path):
    """Or thousands of them would fill it, and nobody were answered any more."""
    job = job_of(tmp_path / "t.csv", np.ones((5, 30), dtype=bool))
    book = Book.blank(STANDARD, 30)
    describe(job, STANDARD, DescribeLayout(("age",), ("T1c",)), book)
    before = len(book.added)
    names = tuple(f"invented {i}" for i in range(50))
    vector, _ = describe(job, STANDARD, DescribeLayout(("age",), names), book)
    assert len(book.added) == before
    assert DescribeLayout(("age",), names).decode(vector).counts[2:].sum() == 0


def test_patients_are_counted_once_however_many_volumes_they_have(tmp_path):
    having = np.ones((5, 12), dtype=bool)
    job = job_of(tmp_path / "t.csv", having)
    twice = (*job.manifest.volumes, *job.manifest.volumes)
    stranger = VolumeFile("nobody", "T1c", "", 1, "0", (1, 1, 1), (1, 1, 1))
    manifest = Manifest(
        "glioma",
        COLUMNS,
        LAYOUT.modalities,
        job.manifest.patients,
        "00",
        (*twice, stranger),
    )
    job = SimpleNamespace(manifest=manifest, table=job.table)
    vector, _ = describe(job, OPEN, LAYOUT)
    assert vector[:6].tolist() == [12] * 6
