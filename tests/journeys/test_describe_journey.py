"""Datasets described in counts of patients: exact, rounded, and never told apart."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from clinics import COLUMNS, clinic, federate
from matplotlib.axes import Axes

from fednb.embedded.federation import Federation
from fednb.errors import PlanError, RefusedError, RunError, UnknownNameError
from fednb.owner import SiteOwner
from fednb.owner.introductions import introduce
from fednb.records.arrays import unpack
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan
from fednb.records.messages import Release
from fednb.records.studies import StudyPlan
from fednb.records.tasks import DescribePlan, StatisticsPlan
from fednb.wire.codec import decode_reply

NAMES = tuple(column.name for column in COLUMNS)
SITES = ("a", "b", "c")
SCANNED = {
    "a": {"T1c": 24, "FLAIR": 14},
    "b": {"T1c": 18, "T2": 30},
    "c": {"T1c": 20, "FLAIR": 5, "PET": 4},
}
"""How many of a site's patients have a volume, the first ones."""
MISSING = {"a": 0, "b": 13, "c": 16}
"""How many of a site's patients have no age; of 24, 30 and 20."""
ROWS = {"a": 24, "b": 30, "c": 20}
COX = CoxPlan(covariates=("age",), duration="os_months", event="death")


def table_of(site: str) -> pd.DataFrame:
    rows = clinic(site, ROWS[site])
    rows.loc[rows.index[: MISSING[site]], "age"] = np.nan
    rows.loc[rows.index[-12:], "sex"] = ""
    return rows


def scanned(folder, table: pd.DataFrame, counts: dict[str, int]):
    """Write volumes of so many patients of each modality."""
    values = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    for modality, count in counts.items():
        for patient in table["patient_id"][:count]:
            path = folder / patient / f"{modality}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return folder


@pytest.fixture(scope="module", params=["open", "standard"])
def imaged(request, tmp_path_factory):
    """Three hospitals whose modalities differ, and the profile that they keep."""
    root = tmp_path_factory.mktemp("described")
    owners = []
    for site in SITES:
        owner = SiteOwner.init(root / site, site, profile=request.param)
        owner.policy.set(auto_approve=("statistics",))
        table = table_of(site)
        images = scanned(root / f"{site}-images", table, SCANNED[site])
        owner.create_dataset("clinic", table=table, images=images, columns=COLUMNS)
        owners.append(owner)
    introduce(owners)
    for owner in owners:
        owner.close()
    with Federation({s: root / s for s in SITES}, root / "coordinator") as fed:
        yield fed, request.param


def rounded(count: int) -> int:
    return (count + 5) // 10 * 10 if count >= 10 else 0


def known(profile: str) -> dict[tuple[str, str], list[int]]:
    """Return what each site may say of itself, from the tables as they were written.

    In the standard profile fewer than ten who lack something look like nobody.
    """
    found: dict[tuple[str, str], list[int]] = {}
    for site in SITES:
        rows = table_of(site)
        exact = {("patients", ""): len(rows)}
        for name in NAMES:
            exact["column", name] = int((rows[name].notna() & (rows[name] != "")).sum())
        for modality in ("T1c", "FLAIR", "PET", "T2"):
            exact["modality", modality] = SCANNED[site].get(modality, 0)
        for key, count in exact.items():
            few = len(rows) - count < 10
            shown = rounded(len(rows) if few else count)
            found.setdefault(key, []).append(count if profile == "open" else shown)
    return found


def test_every_count_is_the_sum_of_what_sites_may_say(imaged):
    fed, profile = imaged
    expected = known(profile)
    result = fed.describe("clinic")
    assert result.sites == SITES
    assert result.columns == NAMES
    assert sorted(result.modalities) == ["FLAIR", "PET", "T1c", "T2"]
    assert {(c.kind, c.name): c.n for c in result.counts} == {
        key: sum(parts) for key, parts in expected.items()
    }
    for count in result.counts:
        parts = expected[count.kind, count.name]
        shown = [part for part in parts if part or profile == "open"]
        assert count.sites == len(shown)
        if not count.n and profile != "open":
            assert np.isnan(count.share)
            continue
        assert count.share == count.n / result.subjects
        assert count.missing == 1 - count.share
    if profile == "open":
        rows = pd.concat(table_of(site) for site in SITES)
        assert result.subjects == len(rows)
        assert result.column("age").missing == pytest.approx(rows["age"].isna().mean())


def test_what_is_below_the_threshold_looks_like_none(imaged):
    fed, profile = imaged
    result = fed.describe("clinic")
    flair, pet = result.modality("FLAIR"), result.modality("PET")
    if profile == "open":
        assert (flair.n, flair.sites, pet.n, pet.sites) == (19, 3, 4, 3)
        assert "Open profile: exact values" in repr(result)
        assert "rounded to" not in repr(result)
        return
    # a's 14 alone; b has none and c five, and neither can be told
    assert (flair.n, flair.sites, pet.n, pet.sites) == (10, 1, 0, 0)
    frame = result.to_frame()
    assert pd.isna(frame.loc[("modality", "PET"), "n"])
    for words in (repr(result), result._repr_html_()):
        assert "3 sites (a, b, c), profile standard" in words
        assert "counts are rounded to the nearest 10. Fewer than 10 patients" in words
    assert "<10" in repr(result)


