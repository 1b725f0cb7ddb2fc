"""What is told to whoever asks for something that cannot be, before sites are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from clinics import federate

from fednb.embedded.federation import Federation
from fednb.errors import DatasetError, InputError, PlanError, UnknownNameError
from fednb.owner.site_owner import SiteOwner
from fednb.records.heads import CoxPlan

if TYPE_CHECKING:
    from pathlib import Path


def patients(n: int, columns: int) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    numbers = {f"x{i}": rng.integers(0, 50, n) for i in range(columns)}
    time = rng.integers(1, 100, n)
    return pd.DataFrame({**numbers, "time": time, "event": rng.integers(0, 2, n)})


@pytest.fixture(scope="module")
def fed():
    whole = patients(120, 6)
    frames = {name: whole.iloc[i::3] for i, name in enumerate("abc")}
    with Federation.from_frames(frames, profile="standard", approve="auto") as made:
        yield made


def test_a_head_that_sites_would_refuse_for_its_size_is_refused_before_they_are_asked(
    fed: Federation,
):
    plan = CoxPlan(covariates=tuple(f"x{i}" for i in range(6)), fit_on="validation")
    with pytest.raises(PlanError) as caught:
        fed.request(plan, purpose="too many")
    assert str(caught.value) == (
        "6 coefficients are too many for about 24 patients of the part 'validation': "
        'sites allow 10%. Use features="score", fewer covariates, a larger part, or '
        "more sites."
    )
    assert fed.requests == ()


def test_a_head_of_the_right_size_is_asked_for(fed: Federation):
    plan = CoxPlan(covariates=("x0", "x1"), fit_on="validation")
    assert fed.request(plan, purpose="few").status


def test_an_unknown_term_is_named_with_those_there_are(fed: Federation):
    with pytest.raises(UnknownNameError, match="secure_sum"):
        fed.request(CoxPlan(covariates=("x0",)), purpose="p", secure=True)


def test_datasets_of_several_sites_are_not_found_by_name_alone(fed: Federation):
    with pytest.raises(InputError) as caught:
        fed.datasets["table"]
    assert str(caught.value) == (
        "Datasets of several sites are listed by number, not by 'table'. Use "
        "fed.datasets.search('table'), or fed[site].datasets['table']."
    )


def test_an_owner_reads_all_problems_of_a_table_at_once(tmp_path: Path):
    table = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(19)] + ["p0"],
            "name": [f"Jane Doe {i}" for i in range(20)],
            "os_months": [-3.0] + [12.0] * 19,
        }
    )
    with (
        SiteOwner.init(tmp_path / "home", "ucsf") as owner,
        pytest.raises(DatasetError) as caught,
    ):
        owner.create_dataset("trial", table=table)
    kinds = [problem.split(":")[0] for problem in caught.value.problems]
    assert kinds == ["column name", "duplicate patients", "column os_months"]


def test_a_list_of_datasets_names_the_sites_that_were_not_reached(tmp_path):
    with federate(tmp_path) as fed:
        assert fed.datasets.away == {}
        assert "Not listed" not in repr(fed.datasets)
        fed.transport.take_down("b")
        for found in (fed.datasets, fed.datasets.search("clinic")):
            assert [d.card.site for d in found] == ["a", "c"]
            line = "Not listed: b. It cannot be reached now."
            assert repr(found).endswith(f"\n{line}")
            assert f"<p>{line}</p>" in found._repr_html_()
