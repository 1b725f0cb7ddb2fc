from __future__ import annotations

import csv
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from fednb.errors import (
    DatasetError,
    HomeError,
    InputError,
    IntegrityError,
    UnknownNameError,
)
from fednb.owner import site_owner
from fednb.owner.gpus import gpu_names
from fednb.owner.site_owner import SiteOwner
from fednb.records.datasets import Column

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Scientist

    from fednb.site.server import SiteServer

AGE = Column("age", "number", unit="years", lower=18, upper=90, step=6)


def cap_pages(owner: SiteOwner):
    database = owner._home.database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")


def free_pages(owner: SiteOwner):
    owner._home.database.execute("PRAGMA max_page_count = 1000000")


def test_a_new_home(tmp_path: Path):
    owner = SiteOwner.init(tmp_path / "ucsf", "ucsf", profile="rare-disease")
    assert owner.name == "ucsf"
    assert owner.policy.rules.profile == "rare-disease"
    assert len(owner.requests) == len(owner.datasets) == 0
    (entry,) = owner.ledger.entries
    assert (entry.kind, entry.body["site"]) == ("decision", "ucsf")
    assert entry.body["profile"] == "rare-disease"
    assert owner.ledger.verify().count == 1
    modes = {p.name: p.stat().st_mode & 0o777 for p in owner.path.iterdir()}
    assert (modes["keys"], modes["policy.toml"]) == (0o700, 0o600)
    again = SiteOwner(tmp_path / "ucsf")
    assert (again.name, again.fingerprint) == ("ucsf", owner.fingerprint)
    again.close()
    owner.close()


@pytest.mark.parametrize("name", ["", "a b", "../x", "é", "x" * 65, "<b>"])
def test_names_that_are_not_allowed_make_nothing(tmp_path: Path, name: str):
    with pytest.raises(InputError) as caught:
        SiteOwner.init(tmp_path / "home", name)
    assert str(caught.value) == (
        f"The name of a site has 1 to 64 letters, digits, - and _; got {name!r}."
    )
    assert not (tmp_path / "home").exists()


def test_an_unknown_profile_makes_nothing(tmp_path: Path):
    with pytest.raises(UnknownNameError, match="Did you mean 'standard'"):
        SiteOwner.init(tmp_path / "home", "ucsf", profile="standart")
    assert not (tmp_path / "home").exists()


def test_an_existing_home_is_not_made_anew(owner: SiteOwner):
    with pytest.raises(HomeError) as caught:
        SiteOwner.init(owner.path, "other")
    assert str(caught.value) == (
        f"There is a home already at {owner.path}, of site ucsf. Open it."
    )
    assert SiteOwner(owner.path).fingerprint == owner.fingerprint


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(HomeError, match=r"is not empty\. Choose a new folder"):
        SiteOwner.init(tmp_path, "ucsf")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_home_that_was_half_made_can_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_args: object, **_changes: object):
        message = "The disk is full."
        raise HomeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(site_owner, "change_policy", full)
        with pytest.raises(HomeError, match="The disk is full"):
            SiteOwner.init(tmp_path / "home", "ucsf")
    with pytest.raises(HomeError, match="was never initialised"):
        SiteOwner(tmp_path / "home")
    owner = SiteOwner.init(tmp_path / "home", "ucsf")
    assert owner.ledger.verify().count == 1
    owner.close()


def test_no_home_and_a_newer_one_are_refused(tmp_path: Path, owner: SiteOwner):
    with pytest.raises(HomeError, match="There is no home at"):
        SiteOwner(tmp_path / "absent")
    owner._home.database.execute("PRAGMA user_version = 99")
    with pytest.raises(HomeError, match="has schema 99, made by a newer fednb"):
        SiteOwner(owner.path)


def test_a_key_that_others_can_read_is_refused(owner: SiteOwner):
    (owner.path / "keys" / "signing.key").chmod(0o644)
    with pytest.raises(IntegrityError, match="can be read by others"):
        SiteOwner(owner.path)


def test_an_owner_shows_itself(owner: SiteOwner):
    for shown in (repr(owner), owner._repr_html_()):
        assert "Owner of ucsf" in shown
        assert owner.fingerprint in shown


