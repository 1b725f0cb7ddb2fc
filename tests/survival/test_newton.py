import numpy as np
import pytest

from fednb.errors import FitError, InputError
from fednb.survival.logistic import logistic_sums
from fednb.survival.newton import (
    NewtonOptions,
    covariance,
    maximise,
    penalised_log_likelihood,
    start,
    update,
)
from fednb.survival.rounding import rounding_covariance, variance_noise, widened
from fednb.survival.sums import LikelihoodSums


def quadratic(beta: np.ndarray):
    """-(b - (1, -2))' A (b - (1, -2)) / 2 with A = diag(4, 9)."""
    a, top = np.diag([4.0, 9.0]), np.array([1.0, -2.0])
    gap = beta - top
    return LikelihoodSums(-a @ gap, a, float(-0.5 * gap @ a @ gap))


def cauchy(beta: np.ndarray):
    """Log-density of a point at 3: the full Newton step from 0 overshoots."""
    gap = 3.0 - beta
    density = 1 + gap**2
    return LikelihoodSums(
        2 * gap / density, np.array([[0.02]]), float(-np.log(density[0]))
    )


def test_a_quadratic_takes_one_step():
    state = maximise(quadratic, 2, NewtonOptions())
    np.testing.assert_allclose(state.accepted, [1.0, -2.0], atol=1e-12)
    assert (state.evaluations, state.converged, state.halvings) == (2, True, 0)
    assert state.trial is state.accepted
    assert state.null_sums.log_likelihood == pytest.approx(-20.0)
    np.testing.assert_allclose(
        covariance(state.sums, NewtonOptions()), np.diag([1 / 4, 1 / 9])
    )


def test_a_ridge_for_each_column():
    options = NewtonOptions(ridge=(0.0, 9.0))
    state = maximise(quadratic, 2, options)
    # (A + lambda) b = A (1, -2)
    np.testing.assert_allclose(state.accepted, [1.0, -1.0], atol=1e-12)
    value = penalised_log_likelihood(state.accepted, state.sums, options)
    assert value == pytest.approx(-4.5 - 4.5)


def test_a_step_that_loses_likelihood_is_halved_until_it_gains():
    # from 0: U = .6, I = .02, so the full step is 30; 30 / 2 / 2 = 7.5; the
    # log-likelihood at 0 and 6 is equal, so only 3.75 gains
    options = NewtonOptions()
    first = update(start(1), cauchy(np.zeros(1)), options)
    state, seen = first, [float(first.trial[0])]
    for _ in range(3):
        state = update(state, cauchy(state.trial), options)
        assert state.accepted[0] == 0
        seen.append(float(state.trial[0]))
    np.testing.assert_allclose(seen, [30, 15, 7.5, 3.75])
    assert (state.halvings, state.evaluations) == (3, 4)
    state = update(state, cauchy(state.trial), options)
    assert state.accepted[0] == pytest.approx(3.75)
    assert state.halvings == 0


def test_sums_that_overflow_are_halved():
    options = NewtonOptions()
    state = update(start(2), quadratic(np.zeros(2)), options)
    broken = LikelihoodSums(np.full(2, np.nan), np.eye(2), -np.inf)
    halved = update(state, broken, options)
    np.testing.assert_allclose(halved.trial, state.trial / 2)
    assert halved.halvings == 1


def test_two_parties_find_the_same_trials_bit_for_bit():
    rng = np.random.default_rng(3)
    x, options = rng.normal(size=(80, 6)), NewtonOptions(ridge=0.5)
    y = (rng.random(80) < 0.4).astype(float)
    ours, theirs = start(6), start(6)
    while not ours.converged:
        vector = logistic_sums(x, y, ours.trial).to_vector()
        ours = update(ours, LikelihoodSums.from_vector(vector, 6), options)
        relayed = LikelihoodSums.from_vector(vector.copy(), 6)
        theirs = update(theirs, relayed, options)
        assert ours.trial.tobytes() == theirs.trial.tobytes()
    assert theirs.converged


def test_evaluations_run_out():
    options = NewtonOptions(max_evaluations=4)
    with pytest.raises(FitError) as error:
        maximise(cauchy, 1, options, ["dose"])
    assert str(error.value) == (
        "The fit did not converge in 4 evaluations: the next step is 4.24 standard "
        "errors, largest for 'dose'. Standardise the columns, add a ridge penalty, or "
        "use fewer columns."
    )


def test_rank_deficiency_names_the_columns():
    def sums(_: np.ndarray) -> LikelihoodSums:
        return LikelihoodSums(
            np.array([1.0, 1.0, 2.0]),
            np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [2.0, 0.0, 4.0]]),
            -1.0,
        )

    with pytest.raises(FitError) as error:
        maximise(sums, 3, NewtonOptions(), ["age", "sex", "twice age"])
    assert str(error.value) == (
        "The information matrix is rank-deficient: 'age', 'twice age' have no spread "
        "of their own (constant, or a combination of each other). Drop one of them or "
        "add a ridge penalty."
    )
    with pytest.raises(FitError, match="rank-deficient: column 0, column 2 have"):
        maximise(sums, 3, NewtonOptions())


def test_a_ridge_lifts_rank_deficiency():
    x = np.repeat(np.random.default_rng(0).normal(size=(60, 1)), 2, axis=1)
    y = (x[:, 0] + np.sin(np.arange(60)) > 0).astype(float)
    state = maximise(lambda b: logistic_sums(x, y, b), 2, NewtonOptions(ridge=0.1))
    assert state.accepted[0] == pytest.approx(state.accepted[1])


