import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.errors import InputError
from fednb.survival.riskset import RiskSets


def reference(table: tuple, beta: np.ndarray, ties: str):
    """The formulas of the methods page, one draw of one death time at a time."""
    x, time, event, entry, weight, strata = table
    p = x.shape[1]
    score, information, log_likelihood = np.zeros(p), np.zeros((p, p)), 0.0
    for s in np.unique(strata):
        for t in np.unique(time[(event == 1) & (strata == s)]):
            at_risk = np.flatnonzero((strata == s) & (entry < t) & (t <= time))
            dead = np.flatnonzero((strata == s) & (event == 1) & (time == t))
            hazard = weight * np.exp(x @ beta)
            mean_weight = weight[dead].mean()
            score += weight[dead] @ x[dead]
            log_likelihood += weight[dead] @ (x[dead] @ beta)
            for draw in range(dead.size):
                f = draw / dead.size if ties == "efron" else 0.0
                share = hazard.copy()
                share[dead] *= 1 - f
                share = share[at_risk]
                phi = share.sum()
                mean = share @ x[at_risk] / phi
                second = (x[at_risk] * share[:, None]).T @ x[at_risk] / phi
                score -= mean_weight * mean
                information += mean_weight * (second - np.outer(mean, mean))
                log_likelihood -= mean_weight * np.log(phi)
    return score, information, log_likelihood


def random_table(seed: int, n: int, p: int = 3):
    rng = np.random.default_rng(seed)
    time = rng.integers(1, 8, n).astype(float)
    return (
        rng.normal(2, 1, (n, p)),
        time,
        rng.integers(0, 2, n),
        time - rng.integers(1, 8, n),
        rng.uniform(0.2, 3, n),
        rng.integers(0, 3, n),
    )


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    ties=st.sampled_from(["efron", "breslow"]),
)
def test_sums_equal_the_formulas(seed: int, n: int, ties: str):
    table = random_table(seed, n)
    beta = np.random.default_rng(seed).normal(0, 1, 3)
    sums = RiskSets(*table).sums(beta, ties)
    score, information, log_likelihood = reference(table, beta, ties)
    np.testing.assert_allclose(sums.score, score, atol=1e-8)
    np.testing.assert_allclose(sums.information, information, atol=1e-8)
    assert sums.log_likelihood == pytest.approx(log_likelihood, abs=1e-8)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60))
def test_sums_of_sites_add_up_to_the_stratified_whole(seed: int, n: int):
    x, time, event, entry, weight, site = random_table(seed, n)
    beta = np.array([0.3, -0.2, 0.1])
    whole = RiskSets(x, time, event, entry, weight, site).sums(beta)
    parts = [
        RiskSets(x[m], time[m], event[m], entry[m], weight[m]).sums(beta)
        for m in (site == s for s in np.unique(site))
    ]
    total = np.sum([part.to_vector() for part in parts], axis=0)
    np.testing.assert_allclose(total, whole.to_vector(), atol=1e-8)


def test_two_patients_by_hand():
    # one death with one other at risk: p = e^b / (e^b + 1)
    sums = RiskSets([[1.0], [0.0]], [1, 2], [1, 0]).sums([np.log(3)])
    assert sums.score[0] == pytest.approx(1 - 0.75)
    assert sums.information[0, 0] == pytest.approx(0.75 * 0.25)
    assert sums.log_likelihood == pytest.approx(np.log(0.75))


def test_score_is_the_gradient_and_information_its_negative_derivative():
    table = random_table(4, 50)
    sets, beta, step = RiskSets(*table), np.array([0.2, -0.4, 0.3]), 1e-6
    sums = sets.sums(beta)
    for k in range(3):
        move = step * np.eye(3)[k]
        up, down = sets.sums(beta + move), sets.sums(beta - move)
        slope = (up.log_likelihood - down.log_likelihood) / (2 * step)
        assert sums.score[k] == pytest.approx(slope, abs=1e-6)
        bend = (down.score - up.score) / (2 * step)
        np.testing.assert_allclose(sums.information[k], bend, atol=1e-6)


def test_the_order_of_the_rows_does_not_matter():
    table = random_table(5, 60)
    order = np.random.default_rng(0).permutation(60)
    a = RiskSets(*table).sums([0.1, 0.2, 0.3]).to_vector()
    b = RiskSets(*(column[order] for column in table)).sums([0.1, 0.2, 0.3])
    np.testing.assert_allclose(a, b.to_vector(), atol=1e-10)


