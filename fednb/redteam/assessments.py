"""Attacks on assessments: figures of models and cohorts of the requester's choice."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from fednb.privacy.egress import outputs_of
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.edges import FIXED_BINS
from fednb.records.specs import SplitSpec
from fednb.redteam import peers
from fednb.redteam.outcome import CLOSE, FEDNB, Attack, Outcome, beyond
from fednb.redteam.people import COLUMNS, RARE, TOP, people
from fednb.redteam.world import SIZES, THREE
from fednb.survival.assessing import model_terms
from fednb.survival.assessment import AssessmentDesign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.redteam.people import People
    from fednb.redteam.world import World

    Floats = NDArray[np.float64]
    Blocks = dict[str, Floats]

COVARIATES: Final = ("age", "volume")
COEFFICIENTS: Final = (0.05, 0.02)
CENTER: Final = (55.0, 48.0)
LABELS: Final = next(c.levels for c in COLUMNS if c.name == "diagnosis")
WAVES: Final = range(36, 52)
"""Of so many sixtieths of the patients, one after the other, cohorts are made."""

STAGES: Final = ("risk", "joint")
SHIFTS: Final = (0.0, 0.4, 0.8)
FINE: Final = tuple(i / 1000 for i in range(1, 1000))
BINS: Final = (20, 10, 5, 19, 23, 400)
SPREAD: Final = 1.0
"""Of the scores, about; what is wider than a share of it tells of nobody."""
LIFT: Final = 16.0
"""Log odds by which a column moves the one patient who stands out in it."""

_MORE = "Assess one model on cohorts of n and n + 1 patients; subtract the losses."
_SWEEP = "Sweep the thresholds of a decision curve, and the intercept of the model."
_BINS = "Count outcomes by ever other bins of the score, as calibration does."
_NESTED = "Assess subgroups of one patient, and what they leave of the total."
_ALONE = "Assess a model that moves one patient alone, and the same without it."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    more, sweep, bins, nested, alone = NAMES
    return (
        Attack(more, FEDNB, _MORE, lambda rng: _one_more(world, rng)),
        Attack(more, peers.PLAIN, _MORE, _one_more_peer),
        Attack(sweep, FEDNB, _SWEEP, lambda rng: _thresholds(world, rng)),
        Attack(sweep, peers.PLAIN, _SWEEP, _thresholds_peer),
        Attack(bins, FEDNB, _BINS, lambda rng: _bins(world, rng)),
        Attack(bins, peers.PLAIN, _BINS, _bins_peer),
        Attack(nested, FEDNB, _NESTED, lambda rng: _subgroups(world, rng)),
        Attack(nested, peers.PLAIN, _NESTED, _subgroups_peer),
        Attack(alone, FEDNB, _ALONE, lambda rng: _lifted(world, rng)),
        Attack(alone, peers.PLAIN, _ALONE, _lifted_peer),
    )


NAMES: Final = (
    "difference of two assessments",
    "threshold sweep of a decision curve",
    "sliding bins of a calibration",
    "nested subgroups of an assessment",
    "assessment of one patient's score",
)


def _plan(share: float = 1.0, **changes: Any) -> AssessmentPlan:  # noqa: ANN401
    """Return an assessment of a model of age and volume on some of the patients."""
    split = SplitSpec(train=share, validation=0.0, test=1.0 - share)
    names = changes.pop("names", COVARIATES)
    numbers = changes.pop("numbers", COEFFICIENTS)
    center = (*CENTER, 0.0)[: len(names)]
    shift = changes.pop("shift", 0.0)
    model = FixedModel("logistic", numbers, names, center, shift)
    fields = {"target": "death", "on": "train", "split": split, **changes}
    return AssessmentPlan(model, **fields)


def _assess(
    world: World, plan: AssessmentPlan, bins: int = FIXED_BINS
) -> tuple[Blocks, Blocks]:
    """Return the first totals over three sites; nothing where one refuses."""
    contract = _with_bins(world.coordinator.contract(plan, THREE), plan, bins)
    plan = msgspec.structs.replace(plan, bins=bins)
    if not world.coordinator.obtain(contract):
        return {}, {}
    totals = world.coordinator.fit(contract, len(STAGES))
    # laid out by hand: who reads it need not have been allowed to ask
    levels = tuple((name, label) for name in plan.subgroups for label in LABELS)
    terms = model_terms(plan.model, contract.columns)
    design = AssessmentDesign(plan, (), levels, tuple(plan.needs()), terms=terms)
    found = [
        dict(design.layout(name).split(total))
        for name, total in zip(STAGES, totals, strict=False)
    ]
    return (found[0], found[1]) if len(found) == len(STAGES) else ({}, {})


def _with_bins(contract: Contract, plan: AssessmentPlan, bins: int) -> Contract:
    """Return the contract with another number of bins, and the outputs it needs."""
    steps = (msgspec.structs.replace(plan, bins=bins),)
    outputs = outputs_of(
        steps,
        parameters={},
        privacy=contract.privacy,
        sites=len(contract.participants),
        calls=contract.resources.calls,
        vectors_of=lambda _spec, _parameters: {},
    )
    return msgspec.structs.replace(contract, steps=steps, outputs=outputs)


def _scores(x: Floats) -> Floats:
    return np.asarray((x - np.asarray(CENTER)) @ np.asarray(COEFFICIENTS))


def _truth(world: World) -> Floats:
    """Return score and outcome of every patient, shape (n, 2)."""
    rows = world.numbers(*COVARIATES, "death")
    return np.column_stack([_scores(rows[:, :2]), rows[:, 2]])


def _decoys(rng: np.random.Generator, n: int) -> Floats:
    return _of(people(rng, n))


def _of(found: People) -> Floats:
    return np.column_stack([_scores(found.x), found.event])


def _judge(claims: Sequence[tuple[float, float]], truth: Floats, rng: Any) -> int:  # noqa: ANN401
    made = np.asarray(claims, dtype=np.float64).reshape(-1, 2)
    return beyond(made, truth, _decoys(rng, len(truth)))


def _one_patient(loss: float, square: float) -> list[tuple[float, float]]:
    """Return the scores, with outcomes, whose log-loss and Brier score these are."""
    if not 0 < square < 1 or loss <= 0:
        return []
    chance = 1 - np.sqrt(square)
    score = float(np.log(chance / (1 - chance)))
    return [(score, 1.0), (-score, 0.0)]


def _one_more(world: World, rng: np.random.Generator) -> Outcome:
    """Let the split take one patient more a time: each step at one site, mostly."""
    claims: list[tuple[float, float]] = []
    before: Floats | None = None
    answered = 0
    for k in WAVES:
        _, joint = _assess(world, _plan(k / SIZES["a"]))
        if not joint:
            continue
        answered += 1
        if before is not None:
            claims += _one_patient(*(joint["losses"] - before).tolist())
        before = joint["losses"]
    truth = _truth(world)
    note = f"{answered} of {len(WAVES)} cohorts were answered"
    return Outcome(_judge(claims, truth, rng), len(truth), note=note)


def _one_more_peer(rng: np.random.Generator) -> Outcome:
    found = people(rng, SIZES["a"])
    truth = _of(found)
    claims: list[tuple[float, float]] = []
    for k in range(peers.LEAST[peers.PLAIN], found.n):
        less, more = (peers.losses(truth[:n, 0], truth[:n, 1]) for n in (k, k + 1))
        if less is not None and more is not None:
            claims += _one_patient(*(more - less).tolist())
    return Outcome(_judge(claims, truth, rng), len(truth), note="score and outcome")


def _corners(cells: Floats, score: Floats) -> list[tuple[float, float]]:
    """Return the scores at which the counts of a class change their course.

    Cells that are wider than what counts as recovered tell of nobody.

    Parameters
    ----------
    cells
        Counts by class, shape (2, c).
    score
        In the middle of each cell, shape (c,).
    """
    found = []
    narrow = np.gradient(score) <= 2 * CLOSE * SPREAD
    for outcome, row in enumerate(cells):
        course = np.abs(np.diff(row)) > 1e-6
        # a count's last cell, and its first, are where a patient lies
        places = np.flatnonzero(np.append(course, False) | np.insert(course, 0, False))
        found += [(float(score[j]), float(outcome)) for j in places if narrow[j]]
    return found


def _between_thresholds(shift: float) -> Floats:
    edges = np.array([0.0, *FINE, 1.0])
    middle = (edges[1:] + edges[:-1]) / 2
    return np.asarray(np.log(middle / (1 - middle)) - shift)


def _thresholds(world: World, rng: np.random.Generator) -> Outcome:
    claims: list[tuple[float, float]] = []
    answered = 0
    for shift in SHIFTS:
        _, joint = _assess(world, _plan(shift=shift, thresholds=FINE))
        answered += bool(joint)
        score = _between_thresholds(shift)
        claims += _corners(joint["cells"], score) if joint else []
    truth = _truth(world)
    note = f"{answered} of {len(SHIFTS)} curves were answered, {len(claims)} corners"
    return Outcome(_judge(claims, truth, rng), len(truth), note=note)


def _thresholds_peer(rng: np.random.Generator) -> Outcome:
    truth = _of(people(rng, SIZES["a"]))
    cells = peers.decision_cells(truth[:, 0], truth[:, 1], FINE)
    score = _between_thresholds(0.0)
    claims = _corners(cells, score) if cells is not None else []
    return Outcome(_judge(claims, truth, rng), len(truth), note="score and outcome")


def _within_bins(bins: int, mean: float, std: float) -> Floats:
    shares = [(k + 0.5) / bins for k in range(bins)]
    return np.array([NormalDist(mean, std).inv_cdf(share) for share in shares])


def _bins(world: World, rng: np.random.Generator) -> Outcome:
    """Count by ever other bins; those that no honest draft has are written by hand."""
    claims: list[tuple[float, float]] = []
    answered = 0
    for bins in BINS:
        risk, joint = _assess(world, _plan(), bins=bins)
        if not joint:
            continue
        answered += 1
        n, _, total, squares = risk["spread"].tolist()
        mean = total / n
        score = _within_bins(bins, mean, float(np.sqrt(squares / n - mean**2)))
        claims += _corners(joint["table"].sum(axis=1), score)
    truth = _truth(world)
    note = f"{answered} of {len(BINS)} numbers of bins were answered"
    return Outcome(_judge(claims, truth, rng), len(truth), note=note)


def _bins_peer(rng: np.random.Generator) -> Outcome:
    truth = _of(people(rng, SIZES["a"]))
    mean, std = float(truth[:, 0].mean()), float(truth[:, 0].std())
    score = _within_bins(BINS[-1], mean, std)
    edges = (score[1:] + score[:-1]) / 2
    chances = (1 / (1 + np.exp(-edges))).tolist()
    cells = peers.decision_cells(truth[:, 0], truth[:, 1], chances)
    claims = _corners(cells, score) if cells is not None else []
    return Outcome(_judge(claims, truth, rng), len(truth), note="score and outcome")


def _subgroups(world: World, rng: np.random.Generator) -> Outcome:
    """Read single patients off a subgroup's row, or off what rows leave of a total."""
    del rng
    risk, joint = _assess(world, _plan(subgroups=("diagnosis",)))
    rows = joint.get("levels", np.zeros((len(LABELS), 2)))[:, :2]
    told = rows[[label in RARE for label in LABELS]]
    # one patient a label and site; a row that is shown tells their outcomes
    hits = int(told[np.abs(told[:, 0]) >= 1, 0].sum())
    left = risk["spread"][:2] - rows.sum(axis=0) if risk else np.zeros(2)
    tried = len(RARE) * len(THREE)
    if round(left[0]) == tried and not np.isin(risk["spread"][0], range(0, 10**6, 10)):
        hits = tried
    note = f"{left[0]:.0f} patients and {left[1]:.0f} deaths are left of the total"
    return Outcome(min(hits, tried), tried, note=note)