def test_a_dataset_shows_both_sides(owner: SiteOwner, table: Path):
    dataset = owner.create_dataset(
        "glioma",
        table=table,
        columns=[AGE, Column("idh", "binary")],
        summary="<b>x</b>",
    )
    assert (dataset.name, dataset.patients, dataset.volumes) == ("glioma", 40, 0)
    assert (dataset.card.subjects, dataset.card.summary) == (40, "<b>x</b>")
    assert dataset.warnings == ()
    for shown in (repr(dataset), dataset._repr_html_()):
        assert "Dataset glioma of ucsf" in shown
        assert "40, rounded (profile standard)" in shown
        assert "18 to 90" in shown
        assert str(table) in shown
        assert dataset.card.fingerprint in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in dataset._repr_html_()
    assert repr(owner.datasets["glioma"]) == repr(dataset)


def test_inferred_columns_are_pointed_out(registered: SiteOwner, table: Path):
    dataset = registered.create_dataset("again", table=table)
    assert "You declared nothing" in " ".join(dataset.warnings)
    assert "! " in repr(dataset)


def test_labels_that_nobody_declared_and_few_have_are_not_published(owner: SiteOwner):
    """Law 1: a name in a column would stand on the card and in the mock."""
    frame = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(20)],
            "name": [f"Jane Doe {i}" for i in range(20)],
            "sex": ["f", "m"] * 10,
        }
    )
    with pytest.raises(DatasetError) as caught:
        owner.create_dataset("glioma", table=frame)
    assert caught.value.problems == (
        "column name: 20 of 20 labels have fewer than 10 patients and would be "
        "published; declare the column with its labels, or leave it out of the "
        "declaration",
    )
    assert len(owner.datasets) == 0
    sex = Column("sex", "category", levels=("f", "m"))
    dataset = owner.create_dataset("glioma", table=frame, columns=[sex])
    assert dataset.card.columns == (sex,)
    assert "Jane" not in (owner.path / "mock" / "glioma" / "table.csv").read_text()


def test_labels_that_enough_patients_have_may_be_inferred(owner: SiteOwner):
    ids = [f"p{i}" for i in range(20)]
    frame = pd.DataFrame({"patient_id": ids, "sex": ["f", "m"] * 10})
    (column,) = owner.create_dataset("glioma", table=frame).card.columns
    assert (column.kind, column.levels) == ("category", ("f", "m"))


def test_a_frame_is_kept_in_the_home(owner: SiteOwner):
    frame = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(20)],
            "age": [None, *range(31, 50)],
            "weight": [60.5 + i for i in range(20)],
            "idh": [i % 2 == 0 for i in range(20)],
        }
    )
    dataset = owner.create_dataset("glioma", table=frame)
    path = owner.path / "work" / "tables" / "glioma.csv"
    assert dataset.table == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["patient_id", "age", "weight", "idh"]
    assert rows[1] == ["p0", "", "60.5", "1"]
    assert rows[2] == ["p1", "31", "61.5", "0"]
    kinds = {c.name: c.kind for c in dataset.card.columns}
    assert kinds == {"age": "number", "weight": "number", "idh": "binary"}


def test_a_frame_indexed_by_patient(owner: SiteOwner):
    index = pd.Index([f"p{i}" for i in range(12)], name="patient_id")
    frame = pd.DataFrame({"age": range(30, 42)}, index=index)
    assert owner.create_dataset("glioma", table=frame).patients == 12


def test_something_that_is_no_table(owner: SiteOwner):
    with pytest.raises(InputError) as caught:
        owner.create_dataset("glioma", table=[1, 2])
    expected = "table must be a CSV file or a DataFrame; got list."
    assert str(caught.value) == expected
    with pytest.raises(DatasetError, match=r"absent\.csv: cannot be read"):
        owner.create_dataset("glioma", table="absent.csv")
    assert len(owner.datasets) == 0


def test_a_refused_dataset_leaves_nothing_behind(owner: SiteOwner):
    frame = pd.DataFrame({"patient_id": ["a", "a"], "age": [1, 2]})
    with pytest.raises(DatasetError, match="duplicate patients: a"):
        owner.create_dataset("glioma", table=frame)
    assert not (owner.path / "work" / "tables" / "glioma.csv").exists()
    assert len(owner.datasets) == 0
    assert len(owner.ledger.entries) == 1


