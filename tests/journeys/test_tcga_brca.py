"""Six regions of TCGA-BRCA as sites: a penalised Cox fit on their training patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index

from fednb.embedded.federation import Federation
from fednb.records.heads import CoxPlan
from fednb.records.specs import SplitSpec

pytestmark = pytest.mark.shared

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "fed_tcga_brca"
PENALIZERS = (0.03, 0.06, 0.1, 0.2)
FOLDS = 3


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    """Return all rows: covariates, death, time, region, part, and folds of training.

    A covariate is left out where it has one value in all training rows: it says
    nothing, and has no scale. Collinear ones stay: the ridge holds them.
    """
    table = pd.read_csv(DATA / "brca.csv").rename(columns={"E": "death", "T": "days"})
    parts = pd.read_csv(DATA / "train_test_split.csv")
    centers = pd.read_csv(DATA / "centers.csv", keep_default_na=False)
    table = table.merge(parts[["pid", "fold"]], on="pid")
    region = dict(zip(centers["TSS Code"], centers["Region"], strict=True))
    table["region"] = table["pid"].str.split("-").str[1].map(region)
    training = table[table["fold"] == "train"]
    plain = [c for c in table.columns if len(training[c].unique()) > 1]
    table = table[sorted({*plain, "pid", "fold"}, key=list(table.columns).index)]
    draw = np.random.default_rng(0).integers(0, FOLDS, len(table))
    for fold in range(FOLDS):
        inside = np.where(draw == fold, "validation", "train")
        table[f"cv{fold}"] = np.where(table["fold"] == "test", "test", inside)
    return table.assign(death=table["death"].astype(int))


@pytest.fixture(scope="module")
def covariates(patients) -> list[str]:
    other = {"pid", "fold", "region", "death", "days"}
    return [c for c in patients if c not in other and not c.startswith("cv")]


@pytest.fixture(scope="module")
def regions(patients):
    frames = {
        str(name).lower(): part.drop(columns="region")
        .rename(columns={"pid": "patient_id"})
        .reset_index(drop=True)
        for name, part in patients.groupby("region")
    }
    with Federation.from_frames(
        frames, dataset="brca", approve="auto", profile="open"
    ) as fed:
        yield fed


def fit(fed, covariates, penalizer, column, evaluate_on):
    plan = CoxPlan(
        duration="days",
        event="death",
        covariates=covariates,
        penalizer=penalizer,
        split=SplitSpec(column=column),
        fit_on="train",
        evaluate_on=evaluate_on,
    )
    return fed.request(plan, purpose="survival of breast cancer").start().result()


def test_there_are_six_regions_and_the_known_split(patients, regions):
    assert list(regions.datasites) == [
        "canada",
        "europe",
        "midwest",
        "northeast",
        "south",
        "west",
    ]
    assert (len(patients), patients["death"].sum()) == (1088, 151)
    assert (patients["fold"] == "train").sum() == 866


def test_a_ridge_chosen_on_training_patients_ranks_the_test_patients(
    patients, covariates, regions
):
    scores = {
        penalizer: np.mean(
            [
                fit(
                    regions, covariates, penalizer, f"cv{fold}", "validation"
                ).concordance_index_
                for fold in range(FOLDS)
            ]
        )
        for penalizer in PENALIZERS
    }
    chosen = max(scores, key=scores.__getitem__)
    cox = fit(regions, covariates, chosen, "fold", "test")
    test = patients[patients["fold"] == "test"]
    risk = cox.predict_log_partial_hazard(test)
    pooled = concordance_index(test["days"], -risk, test["death"])
    assert pooled >= 0.835


def test_the_fit_is_that_of_lifelines_on_pooled_rows(patients, covariates, regions):
    cox = fit(regions, covariates, 0.1, "fold", "none")
    rows = patients[patients["fold"] == "train"]
    pooled = CoxPHFitter(penalizer=0.1).fit(
        rows[[*covariates, "days", "death", "region"]],
        "days",
        "death",
        strata="region",
        fit_options={"precision": 1e-12},
    )
    assert np.abs(cox.params_ - pooled.params_).max() < 1e-6
    assert np.abs(cox.standard_errors_ - pooled.standard_errors_).max() < 1e-6
    assert cox.log_likelihood_ == pytest.approx(pooled.log_likelihood_, abs=1e-8)
