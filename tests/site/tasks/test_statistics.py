from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.errors import DatasetError, InputError, UnknownNameError
from fednb.privacy.agreement import public_hex
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD
from fednb.privacy.secure_sum import MaskContext, mask, totals, unmask_sum
from fednb.privacy.summaries import summarise
from fednb.privacy.tables import DescribeLayout, StatisticsLayout
from fednb.records.contracts import Participant
from fednb.records.datasets import Column, Manifest, VolumeFile
from fednb.records.outputs import Place
from fednb.records.tasks import StatisticsPlan
from fednb.site.tasks.describe import describe
from fednb.site.tasks.job import Job
from fednb.site.tasks.statistics import statistics
from fednb.site.tasks.table import load_table

COLUMNS = (
    Column("age", "number", "years", 0.0, 120.0, 5.0),
    Column("sex", "category", levels=("F", "M", "X")),
    Column("idh", "binary"),
)
PLAN = StatisticsPlan(("age", "idh", "sex"), by="sex")


@pytest.fixture(scope="session")
def job_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    number = itertools.count()

    def make(frame: pd.DataFrame, volumes: tuple[VolumeFile, ...] = ()) -> Job:
        path = folder / f"{next(number)}.csv"
        ids = tuple(f"p{i}" for i in range(len(frame)))
        frame.assign(patient_id=ids).to_csv(path, index=False)
        modalities = tuple(sorted({v.modality for v in volumes}))
        manifest = Manifest("glioma", COLUMNS, modalities, ids, "00", volumes)
        return Job("j", "a", PLAN, 0, 1, manifest, str(path), "", "", {})

    return make


def cohort(seed: int, n: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.normal(55, 12, n).round()),
            "sex": rng.choice(["F", "M", ""], n, p=[0.5, 0.4, 0.1]),
            "idh": rng.integers(0, 2, n).astype(float),
        }
    )


@pytest.mark.parametrize("by", ["", "idh"])
def test_open_and_pooled_equals_pandas_on_all_rows(job_of, by):
    plan = StatisticsPlan(("age", "sex"), by=by)
    layout = StatisticsLayout.from_plan(plan, COLUMNS)
    frames = [cohort(seed, 80 + 20 * seed) for seed in range(3)]
    total = sum(statistics(job_of(frame), OPEN, layout)[0] for frame in frames)
    rows = pd.concat(frames)
    for summary in summarise(layout, total, sites=3, profile=OPEN):
        part = rows if not by else rows[rows["idh"] == float(summary.group)]
        if summary.column.name == "sex":
            assert summary.counts["F"] == (part["sex"] == "F").sum()
            continue
        age = part["age"].dropna()
        assert summary.n == age.size
        assert summary.mean == pytest.approx(age.mean(), rel=1e-9)
        assert summary.variance == pytest.approx(age.var(), rel=1e-9)
        for p, q in summary.quantiles.items():
            assert abs(q - age.quantile(p)) <= 5
        assert sum(summary.counts) == age.size


def test_standard_is_rounded_and_near(job_of):
    layout = StatisticsLayout.from_plan(StatisticsPlan(("age", "idh")), COLUMNS)
    frame = cohort(1, 437)
    vector, decisions = statistics(job_of(frame), STANDARD, layout)
    assert decisions[0].rule == "disclosure.1-patients"
    assert all(decision.allow for decision in decisions)
    age, idh = summarise(layout, vector, sites=1, profile=STANDARD)
    true = frame["age"].dropna()
    assert age.n == (true.size + 5) // 10 * 10
    assert abs(age.mean - true.mean()) <= 0.05 + 1e-9
    assert age.mean * 10 == pytest.approx(round(age.mean * 10), abs=1e-6)
    assert abs(age.std - true.std()) < 0.15
    assert abs(age.quantiles[0.5] - true.median()) < 5
    assert all(n % 10 == 0 for n in idh.counts.values())
    cell = layout.decode(vector)["age", ""]
    assert cell.grid.sum() % 10 == pytest.approx(0, abs=1e-9)


def test_values_are_clipped_to_the_declared_bounds(job_of):
    layout = StatisticsLayout.from_plan(StatisticsPlan(("age",)), COLUMNS)
    frame = cohort(2, 50)
    outlier = frame.assign(age=frame["age"].fillna(50))
    outlier.loc[3, "age"] = 1e9
    bounded = outlier.assign(age=outlier["age"].clip(0, 120))
    released = [statistics(job_of(f), STANDARD, layout)[0] for f in (outlier, bounded)]
    assert np.array_equal(*released)


ROWS = st.lists(
    st.tuples(
        st.floats(0, 120) | st.just(math.nan), st.sampled_from([0.0, 1.0, math.nan])
    ),
    max_size=9,
)


