from __future__ import annotations

import csv
import hashlib
import io
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from fednb.errors import DatasetError, HomeError, InputError, UnknownNameError
from fednb.privacy.signatures import signature_holds
from fednb.records.base import canonical
from fednb.records.datasets import Column
from fednb.site.catalog import Catalog, Source
from fednb.site.home import Home, put
from fednb.site.keys import SiteKeys

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from fednb.records.datasets import DatasetCard

AGE = Column("age", "number", unit="years", lower=18.0, upper=90.0, step=6.0)
IDH = Column("idh", "binary")
MODALITIES = ("T1c", "FLAIR")


@pytest.fixture
def home(tmp_path: Path):
    home = Home(tmp_path / "home", create=True)
    with home.transaction() as database:
        put(database, "name", "ucsf")
    yield home
    home.close()


@pytest.fixture
def keys(home: Home):
    return SiteKeys(home.folder("keys"))


@pytest.fixture
def catalog(home: Home, keys: SiteKeys):
    return Catalog(home, keys)


@pytest.fixture
def source(tmp_path: Path):
    """A table of 43 patients, seven of whom have no age."""
    rows = [
        (f"secret-{i:02d}", "" if i < 7 else str(20 + i), str(i % 2)) for i in range(43)
    ]
    return Source("glioma", write_table(tmp_path / "t.csv", rows), columns=(AGE, IDH))


@pytest.fixture
def imaged(tmp_path: Path):
    """Three patients with volumes; the last one lacks FLAIR."""
    rows = [(f"secret-{i}", str(50 + i), str(i % 2)) for i in range(3)]
    folder = tmp_path / "images"
    rng = np.random.default_rng(0)
    for patient, *_ in rows:
        for modality in MODALITIES:
            if (patient, modality) != ("secret-2", "FLAIR"):
                write_volume(folder / patient / f"{modality}.nii.gz", rng)
    table = write_table(tmp_path / "t.csv", rows)
    return Source("glioma", table, images=folder, columns=(AGE, IDH))


def write_table(path: Path, rows: list[tuple[str, ...]]):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("patient_id", "age", "idh"), *rows])
    return path


def write_volume(path: Path, rng: np.random.Generator):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = rng.normal(size=(6, 7, 8)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.diag([1, 1, 2, 1])), path)


def create(catalog: Catalog, source: Source, profile: str = "standard"):
    return catalog.create(source, profile=profile, gpus=("H200",), enter=no_ledger)


def no_ledger(_database: object, _card: object):
    """For a catalog on its own."""


def every_byte_under(folder: Path):
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_a_card_says_what_the_owner_publishes(
    catalog: Catalog, keys: SiteKeys, source: Source
):
    source = replace(source, summary="gliomas", terms="ask", synthetic=True)
    card, warnings = create(catalog, source)
    assert warnings == ()
    assert (card.site, card.dataset, card.profile) == ("ucsf", "glioma", "standard")
    assert (card.summary, card.terms, card.synthetic) == ("gliomas", "ask", True)
    assert (card.columns, card.modalities, card.gpus) == ((AGE, IDH), (), ("H200",))
    assert card.signing_key == keys.signing_public
    assert card.agreement_key == keys.agreement_public
    dataset = catalog.get("glioma")
    assert dataset.card == card
    assert signature_holds(card.signing_key, dataset.card_signature, canonical(card))


@pytest.mark.parametrize(
    ("profile", "subjects", "aged"),
    [("standard", 40, 40), ("rare-disease", 45, 33), ("open", 43, 36)],
)
def test_counts_leave_rounded_by_the_profile(
    catalog: Catalog, source: Source, profile: str, subjects: int, aged: int
):
    card, _ = create(catalog, source, profile)
    assert card.subjects == subjects
    assert card.counts == {"age": aged, "idh": subjects}


