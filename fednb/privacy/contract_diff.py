"""What changed between two contracts, and which way: an owner reads the difference.

Every field of a contract is compared, and each change is classified by what it means
for the patients of a site:

* ``"tightens"``: less leaves, or the same leaves under a stricter rule;
* ``"loosens"``: more may leave, it is hidden less, or nobody wrote down what the field
  means: what is unknown counts as loosening;
* ``"changes"``: something else is asked, neither less nor more.

Only a difference that tightens throughout may carry an approval over (law 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from fednb.privacy.profiles import PROFILES, at_least_as_strict
from fednb.records.code import Code
from fednb.records.tasks import DescribePlan, ModelRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fednb.records.contracts import Contract, OutputSpec
    from fednb.records.dp import DP
    from fednb.records.tasks import AnyPlan

Effect = Literal["tightens", "loosens", "changes"]
Rule = Callable[[Any, Any], Effect]

_SHOWN: Final = 60
_ORDER: Final[dict[Effect, int]] = {"loosens": 0, "changes": 1, "tightens": 2}
_EXPOSURE: Final = {"receipt": 0, "masked": 1, "sealed": 2, "table": 3, "weights": 4}
"""How much of one site's part others can read, by kind of output."""


@dataclass(frozen=True)
class Change:
    """One difference between two contracts.

    Attributes
    ----------
    what
        Field in words, for example ``"step 0 rounds"``.
    before, after
        Values as text, shortened; empty where there was none.
    effect
        ``"tightens"``, ``"loosens"`` or ``"changes"``.
    """

    what: str
    before: str
    after: str
    effect: Effect

    def line(self) -> str:
        """Return the change in one line. Its words are a requester's: escape them."""
        values = f"{self.before or 'none'} -> {self.after or 'none'}"
        return f"{self.effect}: {self.what}: {values}"


def contract_diff(before: Contract, after: Contract) -> tuple[Change, ...]:
    """Return what changed from one contract to another, what loosens first.

    Nonce and time of creation make contracts distinct and are not compared; a
    contract's hash covers them.

    Parameters
    ----------
    before
        For example the last that was approved.
    after
        For example one that was proposed.

    Returns
    -------
    tuple of Change
        Empty where both ask for the same.
    """
    found = [
        *_fields(before, after, _CONTRACT, "", skip=_APART),
        *_participants(before, after),
        *_steps(before, after),
        *_outputs(before.outputs, after.outputs),
        *_fields(before.privacy, after.privacy, _PRIVACY, ""),
        *_fields(before.resources, after.resources, _RESOURCES, ""),
        *_columns(before, after),
    ]
    return tuple(sorted(found, key=lambda change: _ORDER[change.effect]))


def only_tightens(changes: tuple[Change, ...]) -> bool:
    """Whether there are changes, and each of them tightens.

    A contract without a change is a repetition, which releases everything once more.
    """
    return bool(changes) and all(change.effect == "tightens" for change in changes)


def _fewer(before: Any, after: Any) -> Effect:  # noqa: ANN401  (numbers)
    return "tightens" if after < before else "loosens"


def _part_of(before: Any, after: Any) -> Effect:  # noqa: ANN401  (tuples of names)
    if before is None or after is None:
        # all that there is: neither is known to hold less
        return "loosens"
    if set(after) < set(before):
        return "tightens"
    return "loosens" if set(after) - set(before) else "changes"


def _some_of(before: Any, after: Any) -> Effect:  # noqa: ANN401  (tuples of names)
    """Judge names of which none means all."""
    if not before or not after:
        return "loosens" if before else "tightens"
    return _part_of(before, after)


def _switched_off(before: Any, after: Any) -> Effect:  # noqa: ANN401
    """Judge a thing that may be left out: an empty value, ``"none"`` or False."""
    absent = {"", "none", False}
    if after in absent:
        return "tightens"
    return "loosens" if before in absent else "changes"