def test_a_taken_name_leaves_the_dataset_as_it_is(registered: SiteOwner):
    before = registered.datasets["glioma"]
    frame = pd.DataFrame({"patient_id": ["a", "b"], "age": [1, 2]})
    with pytest.raises(InputError, match="There is a dataset 'glioma' already"):
        registered.create_dataset("glioma", table=frame)
    assert registered.datasets["glioma"] == before
    assert (registered.path / "mock" / "glioma" / "table.csv").is_file()


@pytest.mark.parametrize("name", ["", "a b", "../../x", "x.csv"])
def test_dataset_names_that_are_not_allowed(owner: SiteOwner, table: Path, name: str):
    with pytest.raises(InputError, match="The name of a dataset has 1 to 64 letters"):
        owner.create_dataset(name, table=table)


def test_unknown_datasets_are_named(registered: SiteOwner):
    assert "glioma" in registered.datasets
    assert list(registered.datasets) == ["glioma"]
    with pytest.raises(UnknownNameError, match="Did you mean 'glioma'"):
        registered.datasets["gliom"]


def test_the_datasets_show_themselves(registered: SiteOwner):
    for shown in (repr(registered.datasets), registered.datasets._repr_html_()):
        assert "1 dataset; the numbers are exact and stay at the site" in shown
        assert "glioma" in shown


def test_the_derived_folder_is_rebuilt(registered: SiteOwner):
    shown = registered.rebuild_catalog()
    assert list(shown) == ["glioma"]
    assert (registered.path / "syft").is_dir()


def test_a_full_disk_registers_nothing_and_the_ledger_holds(
    owner: SiteOwner, table: Path
):
    cap_pages(owner)
    with pytest.raises(HomeError, match="database or disk is full"):
        owner.create_dataset("glioma", table=table, summary="x" * 100_000)
    assert len(owner.datasets) == 0
    assert not (owner.path / "mock" / "glioma").exists()
    assert owner.ledger.verify().count == 1
    free_pages(owner)
    owner.create_dataset("glioma", table=table)
    assert owner.ledger.verify().count == 2


def test_a_dataset_without_its_ledger_entry_is_taken_back(
    owner: SiteOwner, table: Path, monkeypatch: pytest.MonkeyPatch
):
    cap_pages(owner)
    append = owner._ledger.append

    def long(database: object, kind: str, body: dict):
        return append(database, kind, {**body, "long": "x" * 100_000})

    monkeypatch.setattr(owner._ledger, "append", long)
    with pytest.raises(HomeError, match="database or disk is full"):
        owner.create_dataset("glioma", table=table)
    free_pages(owner)
    assert len(owner.datasets) == 0
    assert not (owner.path / "mock" / "glioma").exists()
    assert owner.ledger.verify().count == 1


def test_a_full_disk_decides_nothing_while_a_server_runs(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    ada.propose(server, ada.contract(registered))
    count = registered.ledger.verify().count
    cap_pages(registered)
    with pytest.raises(HomeError, match="nothing was half-written"):
        registered.requests[0].approve(note="x" * 100_000)
    assert registered.requests[0].status == "pending"
    assert registered.ledger.verify().count == count
    free_pages(registered)
    registered.requests[0].approve()
    # the decision, and the keys of two sites that it confirms
    assert registered.ledger.verify().count == count + 3


def test_two_owners_register_one_name_once(owner: SiteOwner, table: Path):
    start = threading.Barrier(2)
    made: list[str] = []
    refused: list[str] = []

    def register():
        mine = SiteOwner(owner.path)
        start.wait()
        try:
            mine.create_dataset("glioma", table=table)
            made.append("glioma")
        except InputError as error:
            refused.append(str(error))
        mine.close()

    threads = [threading.Thread(target=register) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (made, len(refused)) == (["glioma"], 1)
    assert "There is a dataset 'glioma' already" in refused[0]
    assert owner.datasets["glioma"].patients == 40
    assert owner.ledger.verify().count == 2


def test_gpus_are_reported_by_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_names() == ()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200'\necho 'NVIDIA L4'\n")
    tool.chmod(0o755)
    assert gpu_names() == ("NVIDIA H200", "NVIDIA L4")
    tool.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert gpu_names() == ()


def test_an_owner_needs_no_torch():
    code = (
        "import sys, fednb.owner\n"
        "heavy = {'torch', 'monai', 'syft', 'syft_datasets', 'IPython'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