def _subgroups_peer(rng: np.random.Generator) -> Outcome:
    found = people(rng, SIZES["a"])
    labels = np.full(found.n, "glioma", dtype=object)
    labels[: len(RARE)] = RARE
    hits = 0
    for label, real in zip(RARE, found.event, strict=False):
        told = peers.subgroup(labels == label, found.event)
        rest = peers.subgroup(labels != label, found.event)
        whole = peers.subgroup(labels != "", found.event)
        if told is None and rest is not None and whole is not None:
            told = whole - rest
        hits += told is not None and told[0] == 1 and told[1] == real
    return Outcome(hits, len(RARE), note="outcome of a label's only patient")


def _lifted(world: World, rng: np.random.Generator) -> Outcome:
    """Lift the one patient a site who holds a column; the losses tell the outcome."""
    del rng
    found = []
    for lift in (0.0, LIFT):
        names, numbers = (*COVARIATES, "cost"), (*COEFFICIENTS, lift / TOP)
        _, joint = _assess(world, _plan(names=names, numbers=numbers))
        found += [joint["losses"][0]] if joint else []
    if len(found) < 2:
        return Outcome(0, len(THREE), note=f"{len(found)} of 2 models were assessed")
    alive = round(float(found[1] - found[0]) / LIFT)
    real = [_alive(world, site) for site in THREE]
    # all alike: the outcome of each is told; otherwise how many
    told = alive in {0, len(THREE)} and alive == sum(real)
    hits = len(THREE) if told else 0
    return Outcome(hits, len(THREE), note=f"{alive} of them are said to live")


def _alive(world: World, site: str) -> bool:
    """Whether the patient lives who stands out in a site's costs."""
    rows = world.tables[site]
    return bool(rows.loc[rows["cost"].idxmax(), "death"] == 0)


def _lifted_peer(rng: np.random.Generator) -> Outcome:
    hits = 0
    for _ in range(len(SIZES)):
        truth = _of(people(rng, SIZES["a"]))
        moved = truth[:, 0].copy()
        moved[0] += LIFT
        before, after = (peers.losses(s, truth[:, 1]) for s in (truth[:, 0], moved))
        if before is not None and after is not None:
            alive = (after - before)[0] > LIFT / 2
            hits += alive == (truth[0, 1] == 0)
    return Outcome(hits, len(SIZES), note="outcome of one patient a site")
