"""The rounds of a head as a state machine, replayed alike by everybody.

What comes next is a pure function of the totals so far. Coordinator and sites replay
the same history, so that a site computes the next coefficients by itself and the
coordinator has no way to choose them (disclosure rule 19).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from fednb.errors import FitError, InputError
from fednb.survival.coxph import lifelines_penalty
from fednb.survival.grid import GridTotals
from fednb.survival.memory import matrix
from fednb.survival.moments import Standardisation, combine
from fednb.survival.newton import NewtonOptions, NewtonState, start, update
from fednb.survival.sums import LikelihoodSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.survival.design import Fixed
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats

Phase = Literal[
    "moments",
    "score",
    "robust",
    "ph_test",
    "baseline",
    "ungrouped",
    "metrics",
    "done",
]

INTERCEPT = "intercept"
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class HeadState:
    """Where a head stands after some rounds.

    Attributes
    ----------
    phase
        What the next round asks for.
    n, events
        Patients and events over all sites; of a logistic head, positives.
    kept
        Indices of the columns in the fit.
    scale
        Location and scale of the kept columns.
    options
        Of the Newton steps.
    newton
        State of the fit; its ``trial`` holds the coefficients on standardised columns.
    deaths
        Over all sites by stratum and interval of the grid, shape (C,).
    observed, died
        Where effects change with time: patients at risk in each kept column's window,
        and deaths in it, rounded in most profiles; else None.
    pooled
        Of a fit pooled on the grid: totals at the last evaluation.
    meat
        Upper triangle of the sum of outer products of score residuals.
    ph
        Sums of the test of proportional hazards.
    baseline
        ``[S0, D0, weight of deaths]`` of each cell at the estimate, shape (3 C,).
    ungrouped
        Of a fit pooled on the grid: sums at its estimate with times as they are and
        risk sets within sites.
    metrics
        ``[n, events, concordant, tied, comparable]`` once evaluated.
    """

    phase: Phase = "moments"
    n: int = 0
    events: int = 0
    kept: tuple[int, ...] = ()
    scale: Standardisation | None = None
    options: NewtonOptions | None = None
    newton: NewtonState | None = None
    deaths: Ints | None = None
    observed: Floats | None = None
    died: Floats | None = None
    pooled: GridTotals | None = None
    meat: Floats | None = None
    ph: Floats | None = None
    baseline: Floats | None = None
    ungrouped: LikelihoodSums | None = None
    metrics: Floats | None = None

    def names(self, design: Fixed) -> tuple[str, ...]:
        """Return the names of the coefficients, an intercept last."""
        kept = tuple(design.names[j] for j in self.kept)
        return (*kept, INTERCEPT) if design.family == "logistic" else kept

    def standardise(self, x: Floats, design: Fixed) -> Floats:
        """Return the design matrix of the fit from raw columns, shape (n, p).

        A column after the other in memory: beside the matrix little is needed.
        """
        if self.scale is None:
            message = "The columns' moments are not known yet."
            raise InputError(message)
        z = matrix(len(self.names(design)), len(x)).T
        # what is no column is the intercept
        z[:, len(self.kept) :] = 1.0
        for k, (j, mean, std) in enumerate(
            zip(self.kept, self.scale.mean, self.scale.std, strict=True)
        ):
            z[:, k] = (x[:, j] - mean) / std
        return z


def moments_size(design: Fixed) -> int:
    """Return the number of elements of the first round's vector."""
    counted = 4 if design.cox.steps else 2
    return 2 + counted * len(design.names) + design.cox.cells


def replay(design: Fixed, history: Sequence[Floats]) -> HeadState:
    """Return where a head stands after the totals of `history`.

    Parameters
    ----------
    design
        What the contract fixes.
    history
        Totals over all sites, one vector a round: ``[n, events, sums, squares, deaths
        a cell]``, then `LikelihoodSums` or `GridTotals` vectors until the fit has
        converged, then those of `following`.

    Raises
    ------
    FitError
        The fit cannot go on: separated, rank-deficient, no events, no convergence.
    """
    state = HeadState()
    for total in history:
        if state.phase == "moments":
            state = _begin(design, total)
        elif state.phase == "score":
            state = _step(design, state, total)
        elif state.phase == "done":
            message = "The head is finished; no further round is answered."
            raise InputError(message)
        else:
            state = _take(design, state, total)
    return state


def following(design: Fixed) -> tuple[Phase, ...]:
    """Return the phases after the fit has converged, ``"done"`` last."""
    cox = design.cox
    wanted: dict[Phase, bool] = {
        "robust": cox.robust,
        "ph_test": cox.ph_test != "none",
        "baseline": bool(cox.grid) and cox.by_site,
        "ungrouped": not cox.by_site,
        "metrics": design.evaluates,
        "done": True,
    }
    return tuple(phase for phase, holds in wanted.items() if holds)