@pytest.mark.parametrize("missing", ["", "NA", "NaN", "nan", "N/A", "null"])
def test_what_is_missing_is_not_counted(catalog: Catalog, source: Source, missing: str):
    write_table(source.table, [("a", "50", "1"), ("b", missing, "0"), ("c", "52", "")])
    card, _ = create(catalog, source, "open")
    assert card.counts == {"age": 2, "idh": 2}


def test_a_short_row_lacks_its_last_values(catalog: Catalog, source: Source):
    source.table.write_text("patient_id,age,idh\na,50,1\nb,51\nc\n")
    card, _ = create(catalog, source, "open")
    assert (card.subjects, card.counts) == (3, {"age": 2, "idh": 1})


def test_a_byte_order_mark_is_not_a_name(
    catalog: Catalog, source: Source, tmp_path: Path
):
    """Some editors write one; a patient of the mock must be recognised all the same."""
    given = tmp_path / "mock"
    given.mkdir()
    text = "patient_id,age,idh\nsecret-03,50,1\n"
    (given / "table.csv").write_text(text, encoding="utf-8-sig")
    with pytest.raises(DatasetError, match="1 patients of the mock are in the private"):
        create(catalog, replace(source, mock=given))
    source.table.write_text(text, encoding="utf-8-sig")
    assert create(catalog, source, "open")[0].counts == {"age": 1, "idh": 1}


def test_a_manifest_names_patients_and_contents(catalog: Catalog, source: Source):
    card, _ = create(catalog, source)
    dataset = catalog.get("glioma")
    assert dataset.manifest.patients == tuple(f"secret-{i:02d}" for i in range(43))
    content = source.table.read_bytes()
    assert dataset.manifest.table_sha256 == hashlib.sha256(content).hexdigest()
    expected = hashlib.sha256(canonical(dataset.manifest)).hexdigest()
    assert card.fingerprint == dataset.fingerprint == expected


def test_a_mock_is_drawn_from_declarations(catalog: Catalog, source: Source):
    create(catalog, source)
    items = dict(catalog.mock_items("glioma"))
    assert list(items) == ["table.csv"]
    rows = list(csv.DictReader(io.StringIO(items["table.csv"].decode())))
    assert list(rows[0]) == ["patient_id", "age", "idh"]
    assert all(18 <= float(row["age"]) <= 90 for row in rows)
    assert {row["idh"] for row in rows} == {"0", "1"}
    assert b"secret" not in items["table.csv"]


def test_the_same_declarations_give_the_same_mock_whatever_the_values(
    home: Home, keys: SiteKeys, source: Source, tmp_path: Path
):
    """Law 1: were a value used, two tables would give two mocks."""
    catalog = Catalog(home, keys)
    create(catalog, source)
    rows = [(f"other-{i}", "90", "1") for i in range(25)]
    other = write_table(tmp_path / "other.csv", rows)
    create(catalog, replace(source, name="other", table=other))
    assert catalog.mock_items("glioma") == catalog.mock_items("other")