def test_a_description_is_a_frame_and_a_picture(imaged):
    fed, _ = imaged
    result = fed.describe("clinic", columns=["age", "sex"], modalities=["T1c"])
    frame = result.to_frame()
    assert frame.index.names == ["kind", "name"]
    assert list(frame.columns) == ["n", "share", "missing", "sites"]
    assert frame.index.tolist()[1:] == [(c.kind, c.name) for c in result.counts[1:]]
    axes = result.plot()
    assert isinstance(axes, Axes)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["age", "sex", "T1c"]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == [c.share for c in result.counts[1:]]


def test_questions_and_requests_are_answered_alike(imaged):
    """By a query, a run of its own, or a step of a study: the same counts."""
    fed, _ = imaged
    whole = fed.describe("clinic")
    request = fed.request(DescribePlan(), dataset="clinic", purpose="who has what")
    assert request.contract.steps == (DescribePlan(NAMES, whole.modalities),)
    assert request.start().result().counts == whole.counts
    study = StudyPlan((StatisticsPlan(("age",)), DescribePlan(("idh",), ("PET",))))
    asked = fed.request(study, dataset="clinic", purpose="both at once")
    ages, described = asked.start().results()
    assert ages.of("age")[0].n == fed.statistics("clinic", ["age"]).of("age")[0].n
    assert described.counts[0] == whole.counts[0]
    assert described.column("idh") == whole.column("idh")
    assert described.modality("PET") == whole.modality("PET")


def test_one_standing_contract_answers_both_kinds(imaged):
    fed, _ = imaged
    fed.statistics("clinic", ["age"])
    before = [r.hash for r in fed.requests]
    assert fed.describe().subjects
    assert [r.hash for r in fed.requests] == before
    standing = next(r.contract for r in fed.requests if r.contract.standing)
    assert [type(step) for step in standing.steps] == [StatisticsPlan, DescribePlan]
    sizes = {o.step: o.elements for o in standing.outputs}
    assert sizes[1] == 2 * (1 + len(NAMES) + 4)
    page = repr(next(r for r in fed.requests if r.contract.standing))
    assert "Count all patients; those with a value in age, idh" in page
    *first, last = fed.describe().modalities
    assert f"those with a volume of {', '.join(first)} and {last}." in page


def test_no_exact_count_and_no_sites_part_crosses(tmp_path):
    """Alone a site sends rounded counts; with others, nothing that can be read."""
    rows = {"a": 64, "b": 57, "c": 73}
    frames = {site: clinic(site, n) for site, n in rows.items()}
    for frame in frames.values():
        frame.loc[frame.index[:21], "age"] = np.nan
    frames["c"].loc[frames["c"].index[:70], "idh"] = np.nan
    outputs = []
    options = {"dataset": "clinic", "columns": COLUMNS, "folder": tmp_path}
    with Federation.from_frames(frames, approve="auto", **options) as fed:

        def watch(_site: str, direction: str, frame: bytes) -> None:
            reply = decode_reply(frame) if direction == "from-site" else None
            outputs.extend(reply.outputs if isinstance(reply, Release) else ())

        fed.transport.observe(watch)
        for site in SITES:
            fed.describe("clinic", sites=[site])
        fed.describe("clinic", sites=["a", "b"])
        alone = [unpack(output.data) for output in outputs]
        assert {output.kind for output in outputs} == {"table"}
        outputs.clear()
        pooled = fed.describe("clinic")
    width = 1 + len(NAMES)
    for vector in alone:
        assert (vector[:width] % 10 == 0).all()
        assert set(vector[width:]) <= {0.0, 1.0}
    assert alone[0][:width].tolist() == alone[3][:width].tolist()
    # three patients of c have a mutation on record: none, for all that is told
    assert alone[2][NAMES.index("idh") + 1] == 0
    assert {output.kind for output in outputs} == {"masked"}
    whole = sum(vector[:width] for vector in alone[:3])
    assert [c.n for c in pooled.counts] == whole.tolist()
    for output, vector in zip(outputs, alone, strict=False):
        signed = unpack(output.data).astype("<u8").view("<i8") * 2.0**-30
        assert not np.isclose(signed, vector, atol=1.0).any()


def test_near_cohorts_get_the_earlier_answer(tmp_path):
    """A patient more, a patient less: who knows the others learns nothing."""
    with federate(tmp_path, approve="auto") as fed:
        # 64 patients round to 60, 65 to 70
        fed.owner("a").create_dataset("whole", table=clinic("a", 65), columns=COLUMNS)
        first = fed.describe("whole")
        assert first.subjects == 70
        assert fed.describe("whole").counts == first.counts
        fed.owner("a").create_dataset(
            "less", table=clinic("a", 65)[1:], columns=COLUMNS
        )
        assert fed.describe("less").counts == first.counts
        # and statistics of the same patients say the same number
        assert fed.statistics("less", ["age"]).of("age")[0].n == 70


