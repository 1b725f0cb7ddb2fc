"""What plans are made of: specs by name, splits, and the bases of all plans."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec

from fednb.errors import PlanError
from fednb.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Callable

Scalar = bool | int | float | str
Parameter = Scalar | list[Scalar] | None
Split = Literal["train", "validation", "test", "all"]
AUTO: Final = cast("Split", "auto")
"""Patients that a plan leaves open: settled where it is made, and in no contract."""

Device = Literal["auto", "cpu", "cuda"]
Needs = dict[str, tuple[Literal["number", "binary", "category"], ...]]
"""Column names, each with the kinds of column that a plan can use there."""
_NAMES: Final = (tuple[str, ...], tuple[str, ...] | None)
"""Types of a field for which one name may be given alone."""


class TransformSpec(Record, frozen=True):
    """A transform of the allow-list in `fednb.imaging.transforms`, by name.

    Examples
    --------
    >>> fednb.TransformSpec("RandFlip", {"prob": 0.5}).name
    'RandFlip'
    """

    name: str
    params: dict[str, Parameter] = {}


class ModelSpec(Record, frozen=True):
    """A network of the registry in `fednb.models`, by name and arguments.

    Examples
    --------
    >>> plan = fednb.TrainingPlan(fednb.ModelSpec("small-cnn-3d"), target="idh")
    >>> plan.network.name
    'small-cnn-3d'
    """

    name: str
    params: dict[str, Parameter] = {}


class StrategySpec(Record, frozen=True):
    """A strategy of `fednb.strategies`, by name and parameters."""

    name: str
    params: dict[str, Parameter] = {}


class SplitSpec(Record, frozen=True):
    """How a site splits its patients; the order comes from the site's secret salt.

    Attributes
    ----------
    train, validation, test
        Fractions; they sum to 1. Patients in `validation` are never trained on: live
        curves and survival heads use them.
    key
        Plans with the same key split the same way.
    column
        A category column that names each patient's part, for a split that is given;
        the fractions then do not count. Empty: the site draws.

    Examples
    --------
    >>> fednb.SplitSpec(0.7, 0.1, 0.2).train  # drawn at each site, by its own salt
    0.7
    >>> fednb.SplitSpec(column="split").column  # given, by a column of the table
    'split'
    """

    train: float = 0.6
    validation: float = 0.2
    test: float = 0.2
    key: str = "default"
    column: str = ""

    def __post_init__(self) -> None:
        """Refuse fractions that are negative or do not sum to 1."""
        parts = (self.train, self.validation, self.test)
        if min(parts) < 0 or abs(sum(parts) - 1) > 1e-9:
            message = f"Fractions of a split must sum to 1 and be >= 0; got {parts}."
            raise PlanError(message)


class EmbeddingRef(Record, frozen=True):
    """Embeddings that stay at the sites, named by the contract step that made them."""

    contract: str
    step: int
    width: int
    split: SplitSpec


class Plan(Record, frozen=True):
    """Base of all plans."""

    def dry_run(self, mock: Any) -> Any:  # noqa: ANN401
        """Run this plan on mock data, before anybody is asked.

        Parameters
        ----------
        mock
            ``site.datasets["..."].mock``.

        Returns
        -------
        result
            The same kind of result as a real run, marked as a dry run.
        """
        run: Callable[[Plan], object] | None = getattr(mock, "dry_run", None)
        if run is None:
            message = f"dry_run needs mock data, ds.mock; got {type(mock).__name__}."
            raise PlanError(message)
        return run(self)


class Phase(Record, frozen=True):
    """One kind of vector that a summed step asks its sites for.

    Attributes
    ----------
    name
        Names the output.
    elements
        Upper bound on the vector's length.
    times
        How often it may leave.
    """

    name: str
    elements: int
    times: int = 1


class SummedPlan(Plan, frozen=True):
    """Base of plans whose rounds bring totals, from which the next round follows.

    What comes next is a pure function of the totals so far; coordinator and sites
    replay it (disclosure rule 19). Its public half is in `fednb.survival.registry`,
    its site half in `fednb.site.tasks.summed`.
    """

    def phases(self) -> tuple[Phase, ...]:
        """Return every vector that may leave a site, in order."""
        raise NotImplementedError

    def needs(self) -> Needs:
        """Return the columns that the plan uses, with the kinds that it can use."""
        raise NotImplementedError

    def columns_used(self) -> tuple[str, ...]:
        """Return the columns that the plan uses, each once."""
        return tuple(self.needs())

    def most_rounds(self) -> int:
        """Return how many rounds the step has at most."""
        return sum(phase.times for phase in self.phases())


def typed(plan: Plan) -> None:
    """Hold a plan's fields against their types, where it is made.

    A list becomes a tuple, one name in place of several a tuple of it, and a number of
    numpy's a plain one.

    Raises
    ------
    PlanError
        Names the field, what it holds, and what belongs there.
    """
    kind = type(plan)
    types = _types(kind)
    values = {n: _plain(getattr(plan, n), wanted) for n, wanted in types.items()}
    try:
        # at once: plans are made anew wherever a contract is read
        right = msgspec.convert(values, _shape(kind))
    except (msgspec.ValidationError, TypeError):
        for name, wanted in types.items():
            _check_field(kind, name, values[name], wanted)
        raise
    for name in types:
        msgspec.structs.force_setattr(plan, name, getattr(right, name))


def _plain(value: Any, wanted: object) -> Any:  # noqa: ANN401  (what a caller gave)
    if wanted in _NAMES and isinstance(value, str) and value:
        return (value,)
    if isinstance(value, range):
        return tuple(value)
    if isinstance(value, dict):
        return {k: tuple(v) if isinstance(v, range) else v for k, v in value.items()}
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def _check_field(kind: type[Plan], name: str, value: object, wanted: object) -> None:
    try:
        msgspec.convert(value, wanted)
    except (msgspec.ValidationError, TypeError) as error:
        message = f"{kind.__name__}: {name}={value!r} is not possible. {error}."
        raise PlanError(message) from error


@lru_cache(maxsize=64)
def _types(kind: type[Plan]) -> dict[str, Any]:
    return {one.name: one.type for one in msgspec.structs.fields(kind)}


@lru_cache(maxsize=64)
def _shape(kind: type[Plan]) -> type[msgspec.Struct]:
    """Return a record of the same fields that checks nothing but types."""
    return msgspec.defstruct(kind.__name__, list(_types(kind).items()))


def deref(plan: Plan, field: str) -> None:
    """Replace a result in `field` by the reference that it carries."""
    value = getattr(plan, field)
    reference = getattr(value, "ref", None)
    if reference is not None:
        msgspec.structs.force_setattr(plan, field, reference)


def settle_embedding(plan: Any) -> None:  # noqa: ANN401  a head, defined above this
    """Replace the result of an `EmbeddingPlan` by its reference; refuse all else.

    Raises
    ------
    PlanError
        Says what was given in its place.
    """
    deref(plan, "embedding")
    if not isinstance(plan.embedding, EmbeddingRef | None):
        message = (
            "embedding is fednb.EMBEDDING, or the result of an EmbeddingPlan; got "
            f"{plan.embedding!r}. Columns go into covariates=[...]."
        )
        raise PlanError(message)


def settle_parts(plan: Any) -> None:  # noqa: ANN401  a head, defined above this
    """Say on which patients a head is fitted and evaluated, where it leaves that open.

    With embeddings, patients that no network was trained on, and the test patients;
    without, all patients, as lifelines fits and evaluates.
    """
    force = msgspec.structs.force_setattr
    alone = plan.embedding is None
    if plan.fit_on == AUTO:
        force(plan, "fit_on", "all" if alone else "validation")
    if plan.evaluate_on == AUTO:
        force(plan, "evaluate_on", "all" if alone and plan.fit_on == "all" else "test")
