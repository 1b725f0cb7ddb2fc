"""Plans in plain words, for somebody who decides whether they may run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from fednb.display.text import counted, human_count
from fednb.records.assessment import AssessmentPlan
from fednb.records.curves import SurvivalPlan
from fednb.records.formula import term_text
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import SplitSpec
from fednb.records.tasks import (
    DescribePlan,
    EmbeddingPlan,
    EvaluationPlan,
    ModelRef,
    StatisticsPlan,
    TrainingPlan,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fednb.records.base import Record
    from fednb.records.heads import HeadPlan
    from fednb.records.outcomes import Survival
    from fednb.records.tasks import AnyPlan

_SPLITS = {
    "train": "the training patients",
    "validation": "the validation patients",
    "test": "the test patients",
    "all": "all patients",
    "none": "nobody",
}


@dataclass(frozen=True)
class PlanWords:
    """A plan in plain words.

    Attributes
    ----------
    title
        A few words.
    sentence
        What the site would do, and on which columns and patients.
    arguments
        Every field of the plan, defaults included, in the order of the record.
    """

    title: str
    sentence: str
    arguments: tuple[tuple[str, str], ...]


def plan_words(plan: AnyPlan, parameters: int = 0) -> PlanWords:
    """Return a plan in plain words. Nothing in it is escaped yet.

    Parameters
    ----------
    plan
        Any plan of a contract.
    parameters
        Number of weights of the network that the step trains or uses; 0 if unknown.
    """
    title, say = _WORDS[type(plan)]
    sentence = say(plan)
    if parameters:
        sentence += f" The network has {human_count(parameters)} weights."
    arguments = tuple(
        (name, _value(getattr(plan, name))) for name in plan.__struct_fields__
    )
    return PlanWords(title, sentence, arguments)


def _describe(plan: DescribePlan) -> str:
    """Say who is counted; nothing is left open in a contract."""
    parts = ["all patients"]
    if plan.columns:
        parts.append(f"those with a value in {_listed(plan.columns)}")
    if plan.modalities:
        parts.append(f"those with a volume of {_listed(plan.modalities)}")
    rounded = "Unless the profile is open, counts are rounded."
    return f"Count {'; '.join(parts)}. {rounded}"


def _statistics(plan: StatisticsPlan) -> str:
    by = f", for each level of {plan.by}" if plan.by else ""
    return (
        f"Compute means, spreads, quantiles, histograms and counts of "
        f"{_listed(plan.columns)}{by}."
    )


def _training(plan: TrainingPlan) -> str:
    also = f" and the columns {_listed(plan.covariates)}" if plan.covariates else ""
    channels = _listed(plan.modalities) if plan.modalities else "all modalities"
    rounds, epochs = counted(plan.rounds, "round"), counted(plan.local_epochs, "epoch")
    survival = "" if plan.survival is None else f" {_loss(plan.survival)}"
    if plan.loss is not None:
        survival = f" The loss is the requester's own, {plan.loss.name}."
    return (
        f"Train the network {plan.network.name} to predict {plan.target} from "
        f"{channels}{also}, in {rounds} of {epochs} each, "
        f"with the strategy {plan.strategy.name}.{survival}{_private(plan)}"
    )


def _private(plan: TrainingPlan) -> str:
    """Return what differential privacy does to each patient's part, if it is on."""
    dp = plan.dp
    if dp is None:
        return ""
    return (
        f" Each of the {dp.steps * plan.rounds} steps draws a patient with probability "
        f"{dp.sampling_rate:g}, clips the patient's gradient to norm "
        f"{dp.max_grad_norm:g} and adds noise of {dp.noise_multiplier:g} times that "
        "norm, drawn from this site's secret. Whoever sees all that leaves can tell "
        "little of one training patient: differential privacy with epsilon "
        f"{dp.epsilon:g} at delta {dp.delta:g}, spent from the requester's budget on "
        "this dataset."
    )


def _loss(survival: Survival) -> str:
    """Return what becomes of follow-up times."""
    merged = (
        f"Follow-up times are replaced by {len(survival.intervals)} intervals, merged "
        "until each holds enough of the site's own exits."
    )
    return {
        "deep-cox": "The loss is the partial likelihood of all sites together: each "
        "round begins with a sum over sites of hazards at risk, hazards of deaths and "
        f"numbers of deaths in each interval. {merged}",
        "partial-likelihood": "The loss is the partial likelihood of each site by "
        "itself; times are used at the site alone.",
        "discrete-time": f"The loss is that of deaths within intervals. {merged}",
    }[survival.loss]


def _evaluation(plan: EvaluationPlan) -> str:
    return (
        f"Score {_SPLITS[plan.split]} with the trained network, and report how "
        f"well it predicts {plan.model.training.target}."
    )


def _embedding(plan: EmbeddingPlan) -> str:
    return (
        "Compute each patient's embedding and score with the network trained for "
        f"{plan.model.training.target}. They stay at the site."
    )


def _cox(plan: CoxPlan) -> str:
    return (
        f"Fit a Cox survival model of {plan.duration} and {plan.event} on "
        f"{_features(plan)}, {_who(plan)}.{_cox_details(plan)}{_fit_details(plan)}"
    )