def test_volumes_are_listed_and_never_copied(
    home: Home, catalog: Catalog, imaged: Source
):
    card, warnings = create(catalog, imaged)
    dataset = catalog.get("glioma")
    assert card.modalities == MODALITIES
    assert [(v.patient, v.modality) for v in dataset.manifest.volumes] == [
        ("secret-0", "FLAIR"),
        ("secret-0", "T1c"),
        ("secret-1", "FLAIR"),
        ("secret-1", "T1c"),
        ("secret-2", "T1c"),
    ]
    assert {(v.shape, v.spacing) for v in dataset.manifest.volumes} == {
        ((6, 7, 8), (1.0, 1.0, 2.0))
    }
    assert any("FLAIR" in w and "secret-2" in w for w in warnings)
    kept = every_byte_under(home.path)
    for volume in dataset.manifest.volumes:
        content = (imaged.images / volume.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == volume.sha256
        assert content not in kept


def test_a_mock_with_images_has_the_modalities(catalog: Catalog, imaged: Source):
    create(catalog, imaged)
    names = [name for name, _ in catalog.mock_items("glioma")]
    assert "table.csv" in names
    volumes = {n.split("/")[-1] for n in names if n.startswith("images/")}
    assert volumes == {f"{m}.nii.gz" for m in MODALITIES}
    assert not [n for n in names if "secret" in n]


def test_contents_are_checked_against_their_hashes(catalog: Catalog, imaged: Source):
    create(catalog, imaged)
    assert catalog.contents_hold("glioma")
    volume = imaged.images / "secret-1" / "T1c.nii.gz"
    content = volume.read_bytes()
    volume.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not catalog.contents_hold("glioma")
    volume.unlink()
    assert not catalog.contents_hold("glioma")
    volume.write_bytes(content)
    assert catalog.contents_hold("glioma")
    with imaged.table.open("a") as stream:
        stream.write("late,60,1\n")
    assert not catalog.contents_hold("glioma")


def test_a_truncated_volume_is_named_and_nothing_is_registered(
    home: Home, catalog: Catalog, imaged: Source
):
    volume = imaged.images / "secret-1" / "T1c.nii.gz"
    volume.write_bytes(volume.read_bytes()[:200])
    with pytest.raises(DatasetError) as caught:
        create(catalog, imaged)
    assert len(caught.value.problems) == 1
    assert "secret-1/T1c.nii.gz" in caught.value.problems[0]
    assert catalog.names() == ()
    assert not (home.path / "mock" / "glioma").exists()


def test_every_problem_is_listed_at_once(catalog: Catalog, source: Source):
    rows = [("a", "50", "0"), ("a", "200", "3"), ("b", "x", "")]
    write_table(source.table, rows)
    with pytest.raises(DatasetError) as caught:
        create(catalog, replace(source, labels=("idh",)))
    text = str(caught.value)
    for word in ("duplicate patients", "200", "x is no number", "label missing for b"):
        assert word in text
    assert len(caught.value.problems) >= 4


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", "x.csv", "<b>", "é"])
def test_names_that_are_not_allowed(catalog: Catalog, source: Source, name: str):
    with pytest.raises(InputError) as caught:
        create(catalog, replace(source, name=name))
    expected = (
        f"The name of a dataset has 1 to 64 letters, digits, - and _; got {name!r}."
    )
    assert str(caught.value) == expected
    assert catalog.names() == ()


def test_a_name_is_taken_once(catalog: Catalog, source: Source):
    card, _ = create(catalog, source)
    with pytest.raises(InputError, match="There is a dataset 'glioma' already"):
        create(catalog, source)
    assert catalog.get("glioma").card == card


def test_cards_that_were_signed_anew_are_seen_by_whoever_read_them_before(
    catalog: Catalog, home: Home, source: Source
):
    create(catalog, source)
    before = catalog.get("glioma").card
    fresh = SiteKeys(home.folder("fresh"))
    with home.transaction() as database:
        Catalog(home, fresh).sign_anew(database)
    after = catalog.get("glioma").card
    assert before.signing_key != fresh.signing_public
    assert after.signing_key == fresh.signing_public


def test_an_unknown_dataset(catalog: Catalog, source: Source):
    create(catalog, source)
    assert catalog.find("gliom") is None
    with pytest.raises(UnknownNameError, match=r"Did you mean 'glioma'\?"):
        catalog.get("gliom")


def test_a_mock_of_the_owner(catalog: Catalog, source: Source, tmp_path: Path):
    given = tmp_path / "mock"
    given.mkdir()
    write_table(given / "table.csv", [("made-up", "50", "1")])
    create(catalog, replace(source, mock=given))
    assert catalog.mock_items("glioma") == (
        ("table.csv", (given / "table.csv").read_bytes()),
    )


def test_a_mock_with_a_real_patient_is_refused(
    catalog: Catalog, source: Source, tmp_path: Path
):
    given = tmp_path / "mock"
    given.mkdir()
    write_table(given / "table.csv", [("secret-03", "50", "1"), ("made-up", "5", "1")])
    with pytest.raises(DatasetError) as caught:
        create(catalog, replace(source, mock=given))
    assert caught.value.problems == (
        "1 patients of the mock are in the private half too.",
    )
    (given / "table.csv").unlink()
    with pytest.raises(DatasetError, match=r"has no table\.csv"):
        create(catalog, replace(source, mock=given))
    assert catalog.names() == ()


def test_the_syft_folder_is_derived_and_can_be_rebuilt(
    home: Home, catalog: Catalog, imaged: Source
):
    from syft_datasets.config import SyftBoxConfig
    from syft_datasets.dataset_manager import SyftDatasetManager

    create(catalog, imaged)
    shutil.rmtree(home.path / "syft")
    root = catalog.rebuild_syft()
    assert root == home.path / "syft"
    config = SyftBoxConfig(syftbox_folder=root, email="ucsf@fednb.local")
    found = SyftDatasetManager.from_config(config).get_all()
    assert [dataset.name for dataset in found] == ["glioma"]
    kept = every_byte_under(root)
    assert (home.path / "mock" / "glioma" / "table.csv").read_bytes() in kept
    assert canonical(catalog.get("glioma").manifest) in kept


def test_two_catalogs_at_one_home_see_the_same(
    home: Home, keys: SiteKeys, catalog: Catalog, source: Source
):
    beside = Home(home.path)
    server = Catalog(beside, keys)
    assert server.names() == ()
    card, _ = create(catalog, source)
    assert server.names() == ("glioma",)
    assert server.get("glioma").card == card
    beside.close()


def test_a_full_disk_registers_nothing(home: Home, catalog: Catalog, source: Source):
    (pages,) = home.database.execute("PRAGMA page_count").fetchone()
    home.database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HomeError, match="database or disk is full"):
        create(catalog, replace(source, summary="x" * 100_000))
    assert catalog.names() == ()
    assert not (home.path / "mock" / "glioma").exists()
    home.database.execute("PRAGMA max_page_count = 1000000")
    create(catalog, source)
    assert catalog.names() == ("glioma",)