def _switched_on(before: Any, after: Any) -> Effect:  # noqa: ANN401
    return "tightens" if after and not before else "loosens"


def _seldom(before: int, after: int) -> Effect:
    """Judge rounds between validations; 0 for none at all."""
    rarer = after == 0 or 0 < before < after
    return "tightens" if rarer else "loosens"


def _private(before: DP | None, after: DP | None) -> Effect:
    """Judge differential privacy: costs of a contract, and None for any cost."""
    if before is None or after is None:
        return "loosens" if after is None else "tightens"
    costs = [(dp.epsilon, dp.delta) for dp in (before, after)]
    (epsilon, delta), (now, failing) = costs
    return "tightens" if now <= epsilon and failing <= delta else "loosens"


def _profile(before: str, after: str) -> Effect:
    known = before in PROFILES and after in PROFILES
    if known and at_least_as_strict(PROFILES[after], PROFILES[before]):
        return "tightens"
    return "loosens"


def _coarser(before: float, after: float) -> Effect:
    """Judge a step of rounding; 0 for none."""
    return "tightens" if after > before else "loosens"


def _exposed(before: str, after: str) -> Effect:
    if before not in _EXPOSURE or after not in _EXPOSURE:
        return "loosens"
    return _fewer(_EXPOSURE[before], _EXPOSURE[after])


def _other(before: object, after: object) -> Effect:
    del before, after
    return "changes"


def _all(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, _other)


_APART: Final = frozenset(
    (
        *("nonce", "created", "participants", "weights", "steps", "outputs"),
        *("privacy", "resources", "columns"),
    )
)
"""Fields of a contract that are not compared, or elsewhere."""

_CONTRACT: Final[dict[str, Rule]] = {
    **_all("requester", "purpose", "dataset", "initial", "parameters"),
    "expires": _fewer,
    "standing": _switched_off,
}
_PRIVACY: Final[dict[str, Rule]] = {
    "profile": _profile,
    "secure_sum": _switched_on,
    "precision": _coarser,
}
_RESOURCES: Final[dict[str, Rule]] = dict.fromkeys(
    ("seconds", "gpu_gib", "message_bytes", "calls"), _fewer
)
_OUTPUT: Final[dict[str, Rule]] = {
    "kind": _exposed,
    **dict.fromkeys(("elements", "bytes", "times"), _fewer),
}
_PLAN: Final[dict[str, Rule]] = {
    **dict.fromkeys(("rounds", "max_evaluations", "bins"), _fewer),
    **dict.fromkeys(("columns", "quantiles", "covariates"), _part_of),
    "modalities": _some_of,
    **dict.fromkeys(("by", "evaluate_on"), _switched_off),
    "validate_every": _seldom,
    "dp": _private,
    # fewer passes or a smaller batch bring an update nearer to single patients
    **_all("local_epochs", "batch_size", "learning_rate", "weight_decay", "tolerance"),
    **_all("optimiser", "schedule", "model", "target", "strategy", "size", "seed"),
    "loss": _other,
    **_all("transforms", "split", "device", "amp", "threads", "penalizer", "fit_on"),
    **_all("embedding", "features", "duration", "event", "strata", "ties"),
    **_all("formula", "levels", "l1_ratio", "weights", "entry", "time_varying"),
    # finer or further intervals show more; which of two grids does is not compared
    "grid": _part_of,
    **dict.fromkeys(("robust", "ph_test"), _switched_off),
}
"""How a field of a plan is judged; one that is not here loosens."""


def _fields(
    before: msgspec.Struct,
    after: msgspec.Struct,
    rules: dict[str, Rule],
    prefix: str,
    *,
    skip: frozenset[str] = frozenset(),
) -> Iterator[Change]:
    """Yield the fields in which two records of one kind differ."""
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if name in skip or old == new:
            continue
        rule = rules.get(name)
        effect: Effect = "loosens" if rule is None else rule(old, new)
        yield Change(f"{prefix}{name}", _short(old), _short(new), effect)