def _take(design: Fixed, state: HeadState, total: Floats) -> HeadState:
    """Keep the total of a phase after the fit, and go on to the next."""
    after = following(design)
    phase = after[after.index(state.phase) + 1]
    if state.phase == "ungrouped":
        sums = LikelihoodSums.from_vector(total, len(state.names(design)))
        return replace(state, phase=phase, ungrouped=sums)
    fields: dict[str, str] = {"ph_test": "ph", "robust": "meat"}
    field = fields.get(state.phase, state.phase)
    return replace(state, **{"phase": phase, field: total})  # type: ignore[arg-type]


def _begin(design: Fixed, total: Floats) -> HeadState:
    q = len(design.names)
    n, events = round(float(total[0])), round(float(total[1]))
    sums, squares = total[2 : 2 + q], total[2 + q : 2 + 2 * q]
    counts = np.rint(total[2 + 2 * q :])
    observed, died = np.full(q, float(n)), None
    if design.cox.steps:
        observed, died = np.split(counts, 2)
        counts = counts[:0]
    deaths = counts.astype(np.intp)
    if n < 2 or events < 1:
        message = (
            f"The fit has {n} patients and {events} events over all sites; it needs "
            "at least 2 and 1. Choose another outcome, split or follow-up."
        )
        raise FitError(message)
    if not design.cox.by_site and not deaths.any():
        message = (
            f"No event lies on the grid, which ends at {design.cox.grid[-1]:g}; extend "
            "it."
        )
        raise FitError(message)
    most = np.maximum(observed, 1.0)
    variance = np.maximum(squares / most - (sums / most) ** 2, 0.0)
    kept = tuple(
        j for j in range(q) if variance[j] > _FLAT**2 or not design.droppable[j]
    )
    if not kept:
        message = "Every column of the embedding is constant; train the network longer."
        raise FitError(message)
    names = [design.names[j] for j in kept]
    rows = list(kept)
    mean, std = _locations(observed[rows], sums[rows], squares[rows], names)
    half, center = np.asarray(design.half)[rows], np.asarray(design.center)[rows]
    scale = Standardisation(center + half * mean, half * std, n)
    width = len(kept) + (design.family == "logistic")
    options = _options(design, n, len(kept), width)
    state = HeadState(
        "score", n, events, kept, scale, options, start(width), deaths=deaths
    )
    if died is None:
        return state
    return replace(state, observed=observed[rows], died=died[rows])


def _locations(
    counts: Floats, sums: Floats, squares: Floats, names: Sequence[str]
) -> tuple[Floats, Floats]:
    """Return mean and deviation of each column over the patients who have it."""
    if np.ptp(counts) == 0:
        found = combine([np.concatenate([counts[:1], sums, squares])], 0.0, names)
        return found.mean, found.std
    each = [
        combine([np.array(moments)], 0.0, [name])
        for name, *moments in zip(names, counts, sums, squares, strict=True)
    ]
    return (
        np.concatenate([one.mean for one in each]),
        np.concatenate([one.std for one in each]),
    )


def _options(design: Fixed, n: int, penalised: int, width: int) -> NewtonOptions:
    """Return the penalties of the standardised columns; none of an intercept."""
    whole = lifelines_penalty(design.penalizer, n)
    ridge, lasso = whole * (1 - design.l1_ratio), whole * design.l1_ratio
    free = (0.0,) * (width - penalised)
    return NewtonOptions(
        ridge=(*[ridge] * penalised, *free),
        lasso=(*[lasso] * penalised, *free),
        tolerance=design.tolerance,
        # the ungrouped sums of a pooled fit are an evaluation as well (rule 19)
        max_evaluations=design.max_evaluations - (not design.cox.by_site),
        precision=max(design.precision, design.step),
        parts=design.parts,
    )


def _step(design: Fixed, state: HeadState, total: Floats) -> HeadState:
    if state.newton is None or state.options is None or state.deaths is None:
        message = "The fit was not begun."
        raise InputError(message)
    names = state.names(design)
    pooled, options = None, state.options
    if design.cox.by_site:
        sums = LikelihoodSums.from_vector(total, len(names))
    else:
        cox = design.cox
        pooled = GridTotals.from_vector(total, cox.cells, len(names))
        sums = pooled.likelihood(state.newton.trial, state.deaths, cox.ties)
        if state.newton.evaluations == 0:
            spread = _spread(pooled, state.deaths)
            options = replace(options, precision=options.precision * spread)
    newton = update(state.newton, sums, options, names)
    phase: Phase = following(design)[0] if newton.converged else "score"
    return replace(state, phase=phase, options=options, newton=newton, pooled=pooled)


def _spread(totals: GridTotals, deaths: Ints) -> float:
    """How much more a score from rounded sums is off than a rounded score.

    An interval's sums enter with its hazard, those of columns and of ones alike.
    """
    hazard = totals.draws(deaths, "breslow").a
    return math.sqrt(1 + 4 * math.fsum((hazard * hazard).tolist()))
