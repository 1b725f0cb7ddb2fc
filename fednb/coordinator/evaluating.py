"""From a finished model to its report: at sites old or new, or with sites left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from fednb.coordinator.contracting import TERMS, participants
from fednb.errors import PlanError, UnknownNameError
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.heads import CoxPlan, HeadPlan
from fednb.results.embedding import EmbeddingResult
from fednb.results.heads import HeadResult
from fednb.results.survival import CoxResult, LogisticResult
from fednb.survival.assessing import written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fednb.coordinator.handles import Request
    from fednb.records.specs import EmbeddingRef, Plan
    from fednb.results.assessment import EvaluationReport

PURPOSE = "Evaluation of a finished model"
LEAST_FOLDS = 4
LEAST_GROUP = 3
_OF_ASKED = frozenset({"purpose", "timeout"})
_FIELDS = frozenset(AssessmentPlan.__struct_fields__) - {"model"}


class Asker(Protocol):
    """What makes a request; a federation does."""

    def request(
        self,
        plan: Plan,
        *,
        dataset: str = "",
        purpose: str = "",
        sites: Sequence[str] | None = None,
        **terms: Any,  # noqa: ANN401
    ) -> Request:
        """Ask every site that has the dataset to approve a plan."""


@dataclass(frozen=True)
class Asked:
    """Of whom an evaluation is asked.

    Attributes
    ----------
    dataset, purpose, sites
        As for ``fed.request``.
    timeout
        Seconds to wait for the owners; None: without end.
    """

    dataset: str
    purpose: str
    sites: tuple[str, ...] | None
    timeout: float | None = None

    @classmethod
    def of(
        cls, dataset: str, sites: Sequence[str] | None, settings: Mapping[str, Any]
    ) -> Asked:
        """Return what `settings` say of ``purpose`` and ``timeout``, or the usual."""
        return cls(
            dataset,
            settings.get("purpose", PURPOSE),
            participants(sites),
            settings.get("timeout"),
        )

    def run(self, fed: Asker, plan: Plan, terms: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Request a plan, wait for its approval, run it, and return its result."""
        request = fed.request(
            plan,
            dataset=self.dataset,
            purpose=self.purpose,
            sites=self.sites,
            **terms,
        )
        return request.wait(self.timeout).start().result()


def evaluate(
    fed: Asker, model: object, asked: Asked, settings: Mapping[str, Any]
) -> EvaluationReport:
    """Return the report of a finished model.

    Parameters
    ----------
    fed
        Makes the request.
    model
        `FixedModel`, or the result of a head or of an `EmbeddingPlan` (whose network's
        score is assessed: log odds, or of a survival network a log hazard).
    asked
        Of whom.
    settings
        Fields of `AssessmentPlan` (on, times, at, baseline, subgroups, ...); terms of
        ``fed.request``; ``purpose``; ``timeout`` in seconds; and ``embedding``, the
        result on which a head was fitted.

    Raises
    ------
    PlanError, UnknownNameError
        The model cannot be assessed as asked; nobody was asked.
    RunError, RefusedError
        An owner denied, or a site refused.
    """
    chosen = {k: v for k, v in settings.items() if k not in _OF_ASKED}
    terms = _terms(chosen)
    chosen = {k: v for k, v in chosen.items() if k not in terms}
    embedding = getattr(chosen.pop("embedding", None), "ref", None)
    for name in chosen:
        if name not in _FIELDS:
            kind = "setting of an evaluation"
            known = {*_FIELDS, *TERMS, *_OF_ASKED, "embedding"}
            raise UnknownNameError(kind, name, known)
    trained = tuple(getattr(model, "sites", ()))
    # at sites that had no part in the fit, nobody has to be set aside
    apart = bool(trained) and set(asked.sites or trained).isdisjoint(trained)
    # nor where the fit took everybody and was evaluated on them
    apart = apart or getattr(model, "evaluated_on", "") == "all"
    chosen.setdefault("on", "all" if apart else "test")
    learned = model.survival if isinstance(model, EmbeddingResult) else None
    if learned is not None:
        chosen = {"duration": learned.duration, "event": learned.event} | chosen
    elif isinstance(model, CoxResult):
        chosen = {"duration": model.duration, "event": model.event} | chosen
    elif isinstance(model, LogisticResult):
        chosen = {"target": model.target} | chosen
    plan = AssessmentPlan(fixed_model(model, embedding), **chosen)
    report: EvaluationReport = asked.run(fed, plan, terms)
    return replace(report, trained=trained)