def _participants(before: Contract, after: Contract) -> Iterator[Change]:
    old = {p.site: p for p in before.participants}
    new = {p.site: p for p in after.participants}
    for site in sorted(old.keys() - new.keys()):
        # a sum over fewer sites hides each of them less
        yield Change("participant", site, "", "loosens")
    for site in sorted(new.keys() - old.keys()):
        yield Change("participant", "", site, "changes")
    for site in sorted(old.keys() & new.keys()):
        yield from _fields(old[site], new[site], _all("fingerprint"), f"{site} ")
    if old.keys() == new.keys() and before.weights != after.weights:
        yield Change(
            "weights", _short(before.weights), _short(after.weights), "changes"
        )


def _steps(before: Contract, after: Contract) -> Iterator[Change]:
    for index in range(max(len(before.steps), len(after.steps))):
        what = f"step {index}"
        if index >= len(after.steps):
            yield Change(what, type(before.steps[index]).__name__, "", "tightens")
        elif index >= len(before.steps):
            yield Change(what, "", type(after.steps[index]).__name__, "loosens")
        else:
            yield from _plan(before.steps[index], after.steps[index], f"{what} ")


def _plan(before: AnyPlan, after: AnyPlan, prefix: str) -> Iterator[Change]:
    if type(before) is not type(after):
        names = type(before).__name__, type(after).__name__
        yield Change(prefix.strip(), *names, "loosens")
        return
    old, new = getattr(before, "model", None), getattr(after, "model", None)
    if isinstance(old, ModelRef) and isinstance(new, ModelRef):
        yield from _fields(before, after, _PLAN, prefix, skip=frozenset({"model"}))
        rules = _all("sha256")
        skip = frozenset({"training"})
        yield from _fields(old, new, rules, f"{prefix}model ", skip=skip)
        yield from _plan(old.training, new.training, f"{prefix}model ")
        return
    # a description names what it counts: naming nothing, it counts nothing
    named = isinstance(before, DescribePlan)
    rules = {**_PLAN, "modalities": _part_of} if named else _PLAN
    yield from _fields(before, after, rules, prefix)


def _outputs(
    before: tuple[OutputSpec, ...], after: tuple[OutputSpec, ...]
) -> Iterator[Change]:
    old = {(o.step, o.name): o for o in before}
    new = {(o.step, o.name): o for o in after}
    for place in sorted(old.keys() | new.keys()):
        what = f"output {place[1]} of step {place[0]}"
        if place not in new:
            yield Change(what, old[place].kind, "", "tightens")
        elif place not in old:
            yield Change(what, "", new[place].kind, "loosens")
        else:
            # the rule in words follows from the kind; where only it differs, look
            same = old[place].kind == new[place].kind
            skip = frozenset() if same else frozenset({"control"})
            found = _fields(old[place], new[place], _OUTPUT, f"{what} ", skip=skip)
            yield from found


def _columns(before: Contract, after: Contract) -> Iterator[Change]:
    old = {column.name: column for column in before.columns}
    new = {column.name: column for column in after.columns}
    for name in sorted(old.keys() - new.keys()):
        yield Change("column", name, "", "tightens")
    for name in sorted(new.keys() - old.keys()):
        yield Change("column", "", name, "loosens")
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            changed = _fields(old[name], new[name], {}, f"column {name} ")
            yield from (Change(c.what, c.before, c.after, "changes") for c in changed)


def _short(value: object) -> str:
    if isinstance(value, tuple):
        words = ", ".join(map(_short, value))
    elif isinstance(value, Code):
        words = f"code {value.name} {value.sha256[:12]}"
    elif isinstance(value, msgspec.Struct | dict):
        words = msgspec.json.encode(value, order="deterministic").decode()
    else:
        words = str(value)
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}…"
