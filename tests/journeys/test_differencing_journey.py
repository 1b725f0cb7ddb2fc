"""Differencing over real sites: n and n - 1 patients, by every road to a cohort."""

from __future__ import annotations

import numpy as np
import pytest
from clinics import COLUMNS, ROWS, clinic
from counterparty import approved, drafted, query, released

from fednb.coordinator.contracting import Scientist
from fednb.embedded.federation import Federation
from fednb.records.arrays import unpack
from fednb.records.tasks import DescribePlan, StatisticsPlan

AGE = StatisticsPlan(("age",))
AGE_BY_SEX = StatisticsPlan(("age",), by="sex")
SITES = ("a", "b", "c")


def frames(**changes: object) -> dict:
    """Return tables of which sites b and c are as they were made."""
    found = {site: clinic(site) for site in SITES}
    for name, values in changes.items():
        found["a"][name] = values
    return found


def serve(folder, tables: dict, **options: object) -> Federation:
    given = {"dataset": "clinic", "columns": COLUMNS, "folder": folder, **options}
    return Federation.from_frames(tables, **given)


def own_table(fed: Federation, plan=AGE, dataset: str = "clinic") -> np.ndarray:
    """Return what site a alone releases of a plan: rounded, and in the clear."""
    contract = approved(fed, drafted(fed, plan, dataset, ["a"]))
    _, release = released(fed, "a", query(fed, "a", contract, plan))
    (output,) = release.outputs
    assert output.kind == "table"
    return unpack(output.data)


@pytest.fixture
def one_other(tmp_path):
    """Site a has one man among women: the women are all but him."""
    with serve(tmp_path, frames(sex=["M"] + ["F"] * (ROWS - 1))) as fed:
        yield fed


def test_a_filter_that_leaves_one_patient_out_changes_no_byte(one_other):
    everybody = own_table(one_other)
    women, men = np.split(own_table(one_other, AGE_BY_SEX), 2)
    assert women.tobytes() == everybody.tobytes()
    # one man is suppressed, like none
    assert men.tolist() == [0.0] * (men.size - 1) + [1.0]


def test_and_neither_does_the_other_order(one_other):
    women, _ = np.split(own_table(one_other, AGE_BY_SEX), 2)
    assert own_table(one_other).tobytes() == women.tobytes()


def test_another_requester_gets_the_same_bytes(one_other, tmp_path):
    everybody = own_table(one_other)
    one_other._scientist = Scientist(tmp_path, "a colleague")
    women, _ = np.split(own_table(one_other, AGE_BY_SEX), 2)
    assert women.tobytes() == everybody.tobytes()


def test_a_restart_forgets_nothing(tmp_path):
    with serve(tmp_path, frames(sex=["M"] + ["F"] * (ROWS - 1))) as fed:
        everybody = own_table(fed)
    homes = {site: tmp_path / site for site in SITES}
    with Federation(homes, tmp_path / "coordinator") as fed:
        women, _ = np.split(own_table(fed, AGE_BY_SEX), 2)
    assert women.tobytes() == everybody.tobytes()


def test_a_table_registered_with_one_patient_less_answers_as_before(tmp_path):
    with serve(tmp_path, frames()) as fed:
        everybody = own_table(fed)
        fed.owner("a").create_dataset("later", table=clinic("a")[1:], columns=COLUMNS)
        assert own_table(fed, dataset="later").tobytes() == everybody.tobytes()
        # half of the patients are another cohort
        table = clinic("a")[: ROWS // 2]
        fed.owner("a").create_dataset("half", table=table, columns=COLUMNS)
        assert own_table(fed, dataset="half").tobytes() != everybody.tobytes()


def test_a_missing_value_shows_in_no_count_of_any_task(tmp_path):
    """64 and 65 round apart: who lacks a value would be seen by who knows the rest."""
    tables = frames()
    tables["a"] = clinic("a", rows=65)
    tables["a"].loc[7, "os_months"] = np.nan
    with serve(tmp_path, tables) as fed:
        names = tuple(column.name for column in COLUMNS)
        described = own_table(fed, DescribePlan(names, ()))
        assert described[: 1 + len(COLUMNS)].tolist() == [70.0] * (1 + len(COLUMNS))
        age, months = (
            own_table(fed, StatisticsPlan((c,))) for c in ("age", "os_months")
        )
        assert age[0] == months[0] == 70


def test_the_pooled_sum_of_a_near_cohort_is_the_earlier_sum(tmp_path):
    """Masks are fresh at each call; what they hide is the earlier answer."""
    with serve(tmp_path, frames(sex=["M"] + ["F"] * (ROWS - 1)), approve="auto") as fed:
        for site in ("b", "c"):
            assert (clinic(site)["sex"] == "F").sum() > 10
        (everybody,) = fed.statistics("clinic", ["age"]).of("age")
        women = fed.statistics("clinic", ["age"], by="sex").of("age")[0]
        alone = {
            site: fed.statistics("clinic", ["age"], by="sex", sites=[site]).of("age")[0]
            for site in SITES
        }
        (own,) = fed.statistics("clinic", ["age"], sites=["a"]).of("age")
    assert everybody.n == 180
    assert women.n == sum(summary.n for summary in alone.values())
    assert (alone["a"].n, alone["a"].mean) == (own.n, own.mean) == (60, own.mean)


def test_the_open_profile_answers_every_cohort_exactly(tmp_path):
    tables = frames(sex=["M"] + ["F"] * (ROWS - 1))
    with serve(tmp_path, tables, profile="open", approve="auto") as fed:
        for by, rows in (("", slice(None)), ("sex", slice(1, None))):
            found = fed.statistics("clinic", ["age"], by=by, sites=["a"]).of("age")[0]
            age = tables["a"]["age"][rows]
            assert (found.n, found.mean) == (age.size, pytest.approx(age.mean()))