def test_one_and_two_sites_are_described_in_tables(tmp_path):
    with federate(tmp_path, approve="auto") as fed:
        one, two = (fed.describe(sites=sites) for sites in ("a", ["a", "b"]))
        assert (one.sites, two.sites) == (("a",), ("a", "b"))
        assert (one.subjects, two.subjects) == (60, 120)
        for result in (one, two):
            assert {line.kind for line in result.releases} == {"table"}


# what a contract does not name


def test_names_that_nobody_has_are_told_before_anybody_is_asked(imaged):
    fed, _ = imaged
    with pytest.raises(UnknownNameError) as error:
        fed.describe("clinic", columns=["aage"])
    assert str(error.value) == (
        "Unknown column 'aage'. Did you mean 'age'? "
        "Known: age, death, idh, os_months, sex."
    )
    with pytest.raises(UnknownNameError) as error:
        fed.describe("clinic", modalities=["T1"])
    assert str(error.value) == (
        "Unknown modality 'T1'. Did you mean 'T1c'? Known: FLAIR, PET, T1c, T2."
    )
    asked = {"dataset": "clinic", "purpose": "who has what"}
    for plan in (DescribePlan(("size",)), DescribePlan((), ("MR",))):
        with pytest.raises(UnknownNameError):
            fed.request(plan, **asked)
    with pytest.raises(PlanError, match="counts each name once"):
        fed.describe("clinic", columns=["age", "age"])
    with pytest.raises(UnknownNameError, match="Unknown dataset 'klinik'"):
        fed.describe("klinik")
    entries = [e for site in SITES for e in fed.owner(site).ledger.entries]
    assert not [e for e in entries if e.kind == "refusal"]


def test_columns_that_not_all_sites_have_are_not_described(tmp_path):
    finer = Column(name="os_months", kind="number", lower=0, upper=200, step=5)
    declared = {
        "a": COLUMNS,
        "b": tuple(c for c in COLUMNS if c.name != "idh"),
        "c": (*COLUMNS[:3], finer, COLUMNS[4]),
    }
    with federate(tmp_path, approve="auto") as fed:
        for site, columns in declared.items():
            names = ["patient_id", *(column.name for column in columns)]
            table = clinic(site)[names]
            fed.owner(site).create_dataset("trial", table=table, columns=columns)
        assert fed.describe("trial").columns == ("age", "sex", "death")
        assert fed.statistics("trial", ["age"]).of("age")[0].n == 180
        assert "idh" in fed.describe("trial", sites=["a", "c"]).columns
        for ask in (fed.describe, fed.statistics):
            with pytest.raises(PlanError) as error:
                ask("trial", columns=["idh"])
            assert str(error.value) == (
                "b has no column 'idh'; a, c do. Leave the column out, or name the "
                "participants with sites=[...]."
            )
            with pytest.raises(PlanError, match="'os_months' is declared differently"):
                ask("trial", columns=["os_months"])


def test_owners_are_asked_once_and_may_end_it(tmp_path):
    with federate(tmp_path) as fed:
        with pytest.raises(RunError, match=r"waits for the approval of a, b, c: req"):
            fed.describe("clinic")
        (request,) = fed.requests
        for site in SITES:
            fed.owner(site).requests[request.hash].approve()
        assert fed.describe("clinic").subjects == 180
        fed.owner("b").requests[request.hash].revoke("enough")
        with pytest.raises(RefusedError, match=r"b refused \(revoked\)"):
            fed.describe("clinic")
        with pytest.raises(RunError, match="waits for the approval of a, b, c"):
            fed.describe("clinic")


def test_a_refused_question_asks_no_owner_for_another_contract(tmp_path):
    """Four sites, then three of them: refused however often, by rule 11."""
    with federate(tmp_path, *"abcd", approve="auto") as fed:
        assert fed.statistics("clinic", ["age"]).sites == tuple("abcd")
        for _ in range(3):
            with pytest.raises(RefusedError, match=r"refused \(participants\)"):
                fed.describe("clinic", sites=["a", "b", "c"])
        assert len(fed.requests) == 2
        assert fed.describe("clinic").subjects == 240


def test_calls_that_are_used_up_are_asked_for_anew(tmp_path):
    """A contract that every call of is used stands approved, and answers no more."""
    with federate(tmp_path, "a", approve="auto") as fed:
        fed.describe()
        (request,) = fed.requests
        database = fed._servers["a"]._gatekeeper._home.database
        (row,) = database.execute("SELECT * FROM calls").fetchall()
        with fed._servers["a"]._gatekeeper._home.transaction() as writing:
            for i in range(request.contract.resources.calls):
                new = (f"x{i}", row[1], row[2], row[3], f"r{i}", *row[5:])
                marks = ", ".join("?" * len(new))
                writing.execute(f"INSERT INTO calls VALUES ({marks})", new)  # noqa: S608
        with pytest.raises(RefusedError, match=r"a refused \(limit\)"):
            fed.describe()
        assert fed.describe().subjects == 60
        assert len(fed.requests) == 2