def with_small_group(large: pd.DataFrame, rows: list, profile) -> pd.DataFrame:
    kept = rows[: profile.threshold - 1]
    ages, idhs = zip(*kept, strict=True) if kept else ((), ())
    return pd.DataFrame(
        {
            "age": [*large["age"], *ages],
            "sex": [*large["sex"], *("X" for _ in kept)],
            "idh": [*large["idh"], *idhs],
        }
    )


@settings(max_examples=60)
@given(
    first=ROWS,
    second=ROWS,
    seed=st.integers(0, 5),
    profile=st.sampled_from([STANDARD, RARE_DISEASE]),
)
def test_a_suppressed_group_cannot_be_felt(job_of, first, second, seed, profile):
    layout = StatisticsLayout.from_plan(PLAN, COLUMNS)
    large = cohort(seed, 60)
    vectors = [
        statistics(job_of(with_small_group(large, rows, profile)), profile, layout)[0]
        for rows in (first, second, [])
    ]
    assert vectors[0].tobytes() == vectors[1].tobytes() == vectors[2].tobytes()
    cells = layout.decode(vectors[0])
    for name in ("age", "idh"):
        suppressed = layout.suppressed(next(c for c in COLUMNS if c.name == name))
        assert repr(cells[name, "X"]) == repr(suppressed)


@settings(max_examples=40)
@given(
    values=st.lists(st.floats(0, 120), max_size=9),
    others=st.lists(st.floats(0, 120), max_size=9),
)
def test_few_non_missing_values_cannot_be_felt(job_of, values, others):
    layout = StatisticsLayout.from_plan(StatisticsPlan(("age", "idh")), COLUMNS)
    base = cohort(0, 40)

    def released(few: list[float]) -> bytes:
        age = np.full(40, math.nan)
        age[: len(few)] = few
        return statistics(job_of(base.assign(age=age)), STANDARD, layout)[0].tobytes()

    assert released(values) == released(others) == released([])


def test_asking_for_other_bins_tells_nothing_more(job_of):
    job = job_of(cohort(4, 300))
    plans = [StatisticsPlan(("age",), bins=bins) for bins in (1, 7, 19, 20)]
    layouts = [StatisticsLayout.from_plan(plan, COLUMNS) for plan in plans]
    vectors = {statistics(job, STANDARD, layout)[0].tobytes() for layout in layouts}
    assert len(vectors) == 1


def test_a_secure_sum_changes_no_figure(job_of):
    layout = StatisticsLayout.from_plan(PLAN, COLUMNS)
    keys = {
        site: X25519PrivateKey.from_private_bytes(site.encode() * 32) for site in "abc"
    }
    participants = tuple(
        Participant(site, "00", public_hex(key), "00") for site, key in keys.items()
    )
    context = MaskContext(Place("c" * 64, 0, "r", 0, 0), "table", participants)
    ring = totals(3)
    plain = np.zeros(layout.size)
    masked = {}
    for seed, (site, key) in enumerate(keys.items()):
        vector, _ = statistics(job_of(cohort(seed, 150)), STANDARD, layout)
        plain += vector
        masked[site] = mask(ring.encode(vector), site, key, context)
    total = ring.decode(unmask_sum(masked, tuple(keys)))
    assert np.abs(total - plain).max() <= 3 * ring.step / 2 + 1e-12
    pairs = zip(
        summarise(layout, total, sites=3, profile=STANDARD),
        summarise(layout, plain, sites=3, profile=STANDARD),
        strict=True,
    )
    for pooled, expected in pairs:
        assert (pooled.n, pooled.sites) == (expected.n, expected.sites)
        if pooled.column.name == "age" and pooled.n:
            assert pooled.mean == pytest.approx(expected.mean, abs=1e-8)
            assert pooled.std == pytest.approx(expected.std, abs=1e-6)
            assert pooled.counts == expected.counts


def test_a_grid_that_is_not_the_owners_is_refused(job_of):
    job = job_of(cohort(0, 30))
    for change in ({"step": 1.0}, {"lower": 0.5}, {"resolution": 0.001}):
        shifted = msgspec.structs.replace(COLUMNS[0], **change)
        layout = StatisticsLayout((shifted,))
        with pytest.raises(InputError, match="'age' is not declared like this"):
            statistics(job, STANDARD, layout)
    renamed = msgspec.structs.replace(COLUMNS[0], description="Age", unit="a")
    vector, _ = statistics(job, STANDARD, StatisticsLayout((renamed,)))
    assert vector[0] == 30