def test_no_events():
    with pytest.raises(FitError, match="There are no events, so nothing can be"):
        update(start(2), LikelihoodSums.zero(2), NewtonOptions())


def test_a_start_that_is_not_finite():
    broken = LikelihoodSums(np.array([np.inf]), np.eye(1), 0.0)
    with pytest.raises(FitError, match="sums at the starting value are not finite"):
        update(start(1), broken, NewtonOptions())


@pytest.mark.parametrize("precision", [0.0, 0.1])
def test_separation_is_refused_and_named(precision: float):
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(60), rng.normal(size=60), rng.normal(size=60)])
    y = (x[:, 2] > 0).astype(float)

    def sums(beta: np.ndarray) -> LikelihoodSums:
        return logistic_sums(x, y, beta).rounded(precision)

    with pytest.raises(FitError, match=r"The outcome is separated: .*'marker'.* grow"):
        maximise(sums, 3, NewtonOptions(precision=precision), ["1", "age", "marker"])


@pytest.mark.parametrize("parts", [1, 6, 40])
def test_rounded_sums_converge_to_what_rounding_can_resolve(parts: int):
    rng = np.random.default_rng(parts)
    x = rng.normal(size=(2400, 5))
    truth = np.array([1.0, -0.5, 0.0, 0.2, 0.8])
    y = (rng.random(2400) < 1 / (1 + np.exp(-x @ truth))).astype(float)
    rows = np.array_split(np.arange(2400), parts)

    def rounded(beta: np.ndarray) -> LikelihoodSums:
        total = LikelihoodSums.zero(5)
        for part in rows:
            total += logistic_sums(x[part], y[part], beta).rounded(0.1)
        return total

    options = NewtonOptions(precision=0.1, parts=parts)
    exact = maximise(lambda b: logistic_sums(x, y, b), 5, NewtonOptions())
    state = maximise(rounded, 5, options)
    error = np.sqrt(np.diagonal(covariance(exact.sums, NewtonOptions())))
    shift = np.abs(state.accepted - exact.accepted) / error
    assert state.evaluations <= exact.evaluations
    assert shift.max() < 0.05
    added = np.sqrt(np.diagonal(rounding_covariance(state.sums, options)))
    assert (np.abs(state.accepted - exact.accepted) < 5 * added).all()


def test_columns_that_rounding_makes_alike_are_not_called_separated():
    rng = np.random.default_rng(2)
    x = rng.normal(size=400)
    wide = np.column_stack([x, x + 0.02 * rng.normal(size=400)])
    y = (rng.random(400) < 0.5).astype(float)
    names = ["one", "much the same"]

    def sums(beta: np.ndarray) -> LikelihoodSums:
        return logistic_sums(wide, y, beta).rounded(0.1)

    exact = maximise(lambda b: logistic_sums(wide, y, b), 2, NewtonOptions())
    assert exact.converged
    options = NewtonOptions(precision=0.1, parts=3)
    with pytest.raises(FitError, match="or one that the rounding of the totals hides"):
        maximise(sums, 2, options, names)
    # later in a fit too: its first information is just enough
    first, less = (np.array([[90.0, b], [b, 90.0]]) for b in (89.7, 89.96))
    begun = update(
        start(2), LikelihoodSums(np.full(2, 20.0), first, -9.0), options, names
    )
    with pytest.raises(FitError, match="take fewer knots"):
        update(begun, LikelihoodSums(np.zeros(2), less, -8.0), options, names)


@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_what_rounding_does_to_a_variance_is_foretold(alike: float):
    rng = np.random.default_rng(4)
    information = 60.0 * np.array([[1.0, alike, 0], [alike, 1, 0], [0, 0, 2.0]])
    options = NewtonOptions(precision=0.1, parts=4)
    found = []
    for _ in range(4000):
        errors = rng.uniform(-0.05, 0.05, size=(4, 3, 3)).sum(axis=0)
        upper = np.triu(errors)
        moved = information + upper + np.triu(errors, 1).T
        found.append(np.diagonal(np.linalg.inv(moved)))
    inverse = np.linalg.inv(information)
    expected = np.std(found, axis=0) / np.diagonal(inverse)
    noise = variance_noise(inverse, options)
    np.testing.assert_allclose(noise, expected, rtol=0.05)
    np.testing.assert_allclose(
        np.diagonal(widened(inverse, noise)), np.diagonal(inverse) * (1 + 2 * noise)
    )
    assert not variance_noise(np.zeros((2, 2)), options).any()


def test_a_finished_fit_and_foreign_sums_are_refused():
    done = maximise(quadratic, 2, NewtonOptions())
    with pytest.raises(InputError, match=r"\(converged: True\)"):
        update(done, quadratic(done.trial), NewtonOptions())
    with pytest.raises(InputError, match="Sums of 2 columns do not continue a fit of"):
        update(start(3), quadratic(np.zeros(2)), NewtonOptions())
    with pytest.raises(InputError, match="at least one column; 0 were given"):
        start(0)


@pytest.mark.parametrize(
    "option",
    [
        {"ridge": -1.0},
        {"ridge": (0.0, float("nan"))},
        {"tolerance": 0.0},
        {"max_evaluations": 1},
        {"precision": -0.1},
        {"precision": float("inf")},
        {"parts": 0},
    ],
)
def test_options_outside_their_range(option: dict):
    with pytest.raises(InputError, match=f"{next(iter(option))}=.* is outside its"):
        NewtonOptions(**option)


def test_a_ridge_of_another_length():
    with pytest.raises(InputError, match="2 ridge penalties were given for 3 columns"):
        NewtonOptions(ridge=(1.0, 2.0)).penalty(3)
