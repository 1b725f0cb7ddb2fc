from __future__ import annotations

import csv
import hashlib
import io
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from catalogued import AGE, IDH, MODALITIES, create, every_byte_under, write_table

from fednb.errors import DatasetError, InputError, UnknownNameError
from fednb.privacy.signatures import signature_holds
from fednb.records.base import canonical
from fednb.site.catalog import Catalog
from fednb.site.home import Home
from fednb.site.keys import SiteKeys

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.site.catalog import Source


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
    catalog: Catalog, source: Source, tmp_path: Path
):
    """Law 1: were a value used, two tables would give two mocks."""
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
