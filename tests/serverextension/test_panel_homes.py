"""Served homes and their manager, without a server around them."""

from __future__ import annotations

import logging
import shutil
from types import SimpleNamespace

import pytest
from clinics import federate

from fednb.errors import FednbError, HomeError, IntegrityError, UnknownNameError
from fednb.owner.site_owner import SiteOwner
from fednb.records.tasks import StatisticsPlan
from fednb.serverextension import manager as module
from fednb.serverextension.failures import failure_of
from fednb.serverextension.handlers import FednbHandler
from fednb.serverextension.homes import ServedHome
from fednb.serverextension.manager import HomesManager

PLAN = StatisticsPlan(("age",))


@pytest.fixture
def home(tmp_path):
    SiteOwner.init(tmp_path / "ucsf", "ucsf").close()
    served = ServedHome(str(tmp_path / "ucsf"))
    yield served
    served.close()


def test_a_list_is_read_anew_only_after_somebody_wrote(home):
    first = home.requests()
    assert home.requests() is first
    with SiteOwner(home.path) as other:
        other.policy.set(max_rounds=5)
    assert home.requests() is not first


def test_a_home_that_was_replaced_is_opened_anew(home, tmp_path):
    before = home.owner().fingerprint
    shutil.move(home.path, tmp_path / "elsewhere")
    with pytest.raises(HomeError, match=r"There is no home at .*ucsf"):
        home.owner()
    SiteOwner.init(home.path, "other").close()
    assert home.owner().name == "other"
    assert home.owner().fingerprint != before


def test_a_home_whose_files_cannot_be_read_says_whose_it_is(home):
    policy = home.path / "policy.toml"
    policy.unlink()
    policy.mkdir()
    (row,) = HomesManager([str(home.path)]).homes()["homes"]
    assert row["error"]["code"] == "home"
    assert (
        "Start JupyterLab as the user to whom the home belongs"
        in (row["error"]["advice"])
    )


def test_a_home_is_served_once_and_under_an_id_without_its_path(home):
    every = HomesManager([str(home.path), f" {home.path} ", ""])
    (row,) = every.homes()["homes"]
    assert row["id"] == home.id
    assert len(home.id) == 16
    with pytest.raises(UnknownNameError):
        every.home("0" * 16)


def test_a_long_list_is_cut_and_what_waits_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_SHOWN", 2)
    with federate(tmp_path, "a") as fed:
        old = fed.request(PLAN, purpose="one")
        denied = [fed.request(PLAN, purpose=p) for p in ("two", "three")]
        owner = fed.owner("a")
        for request in denied:
            owner.requests[request.hash].deny("no")
        every = HomesManager([str(owner.path)])
        listed = every.requests()
        assert listed["requests"][0]["hash"] == old.hash
        assert (listed["pending"], listed["rest"]) == (1, 1)
        # bytes that somebody edited are named, and not shown as a request
        with owner._home.transaction() as database:
            database.execute(
                "UPDATE contracts SET body = 'x' WHERE hash = ?", [old.hash]
            )
        listed = every.requests_of(ServedHome(str(owner.path)).id)
        assert [row["hash"] for row in listed["unreadable"]] == [old.hash]
        assert listed["pending"] == 0


def test_an_unknown_error_says_nothing_of_itself(caplog):
    handler = SimpleNamespace(log=logging.getLogger("fednb-test"))
    failure = FednbHandler._failure(handler, 500, RuntimeError("patient-007"))
    assert (failure.status, failure.code) == (500, "internal")
    assert "patient-007" not in str(failure.body())
    (correlation,) = [word for word in failure.advice.split() if len(word) == 8][:1]
    assert correlation in caplog.text


def test_every_error_has_its_words():
    found = {
        failure_of(error).code: failure_of(error).status
        for error in (
            HomeError("m"),
            IntegrityError("m"),
            FednbError("m"),
            UnknownNameError("k", "n", ()),
        )
    }
    assert found == {"home": 503, "integrity": 500, "fednb": 500, "unknown": 404}