def test_sums_repeat_bit_for_bit():
    table = random_table(6, 80)
    first = RiskSets(*table).sums([0.1, 0.2, 0.3]).to_vector()
    again = RiskSets(*table).sums([0.1, 0.2, 0.3]).to_vector()
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_huge_linear_predictors_do_not_overflow(scale: float):
    x, time, event, entry, weight, strata = random_table(7, 50)
    for left in (None, entry):
        sums = RiskSets(x, time, event, left, weight, strata).sums([scale, -scale, 0])
        assert sums.is_finite
        assert sums.log_likelihood < -scale


def test_log_likelihood_is_exact_past_the_range_of_exp():
    # the death has the largest hazard by e^1000: it dies first for certain
    sums = RiskSets([[1.0], [0.0]], [1, 2], [1, 0]).sums([1000.0])
    assert sums.log_likelihood == 0
    lower = RiskSets([[1.0], [0.0]], [1, 2], [0, 1]).sums([1000.0])
    assert lower.log_likelihood == 0


def test_a_covariate_far_from_zero_keeps_its_digits():
    x, time, event, entry, weight, strata = random_table(8, 60)
    near = RiskSets(x, time, event, entry, weight, strata).sums([0.2, 0.1, 0.0])
    far = RiskSets(x + 1e6, time, event, entry, weight, strata).sums([0.2, 0.1, 0.0])
    np.testing.assert_allclose(near.to_vector(), far.to_vector(), atol=1e-6)


def test_a_constant_column_has_exactly_no_information():
    x, time, event, *_ = random_table(9, 60)
    x[:, 1] = 0.1
    assert RiskSets(x, time, event).sums([0.3, 5.0, 0.1]).information[1, 1] == 0


def test_entry_is_open_and_exit_closed():
    # the second patient enters at the death time of the first: not at risk there
    sets = RiskSets([[1.0], [0.0]], [5, 9], [1, 0], entry=[0, 5])
    assert sets.sums([0.7]).log_likelihood == 0
    sets = RiskSets([[1.0], [0.0]], [5, 9], [1, 0], entry=[0, 4])
    assert sets.sums([0.0]).log_likelihood == pytest.approx(-np.log(2))
    sets = RiskSets([[1.0], [0.0]], [5, 5], [1, 0])
    assert sets.sums([0.0]).log_likelihood == pytest.approx(-np.log(2))


def test_no_events_give_zero_sums():
    sets = RiskSets([[1.0], [0.0]], [5, 9], [0, 0])
    assert sets.events == 0
    assert not sets.sums([0.3]).to_vector().any()


def test_counts_of_deaths():
    x = np.zeros((6, 1))
    sets = RiskSets(x, [2, 2, 3, 1, 1, 4], [1, 1, 1, 0, 1, 0])
    assert (sets.n, sets.p, sets.events) == (6, 1, 4)
    assert sets.death_time.tolist() == [1, 2, 3]
    assert sets.deaths.tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros(3)}, "a finite matrix of patients by at least one column"),
        ({"x": np.full((3, 1), np.nan)}, "a finite matrix of patients"),
        ({"time": [1, 2]}, r"The exit times have shape \(2,\); 3 finite numbers"),
        ({"time": [1, 2, np.inf]}, "exit times"),
        ({"event": [0, 1, 2]}, "Events must be 0"),
        ({"entry": [0, 0, 3]}, "1 patients enter at or after their exit time"),
        ({"weights": [1, 0, 1]}, "Weights must be positive"),
        ({"strata": [0, 0.5, 1]}, "Strata must be integer codes"),
    ],
)
def test_malformed_tables_are_refused(change: dict, message: str):
    good = {"x": np.eye(3), "time": [1, 2, 3], "event": [1, 0, 1]}
    with pytest.raises(InputError, match=message):
        RiskSets(**(good | change))


def test_malformed_calls_are_refused():
    sets = RiskSets(np.eye(3), [1, 2, 3], [1, 0, 1])
    with pytest.raises(InputError, match=r"shape \(2,\); 3 finite numbers"):
        sets.sums([0, 0])
    with pytest.raises(InputError, match="3 finite numbers are needed"):
        sets.sums([0, 0, np.nan])
    with pytest.raises(InputError, match="Unknown ties 'exact'"):
        sets.sums([0, 0, 0], ties="exact")