def _cox_details(plan: CoxPlan) -> str:
    """Say where risk sets lie, who counts how much, and what leaves beside the fit."""
    columns = plan.strata_columns
    within = f" and of {_listed(columns)}" if columns else ""
    ends = ", ".join(f"{end:g}" for end in plan.grid)
    if plan.by_site:
        found = f" Risk sets stay within the site{within}." if columns else ""
        if plan.grid:
            found += f" Hazard sums of intervals that end at {ends} leave once."
    else:
        found = (
            f" Times are replaced by intervals that end at {ends}; sums of each "
            "interval's risk set and deaths are added up over all sites"
            f"{f', in strata of {_listed(columns)}' if columns else ''}."
        )
    if plan.weights:
        found += f" Patients count with the weight in {plan.weights}."
    if plan.entry:
        found += f" They are at risk after {plan.entry} only."
    if plan.time_varying:
        found += f" Effects change with time: {_steps(plan)}."
    if plan.ph_test != "none":
        found += " A test of proportional hazards takes one round more."
    return found + (" Robust errors take one round more." if plan.robust else "")


def _steps(plan: CoxPlan) -> str:
    return ", ".join(
        f"{name} at {', '.join(f'{time:g}' for time in times)}"
        for name, times in plan.time_varying.items()
    )


def _fit_details(plan: HeadPlan) -> str:
    """Say how labels are coded."""
    coded = [
        f"{name}: {', '.join(levels)}"
        for name, levels in plan.levels.items()
        if len(levels)
    ]
    return f" Levels, the reference first: {'; '.join(coded)}." if coded else ""


def _logistic(plan: LogisticPlan) -> str:
    return (
        f"Fit a logistic model of {plan.target} on {_features(plan)}, {_who(plan)}."
        f"{_fit_details(plan)}"
    )


def _assessment(plan: AssessmentPlan) -> str:
    read = {
        "embedding": ("the embeddings at the site",),
        "score": ("the network's scores at the site",),
    }.get(plan.features, ())
    model = "Cox survival" if plan.model.family == "cox" else "logistic"
    outcome = (plan.duration, plan.event) if plan.duration else (plan.target,)
    also = f", also by {_listed(plan.subgroups)}" if plan.subgroups else ""
    step = plan.model.step
    numbers = "Its coefficients are listed below."
    if step is not None:
        numbers = (
            f"It is the model that step {step + 1} fits: the site works its "
            "coefficients out by itself from the totals of that fit."
        )
    return (
        f"Apply a finished {model} model of {_listed((*read, *plan.model.shown()))} "
        f"to {_whom(plan)}, and report how well it predicts "
        f"{_listed(outcome)}{also}. {numbers}"
    )


def _survival(plan: SurvivalPlan) -> str:
    by = f", for each level of {plan.by}" if plan.by else ""
    late = f" Patients count from their {plan.entry} on." if plan.entry else ""
    return (
        f"Count by interval of {plan.duration} how many patients are at risk and have "
        f"{_listed(plan.causes)}{by}, and compare the groups within the site. Unless "
        "the profile is open, times are merged until each interval holds enough "
        f"patients, and counts are rounded.{late}"
    )


def _whom(plan: AssessmentPlan) -> str:
    return _SPLITS[plan.on]


_WORDS: dict[type, tuple[str, Callable[[Any], str]]] = {
    DescribePlan: ("Describe the dataset", _describe),
    StatisticsPlan: ("Aggregate statistics", _statistics),
    TrainingPlan: ("Train a network", _training),
    EvaluationPlan: ("Evaluate a network", _evaluation),
    EmbeddingPlan: ("Compute embeddings", _embedding),
    AssessmentPlan: ("Assess a finished model", _assessment),
    CoxPlan: ("Fit a Cox model", _cox),
    LogisticPlan: ("Fit a logistic model", _logistic),
    SurvivalPlan: ("Survival curves", _survival),
}


def _features(plan: HeadPlan) -> str:
    parts = {
        "embedding": ["the embeddings at the site"],
        "score": ["the network's scores at the site"],
        "none": [],
    }[plan.features]
    return _listed((*parts, *map(term_text, plan.terms())))


def _who(plan: HeadPlan) -> str:
    fitted = f"using {_SPLITS[plan.fit_on]}"
    if plan.evaluate_on == "none":
        return f"{fitted}, without an evaluation"
    return f"{fitted}, and evaluate it on {_SPLITS[plan.evaluate_on]}"


def _listed(names: tuple[str, ...]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _value(value: object) -> str:
    """Return one argument as text, records with their fields."""
    if isinstance(value, ModelRef):
        return f"weights {value.sha256}, trained by {_record(value.training)}"
    if isinstance(value, SplitSpec):
        return (
            f"as the column {value.column} says"
            if value.column
            else (
                f"train {value.train:g}, validation {value.validation:g}, "
                f"test {value.test:g}, key {value.key}"
            )
        )
    if isinstance(value, dict):
        value = tuple(f"{key} ({_value(item)})" for key, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, msgspec.Struct):
        return _record(value)
    return "none" if value is None or value == "" else str(value)


def _record(value: Record | msgspec.Struct) -> str:
    fields: dict[str, object] = msgspec.structs.asdict(value)
    name = str(fields.pop("name", type(value).__name__))
    params = fields.pop("params", fields)
    given = params.items() if isinstance(params, dict) else ()
    inside = ", ".join(f"{key}={_value(item)}" for key, item in given)
    return f"{name}({inside})" if inside else name
