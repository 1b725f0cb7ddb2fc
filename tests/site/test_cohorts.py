"""The store of answered cohorts: committed with a release, salted, kept for ever."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from clinics import clinic, federate
from counterparty import approved, drafted, ledger, query, refused, released

from fednb.errors import HomeError
from fednb.privacy.cells import safe_count
from fednb.privacy.profiles import OPEN, STANDARD
from fednb.records.arrays import unpack
from fednb.records.heads import CoxPlan
from fednb.records.tasks import DescribePlan, StatisticsPlan
from fednb.site.cohorts import Cohorts, write_page
from fednb.site.home import Home
from fednb.site.keys import SiteKeys

PLAN = StatisticsPlan(("age",))
IDS = tuple(f"patient {i}" for i in range(40))


@pytest.fixture
def contract(fresh):
    return drafted(fresh, PLAN, sites=["a"])


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home", create=True)
    yield home
    home.close()


@pytest.fixture
def cohorts(home):
    return Cohorts(home, SiteKeys(home.folder("keys")))


def count(page, patients: int) -> int | None:
    members = np.arange(len(IDS)) < patients
    return page.book.settle(
        ("count", "all"), members, lambda: safe_count(patients, STANDARD), int
    ).value


def test_what_was_rolled_back_was_not_answered(home, cohorts, contract):
    page = cohorts.page(contract, PLAN, IDS, STANDARD)
    assert count(page, 35) == 40

    class PowerCutError(Exception):
        pass

    def cut() -> None:
        with home.transaction() as database:
            write_page(database, page)
            raise PowerCutError

    with pytest.raises(PowerCutError):
        cut()
    assert home.database.execute("SELECT COUNT(*) FROM cohorts").fetchone() == (0,)
    again = cohorts.page(contract, PLAN, IDS, STANDARD)
    assert count(again, 34) == 30


def test_what_was_committed_binds_a_store_that_is_opened_later(home, cohorts, contract):
    page = cohorts.page(contract, PLAN, IDS, STANDARD)
    assert count(page, 35) == 40
    with home.transaction() as database:
        write_page(database, page)
    for store in (cohorts, Cohorts(home, SiteKeys(home.folder("keys")))):
        # other patients, other order: the same patients are the same
        page = store.page(contract, PLAN, ("new", *reversed(IDS)), STANDARD)
        members = np.array([False, *(i < 34 for i in reversed(range(len(IDS))))])
        safe = page.book.settle(
            ("count", "all"), members, lambda: safe_count(34, STANDARD), int
        )
        assert safe.value == 40
        assert safe.decisions[0].reason.startswith(
            "an earlier cohort differs by 1 patients: its answer as of 20"
        )


def test_answers_that_were_not_compared_are_not_stored(home, cohorts, contract):
    pages = [cohorts.page(contract, PLAN, IDS, STANDARD) for _ in range(2)]
    for patients, page in zip((35, 34), pages, strict=True):
        count(page, patients)
    with home.transaction() as database:
        write_page(database, pages[0])
    with pytest.raises(HomeError, match="Cohorts up to 0 were compared, and 1 are"):
        store(home, pages[1])
    assert home.database.execute("SELECT COUNT(*) FROM cohorts").fetchone() == (1,)


def store(home, page) -> None:
    with home.transaction() as database:
        write_page(database, page)


def test_only_tables_that_hide_something_have_a_page(cohorts, contract):
    cox = CoxPlan(covariates=("age",), duration="os_months", event="death")
    assert cohorts.page(contract, PLAN, IDS, OPEN) is None
    assert cohorts.page(contract, cox, IDS, STANDARD) is None
    assert cohorts.page(contract, DescribePlan((), ()), IDS, STANDARD) is not None


def test_no_patient_can_be_read_from_the_store(tmp_path):
    with federate(tmp_path, approve="auto") as fed:
        fed.statistics("clinic", ["age"])
    path = tmp_path / "a" / "site.sqlite"
    assert path.stat().st_mode & 0o777 == 0o600
    home = Home(tmp_path / "a")
    kept = b"".join(
        bytes(value)
        for table in ("cohorts", "cohort_patients")
        for row in home.database.execute(f"SELECT * FROM {table}")  # noqa: S608
        for value in row
        if isinstance(value, bytes)
    )
    home.close()
    for patient in clinic("a")["patient_id"]:
        assert patient.encode() not in kept
        assert hashlib.sha256(patient.encode()).digest()[:16] not in kept


def test_the_ledger_names_rule_and_version_and_no_patient(tables):
    contract = approved(tables, drafted(tables))
    released(tables, "a", query(tables, "a", contract))
    rules = ledger(tables, "a")[-1].body["rules"]
    assert {"disclosure.12-differencing", "disclosure.2-threshold"} <= {
        rule["rule"] for rule in rules
    }
    assert all(rule["version"] >= 1 for rule in rules)


def test_sums_over_sets_that_differ_by_one_site_are_refused(tmp_path):
    """Rule 11: the part of the site that is left out would be the difference."""
    with federate(tmp_path, *"abcd") as fed:
        everybody = approved(fed, drafted(fed))
        fewer = approved(fed, drafted(fed, sites=["a", "b", "c"]))
        released(fed, "a", query(fed, "a", everybody))
        reason = refused(fed, "a", query(fed, "a", fewer), "participants")
        assert "differs by d alone" in reason
        released(fed, "a", query(fed, "a", everybody))
        # how many have an age is in the sum of the ages, too
        counted = DescribePlan(("idh", "age"), ())
        described = approved(fed, drafted(fed, counted, sites=["a", "b", "c"]))
        ask = query(fed, "a", described, counted)
        assert "differs by d alone" in refused(fed, "a", ask, "participants")
        # another statistic, and tables of one site by itself, are not concerned
        released(fed, "a", query(fed, "a", described, DescribePlan(("idh",), ())))
        alone = approved(fed, drafted(fed, sites=["a"]))
        _, release = released(fed, "a", query(fed, "a", alone))
        assert unpack(release.outputs[0].data).size


def test_participants_of_open_sums_are_free(tmp_path):
    with federate(tmp_path, *"abcd", profile="open") as fed:
        for sites in ("abcd", "abc", "abd"):
            contract = approved(fed, drafted(fed, sites=list(sites), profile="open"))
            released(fed, "a", query(fed, "a", contract))