def test_describe_counts_patients_and_rounds(job_of):
    frame = cohort(3, 46)
    scans = [(f"p{i}", "T1c", scan) for i in range(17) for scan in range(2)]
    volumes = tuple(
        VolumeFile(patient, modality, f"{patient}-{scan}", 1, "0", (1, 1, 1), (1, 1, 1))
        for patient, modality, scan in (*scans, ("p1", "FLAIR", 0))
    )
    job = job_of(frame, volumes)
    layout = DescribeLayout(("age", "sex", "idh"), ("FLAIR", "T1c"))
    vector, decisions = describe(job, STANDARD, layout)
    cell = layout.decode(vector)
    # 41 have an age and 43 a sex: how few of 46 have none would show by subtraction
    assert (frame["age"].notna().sum(), (frame["sex"] != "").sum()) == (41, 43)
    assert cell.counts.tolist() == [50, 50, 50, 50, 0, 20]
    assert cell.suppressed.tolist() == [0, 0, 0, 0, 1, 0]
    denied = [d.rule for d in decisions if not d.allow]
    assert denied == 3 * ["disclosure.12-differencing"] + ["disclosure.2-threshold"]
    exact = layout.decode(describe(job, OPEN, layout)[0])
    assert exact.counts.tolist() == [46, 41, 43, 46, 1, 17]
    assert not exact.suppressed.any()
    # a modality that a site lacks is one that nobody has
    lacking = DescribeLayout((), ("PET",))
    assert describe(job, OPEN, lacking)[0].tolist() == [46, 0, 0, 0]
    with pytest.raises(UnknownNameError, match="Unknown column 'size'"):
        describe(job, OPEN, DescribeLayout(("size",), ()))


def test_tables_are_read_once_and_again_when_they_change(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient_id,age,code,note\n1,50,01,a\n2,NA,02,\n")
    code = Column("code", "category", levels=("01", "02"))
    table = load_table(path, (code,))
    assert table["patient_id"].tolist() == ["1", "2"]
    assert table["age"][0] == 50
    assert np.isnan(table["age"][1])
    assert table["code"].tolist() == ["01", "02"]
    assert table["note"].tolist() == ["a", ""]
    assert load_table(path, (code,))["age"] is table["age"]
    assert not table["age"].flags.writeable
    assert load_table(path)["code"].tolist() == [1.0, 2.0]
    path.write_text("patient_id,age,code,note\n1,51,01,a\n2,NA,02,\n3,60,01,\n")
    assert load_table(path, (code,))["age"].size == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows or no column 'patient_id'"),
        ("patient_id,age\n", "has no rows or no column 'patient_id'"),
        ("age\n5\n", "has no rows or no column 'patient_id'"),
        ("patient_id,age\na,1\na,2\n", "patient 'a' has 2 rows"),
        ("patient_id,age\n,1\n", "a row has no patient_id"),
        ("patient_id,age\na,1,2\n", "row 1 has 3 values; its header has 2"),
        ("patient_id,age,age\na,1,2\n", "names a column twice"),
        ("patient_id,age\na,old\n", "column 'age' is declared a number, but"),
        ('patient_id,age\na,"1\n', "cannot be read as CSV"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, words):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=words):
        load_table(path, COLUMNS)


def test_a_missing_table_and_other_patients_are_refused(job_of, tmp_path):
    with pytest.raises(DatasetError, match=r"t\.csv cannot be read: No such file"):
        load_table(tmp_path / "t.csv")
    job = job_of(cohort(0, 30))
    fewer = msgspec.structs.replace(job.manifest, patients=("p0",))
    with pytest.raises(DatasetError, match="the table has 30 patients, the manifest 1"):
        describe(
            msgspec.structs.replace(job, manifest=fewer),
            STANDARD,
            DescribeLayout((), ()),
        )


def test_a_column_that_is_no_number_late_in_a_long_table_is_text(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"p{i},{i}.25,{'NA' if i % 7 else i},{i}" for i in range(9000)]
    rows[8500] = "p8500,1e3,inf,late"
    path.write_text("patient_id,age,gap,code\n\n" + "\r\n".join(rows))
    table = load_table(path, COLUMNS[:1])
    assert list(table) == ["patient_id", "age", "gap", "code"]
    assert table["code"].tolist() == [r.split(",")[3] for r in rows]
    assert table["age"][8499:8502].tolist() == [8499.25, 1000, 8501.25]
    assert np.isnan(table["gap"][1])
    assert table["gap"][[0, 7, 8500]].tolist() == [0, 7, np.inf]
    long = ["p8200,1,2,3,4", *(["p1,2,3"] * 2)]
    path.write_text("\n".join(["patient_id,age,gap,code", *rows, *long]))
    with pytest.raises(DatasetError) as refused:
        load_table(path, COLUMNS[:1])
    assert refused.value.problems == tuple(
        f"the table's row {9000 + i} has {n} values; its header has 4"
        for i, n in enumerate((5, 3, 3), start=1)
    )


def test_tables_that_take_too_much_together_are_let_go(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.csv" for i in range(3)]
    for path in paths:
        path.write_text("patient_id,age\na,1\nb,2\n")
    first = [load_table(path)["age"] for path in paths]
    size = first[0].nbytes + load_table(paths[0])["patient_id"].nbytes
    monkeypatch.setattr("fednb.site.tasks.table.KEPT_BYTES", 2 * size)
    again = [load_table(path)["age"] for path in reversed(paths)]
    assert again[0] is first[2]
    assert load_table(paths[0])["age"] is again[2]
    assert load_table(paths[2])["age"] is not first[2]
