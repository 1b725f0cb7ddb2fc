"""The latents reproduce the figures measured in reference/methods.md, section 4."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from pandas.testing import assert_frame_equal

from fednb.errors import InputError, UnknownNameError
from fednb.imaging.tables import table_problems
from fednb.phantom.latents import CLINICAL, SITES, TABLE_COLUMNS, draw_patients
from fednb.phantom.oracle import oracle_counts

N = 4000
VISIBLE = ["mismatch", "enhancement", "necrosis", "location_frontal", "log_volume"]


@pytest.fixture(scope="module")
def sites() -> dict[str, pd.DataFrame]:
    return {letter: draw_patients(letter, N, 11) for letter in SITES}


@pytest.fixture(scope="module")
def pooled(sites) -> pd.DataFrame:
    return pd.concat(sites.values(), ignore_index=True)


def auc(label, score) -> float:
    ranks = pd.Series(np.asarray(score)).rank().to_numpy()
    positive = np.asarray(label) == 1
    n, m = positive.sum(), (~positive).sum()
    return (ranks[positive].sum() - n * (n + 1) / 2) / (n * m)


def logistic(features, label) -> np.ndarray:
    """Fit by Newton's method; returns the scores."""
    x = features.to_numpy(dtype=float)
    x = np.column_stack([np.ones(len(x)), (x - x.mean(0)) / x.std(0)])
    y = label.to_numpy(dtype=float)
    b = np.zeros(x.shape[1])
    for _ in range(12):
        p = 1.0 / (1.0 + np.exp(-x @ b))
        b += np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]), x.T @ (y - p))
    return x @ b


def c_of(frame, names) -> float:
    fit = CoxPHFitter().fit(
        frame[[*names, "os_months", "death"]].astype(float), "os_months", "death"
    )
    risk = frame[names].astype(float) @ fit.params_[names]
    return oracle_counts(frame.assign(log_hazard=risk)).c


@pytest.mark.parametrize(
    ("letter", "expected"), [("A", 0.803), ("B", 0.722), ("C", 0.650), ("D", 0.816)]
)
def test_oracle_c_of_each_site(sites, letter, expected):
    assert oracle_counts(sites[letter]).c == pytest.approx(expected, abs=0.02)


def test_oracle_c_pooled(pooled):
    assert oracle_counts(pooled).c == pytest.approx(0.772, abs=0.012)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["age", "idh"], 0.734),
        ([*VISIBLE, "u"], 0.717),
        ([*VISIBLE, "u", "age"], 0.749),
    ],
)
def test_c_of_what_can_be_seen(pooled, names, expected):
    assert c_of(pooled, names) == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["age"], 0.860), (VISIBLE, 0.922), ([*VISIBLE, "age"], 0.966)],
)
def test_auc_for_idh(pooled, names, expected):
    score = logistic(pooled[names], pooled["idh"])
    assert auc(pooled["idh"], score) == pytest.approx(expected, abs=0.012)


def test_shares(sites, pooled):
    for letter, frame in sites.items():
        shares = [(frame["grade"] == grade).mean() for grade in ("2", "3", "4")]
        assert shares == pytest.approx(list(SITES[letter].grades), abs=0.03)
    by_grade = pooled.groupby("grade")["idh"].mean()
    assert by_grade.tolist() == pytest.approx([0.83, 0.71, 0.08], abs=0.025)
    lower = pooled[(pooled["grade"] != "4") & (pooled["idh"] == 1)]
    assert lower["codel"].mean() == pytest.approx(0.38, abs=0.03)
    assert pooled.loc[pooled["idh"] == 0, "codel"].sum() == 0
    ages = pooled.groupby("idh")["age_exact"].mean()
    assert ages.tolist() == pytest.approx([60.0, 41.0], abs=0.5)
    frontal = pooled.groupby("idh")["location_frontal"].mean()
    assert frontal.tolist() == pytest.approx([0.28, 0.55], abs=0.02)
    plain = lower[lower["codel"] == 0]
    assert plain["mismatch"].mean() == pytest.approx(0.42, abs=0.04)
    assert pooled.loc[pooled["enhancement"] == 0, "necrosis"].sum() == 0
    assert pooled.loc[pooled["grade"] == "4", "mismatch"].sum() == 0


def test_the_table_keeps_its_declaration(pooled):
    text = pooled[list(CLINICAL)].astype(str)
    assert table_problems(text, TABLE_COLUMNS, [c.name for c in TABLE_COLUMNS]) == []
    assert (pooled["os_months"] > 0).all()
    observed = np.minimum(pooled["survival_months"], pooled["censoring_months"])
    assert (pooled["os_months"] - observed).abs().max() <= 0.1
    assert (pooled["age"] - pooled["age_exact"]).abs().max() <= 0.5


def test_ids_tell_nothing(pooled):
    ids = pooled["patient_id"]
    assert ids.is_unique
    assert ids.str.fullmatch("[a-f][0-9a-f]{11}").all()
    assert not ids.is_monotonic_increasing


def test_the_seed_decides():
    assert_frame_equal(draw_patients("A", 20, 3), draw_patients("A", 20, 3))
    assert not draw_patients("A", 20, 3).equals(draw_patients("A", 20, 4))
    assert not draw_patients("A", 20, 3)["u"].equals(draw_patients("B", 20, 3)["u"])


def test_permuted_labels_know_nothing(pooled):
    frame = draw_patients("D", N, 11, permute_labels=True)
    twin = draw_patients("D", N, 11)
    others = [name for name in frame.columns if name not in {
        "idh", "codel", "os_months", "death"
    }]  # fmt: skip
    assert_frame_equal(frame[others], twin[others])
    assert sorted(frame["os_months"]) == sorted(twin["os_months"])
    assert frame["idh"].sum() == twin["idh"].sum()
    sd = 0.3 / np.sqrt(N)
    assert oracle_counts(frame).c == pytest.approx(0.5, abs=3 * sd)
    score = logistic(frame[[*VISIBLE, "age"]], frame["idh"])
    assert auc(frame["idh"], score) == pytest.approx(0.5, abs=0.04)
    by_idh = oracle_counts(frame.assign(log_hazard=-frame["idh"]))
    assert by_idh.c == pytest.approx(0.5, abs=0.02)


def test_bad_input():
    with pytest.raises(UnknownNameError, match="Unknown phantom site 'E'"):
        draw_patients("E", 5, 1)
    with pytest.raises(InputError, match="at least 1 patient; n=0"):
        draw_patients("A", 0, 1)
    with pytest.raises(InputError, match="-1 was given"):
        draw_patients("A", 5, -1)