def _terms(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms of a request among `settings`."""
    return {str(name): settings[name] for name in TERMS if name in settings}


def fixed_model(model: object, embedding: EmbeddingRef | None = None) -> FixedModel:
    """Return a finished model as the numbers that a contract carries.

    Parameters
    ----------
    model
        As for `evaluate`.
    embedding
        On which a head was fitted.

    Raises
    ------
    PlanError
        It is no finished model, or a head on embeddings that are not given.
    """
    if isinstance(model, FixedModel):
        return model
    if isinstance(model, EmbeddingResult):
        family: Literal["cox", "logistic"] = "cox" if model.survival else "logistic"
        return FixedModel(family, (1.0,), embedding=model.ref, features="score")
    if not isinstance(model, HeadResult):
        message = (
            "An evaluation needs a FixedModel or the result of a CoxPlan, LogisticPlan "
            f"or EmbeddingPlan; got {type(model).__name__}."
        )
        raise PlanError(message)
    if isinstance(model, CoxResult) and model.steps:
        message = (
            "Effects of this fit change with time, so no patient has one score to "
            "assess. Evaluate a fit without time_varying."
        )
        raise PlanError(message)
    fit = model.estimate
    names, values = list(fit.names), fit.coefficients.tolist()
    center, intercept = [0.0] * len(names), 0.0
    if isinstance(model, LogisticResult):
        names, center, intercept = names[:-1], center[:-1], values.pop()
    elif isinstance(model, CoxResult):
        center = model.estimate.center.tolist()
    expanded = model.terms.names() if model.terms is not None else ()
    units = names[: len(names) - len(expanded)]
    read = _read_from(units, embedding)
    return FixedModel(
        family="logistic" if isinstance(model, LogisticResult) else "cox",
        coefficients=tuple(values),
        center=tuple(center),
        intercept=intercept,
        embedding=read,
        features=_features(units),
        **written(model.terms),
    )


def _read_from(units: list[str], embedding: EmbeddingRef | None) -> EmbeddingRef | None:
    """Return the embeddings that a head reads; None where it reads none."""
    if not units:
        return None
    if embedding is None:
        message = (
            f"The model reads {', '.join(units)}: say of which embeddings, "
            "embedding=... (the result of the EmbeddingPlan)."
        )
        raise PlanError(message)
    if units not in (["score"], [f"unit_{j}" for j in range(embedding.width)]):
        message = (
            f"The model reads {len(units)} of {embedding.width} embedding columns; one "
            "with columns left out cannot be assessed. Fit on the score."
        )
        raise PlanError(message)
    return embedding


def _features(units: list[str]) -> Literal["embedding", "score", "none"]:
    if not units:
        return "none"
    return "score" if units == ["score"] else "embedding"


def folds_of(
    sites: Sequence[str],
    groups: Sequence[Sequence[str]] | None,
    profile: str,
) -> tuple[tuple[str, ...], ...]:
    """Return the sites that each fold leaves out, where rule 11 allows it.

    Parameters
    ----------
    sites
        All that take part.
    groups
        Sites to leave out together; None: each by itself.
    profile
        Disclosure profile of the contracts.

    Raises
    ------
    PlanError
        Too few sites, groups that overlap, or folds whose fits may not leave.
    UnknownNameError
        A group names another site.
    """
    chosen = tuple(tuple(g) for g in groups or [(site,) for site in sorted(sites)])
    named = [site for group in chosen for site in group]
    for site in named:
        if site not in sites:
            raise UnknownNameError("site", site, sites)
    if len(sites) < LEAST_FOLDS or len(named) != len(set(named)) or not all(chosen):
        message = (
            f"Leaving sites out needs at least {LEAST_FOLDS} sites, and groups that do "
            f"not overlap; got {len(sites)} sites and the groups {list(chosen)}."
        )
        raise PlanError(message)
    least = min(min(len(g), len(sites) - len(g)) for g in chosen)
    if profile != "open" and least < LEAST_GROUP:
        message = (
            f"Under the {profile} profile the fit of a fold may not leave: compared "
            "with the fit at all sites it tells the part of the one left out, so two "
            f"answered sets of sites differ by none or by at least {LEAST_GROUP} "
            "(disclosure rule 11), and as many must remain. Leave groups of at least "
            f"{LEAST_GROUP} sites out with groups=[[...], ...], or evaluate at sites "
            "that never trained."
        )
        raise PlanError(message)
    return chosen


def leave_sites_out(
    fed: Asker,
    plan: Plan,
    asked: Asked,
    settings: Mapping[str, Any],
) -> dict[str, EvaluationReport]:
    """Fit a head without some sites and evaluate it there, for each fold.

    Parameters
    ----------
    fed
        Makes the requests.
    plan
        A `CoxPlan` or `LogisticPlan` on covariates.
    asked
        Of whom; its sites are all that take part.
    settings
        As for `evaluate`, and ``groups``: sites to leave out together, at least three
        where the profile is not the open one; none: each by itself.

    Returns
    -------
    dict
        A report a fold, by the names of the sites left out.

    Raises
    ------
    PlanError
        The plan is no head on covariates alone, or `folds_of` refuses.
    """
    if not isinstance(plan, HeadPlan) or plan.embedding is not None:
        message = (
            "Sites are left out of a CoxPlan or LogisticPlan on covariates: a network "
            "that saw the site left out would have to be trained anew for each fold."
        )
        raise PlanError(message)
    sites = tuple(asked.sites or ())
    chosen = dict(settings)
    groups = chosen.pop("groups", None)
    folds = folds_of(sites, groups, str(settings.get("profile", "standard")))
    terms = _terms(settings)
    whole = msgspec.structs.replace(plan, fit_on="all", evaluate_on="none")
    outcome = ("duration", "event") if isinstance(plan, CoxPlan) else ("target",)
    chosen = {name: getattr(plan, name) for name in outcome} | chosen
    found = {}
    for fold in folds:
        kept = tuple(s for s in sites if s not in fold)
        fitted = replace(asked, sites=kept).run(fed, whole, terms)
        there = replace(asked, sites=fold)
        found[", ".join(fold)] = evaluate(fed, fitted, there, chosen)
    return found