def test_a_dataset_is_stored_with_its_entry_or_not_at_all(
    home: Home, catalog: Catalog, source: Source
):
    entered: list[object] = []

    def enter(database: sqlite3.Connection, card: DatasetCard):
        entered.append(database.execute("SELECT name FROM datasets").fetchall())
        entered.append(card)
        if len(entered) == 2:
            message = "The ledger cannot be written."
            raise HomeError(message)

    def register():
        return catalog.create(source, profile="standard", gpus=(), enter=enter)

    with pytest.raises(HomeError, match="The ledger cannot be written"):
        register()
    assert catalog.names() == ()
    assert not (home.path / "mock" / "glioma").exists()
    card, _ = register()
    assert entered[::2] == [[("glioma",)]] * 2
    assert entered[3] == card == catalog.get("glioma").card


def test_a_mock_that_fails_half_way_leaves_nothing(
    home: Home,
    catalog: Catalog,
    imaged: Source,
    monkeypatch: pytest.MonkeyPatch,
):
    def full(*_args: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fednb.site.catalog.mock_images", full)
    with pytest.raises(HomeError, match="No space left on device"):
        create(catalog, imaged)
    assert not (home.path / "mock" / "glioma").exists()
    assert catalog.names() == ()


def test_a_syft_folder_that_cannot_be_written_is_a_warning(
    home: Home, catalog: Catalog, source: Source
):
    (home.path / "work").mkdir()
    (home.path / "work" / "manifests").write_text("in the way")
    card, warnings = create(catalog, source)
    assert len(warnings) == 1
    assert "is registered, but its syft folder could not be written" in warnings[0]
    assert catalog.get("glioma").card == card
    (home.path / "work" / "manifests").unlink()
    assert catalog.rebuild_syft().is_dir()
