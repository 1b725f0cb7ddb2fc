import numpy as np
import pytest

from fednb.errors import FitError
from fednb.survival.cholesky import factorise
from fednb.survival.coxph import fit
from fednb.survival.newton import NewtonOptions
from fednb.survival.riskset import RiskSets
from fednb.survival.separation import lost_columns, share_left

START = np.diag([100.0, 100.0])


def test_the_share_left_along_a_step_that_keeps_its_length():
    now = np.diag([90.0, 4.0])
    step, previous = np.array([0.0, 1.0]), np.array([0.3, 1.1])
    assert share_left(step, previous, START, now) == pytest.approx(0.04)


def test_steps_that_shrink_or_are_noise_leave_no_worry():
    now = np.diag([90.0, 4.0])
    shrunk = share_left(np.array([0.0, 0.4]), np.array([0.0, 1.0]), START, now)
    noise = share_left(np.array([0.0, 0.04]), np.array([0.0, 0.04]), START, now)
    assert (shrunk, noise) == (1.0, 1.0)


def test_columns_that_sank_into_the_rounding():
    now = np.diag([90.0, 0.2])
    lost = lost_columns(factorise(now), START, now, 0.5)
    assert lost.tolist() == [False, True]
    # little information from the start is no sign of separation
    weak = np.diag([100.0, 0.3])
    assert not lost_columns(factorise(now), weak, now, 0.5).any()


@pytest.mark.parametrize("precision", [0.0, 0.1])
def test_a_level_without_deaths_at_three_sites_is_refused(precision: float):
    # rounding brings the score of the diverging column to 0 before the tolerance does
    rng = np.random.default_rng(29)
    x = rng.normal(size=(120, 2))
    rare = (np.arange(120) % 5 == 0).astype(float)
    design = np.column_stack([x, (rare - rare.mean()) / rare.std(ddof=1)])
    time = rng.exponential(np.exp(-x @ [0.7, 1.1]))
    event = (rng.random(120) < 0.7) & (rare == 0)
    sites = [RiskSets(design[k::3], time[k::3], event[k::3]) for k in range(3)]
    with pytest.raises(FitError, match="separated: the coefficients of 'rare' grow"):
        fit(sites, NewtonOptions(precision=precision), ["a", "b", "rare"])
    kept = fit(sites, NewtonOptions(precision=precision, ridge=2.0))
    assert kept.coefficients[2] < 0
