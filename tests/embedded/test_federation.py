"""The public federation over tables in memory."""

from __future__ import annotations

import pandas as pd
import pytest
from clinics import COLUMNS, clinic, federate
from counterparty import drafted, propose, send

from fednb.embedded.federation import Federation
from fednb.errors import RunError, SiteDownError
from fednb.records.messages import AskStatus


def test_a_temporary_federation_leaves_nothing_behind():
    with Federation.from_frames({"a": clinic("a")}, columns=COLUMNS) as fed:
        home = fed.owner("a").path
        assert home.is_dir()
    assert not home.parent.exists()


def test_a_kept_federation_remembers_its_requests_and_decisions(tmp_path):
    with federate(tmp_path) as fed:
        contract = drafted(fed)
        propose(fed, "a", contract)
        fed.owner("a").requests[contract.hash()].deny("no")
        me = fed._scientist.public_key
    homes = {s: tmp_path / s for s in ("a", "b", "c")}
    with Federation(homes, tmp_path / "coordinator") as fed:
        assert send(fed, "a", AskStatus(contract.hash()))[1].status == "denied"
        assert fed._scientist.public_key == me


def test_patients_without_ids_get_some_of_their_site():
    frame = clinic("a").drop(columns="patient_id")
    with Federation.from_frames({"a": frame}, columns=COLUMNS) as fed:
        (table,) = (fed.owner("a").path / "work" / "tables").glob("*.csv")
        assert list(pd.read_csv(table)["patient_id"][:2]) == ["a-0", "a-1"]


def test_sites_show_how_they_are(tables):
    assert list(tables.datasites) == ["a", "b", "c"]
    assert str(tables.datasites).count("ready") == 3
    tables.transport.take_down("b")
    assert str(tables.datasites).count("ready") == 2
    with pytest.raises(SiteDownError):
        tables["b"].ping()
    tables.transport.bring_up("b")
    assert str(tables.datasites).count("ready") == 3


def test_a_site_that_is_down_is_not_left_out_in_silence(fresh):
    """Asking two of three sites would be another question than was meant."""
    fresh.transport.take_down("b")
    with pytest.raises(RunError) as error:
        fresh.statistics("clinic", ["age"])
    assert str(error.value) == (
        "b cannot be reached: wait, or name the participants with sites=[...] to go on "
        "without."
    )
    assert not fresh.requests


def test_a_card_is_public_and_a_mock_is_made_up(tables):
    dataset = tables["a"].datasets["clinic"]
    own = clinic("a")
    assert dataset.card.subjects == 60
    mock = dataset.mock.table
    assert list(mock.columns) == list(own.columns)
    assert not set(mock["patient_id"]) & set(own["patient_id"])
    assert not set(mock["age"]) & set(own["age"])


def test_homes_and_keys_are_for_their_owner_alone(tables):
    path = tables.owner("a").path
    private = [path, path / "site.sqlite", *(path / "keys").iterdir()]
    assert all(p.stat().st_mode & 0o077 == 0 for p in private)


def test_a_dataset_shows_what_a_plan_may_expect_in_each_column(tables):
    """Bounds and labels are published with the card: who writes a plan needs them."""
    shown = repr(tables["a"].datasets["clinic"])
    lines = {line.split()[0]: line for line in shown.splitlines() if line.split()}
    assert "20 to 90" in lines["age"]
    assert "0, 1" in lines["idh"]
    assert "F, M" in lines["sex"]


def test_sites_are_counted_and_completed_by_name(tables):
    assert (len(tables), list(tables), "a" in tables) == (3, ["a", "b", "c"], True)
    assert tables._ipython_key_completions_() == ["a", "b", "c"]
