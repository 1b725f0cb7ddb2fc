"""Build the transforms of a plan: the fixed part, which is cached, then augmentation.

MONAI and torch are imported only when a transform of MONAI's is built.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fednb.errors import InputError, PlanError, UnknownNameError
from fednb.imaging.allowlist import ALLOWED, ParamRule, TransformEntry
from fednb.imaging.intensity import (
    amplitude_normalize,
    gain_noise,
    resample_spacing,
    z_score_in_mask,
)
from fednb.records.code import Code
from fednb.records.specs import TransformSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Spacing = tuple[float, float, float]
    Fixed = Callable[[Floats, Spacing], Floats]
    Random = Callable[[Floats, np.random.Generator], Floats]
    FixedStep = Callable[[Floats, Spacing], tuple[Floats, Spacing]]

__all__ = [
    "ALLOWED",
    "ParamRule",
    "TransformEntry",
    "build_fixed",
    "build_random",
    "named",
    "validate",
]

_DEFAULT_PROB = 0.5
_DEFAULT_GAIN = 0.2
_DEFAULT_NOISE = 0.1


def named(specs: Sequence[TransformSpec | Code]) -> list[TransformSpec]:
    """Return those transforms that are looked up by name, without the requester's."""
    return [spec for spec in specs if isinstance(spec, TransformSpec)]


def validate(specs: Sequence[TransformSpec | Code]) -> None:
    """Check names, parameters and order.

    Raises
    ------
    UnknownNameError
        A transform or one of its parameters is not in `ALLOWED`.
    InputError
        A parameter is missing or out of its range, two parameters contradict each
        other, or a fixed transform comes after a random one.
    PlanError
        A transform of the requester's own has problems, or the wrong place: after the
        named fixed ones, or after the named random ones where it is random.
    """
    _check_own(specs)
    seen_random = ""
    for spec in named(specs):
        if spec.name not in ALLOWED:
            raise UnknownNameError("transform", spec.name, ALLOWED)
        entry = ALLOWED[spec.name]
        if seen_random and not entry.random:
            message = (
                f"{spec.name} is a fixed transform and comes after {seen_random}, "
                "which is random. Put every fixed transform first: their result is "
                "cached."
            )
            raise InputError(message)
        seen_random = spec.name if entry.random else ""
        _check_params(spec, entry)


def _check_own(specs: Sequence[TransformSpec | Code]) -> None:
    """Check the requester's own transforms: their code, and their places."""
    ranks = []
    for spec in specs:
        if isinstance(spec, Code):
            spec.check()
            ranks.append(3 if "rng" in spec.arguments else 1)
        else:
            random = spec.name in ALLOWED and ALLOWED[spec.name].random
            ranks.append(2 if random else 0)
    own = any(isinstance(spec, Code) for spec in specs)
    if own and ranks != sorted(ranks):
        message = (
            "The order of transforms is: named fixed ones, one's own fixed ones, named "
            "random ones, one's own random ones (those that take rng). Got "
            f"{', '.join(spec.name for spec in specs)}."
        )
        raise PlanError(message)


def build_fixed(specs: Sequence[TransformSpec | Code]) -> Fixed:
    """Build the deterministic part.

    Parameters
    ----------
    specs
        The whole list of a plan; random transforms and one's own are left out.

    Returns
    -------
    callable
        Takes an array (C, X, Y, Z), float32, and its spacing in mm, and returns an
        array (C, X', Y', Z'), float32. The input is never changed.

    Raises
    ------
    UnknownNameError, InputError
        As for `validate`.
    """
    validate(specs)
    steps = [
        _fixed_step(spec) for spec in named(specs) if not ALLOWED[spec.name].random
    ]

    def fixed(array: Floats, spacing: Spacing) -> Floats:
        for step in steps:
            array, spacing = step(array, spacing)
        return np.ascontiguousarray(array, dtype=np.float32)

    return fixed


def build_random(specs: Sequence[TransformSpec | Code]) -> Random:
    """Build the augmentation.

    Parameters
    ----------
    specs
        The whole list of a plan; fixed transforms and one's own are left out.

    Returns
    -------
    callable
        Takes an array (C, X, Y, Z), float32, and a generator, on which alone the
        result depends. The input is never changed.

    Raises
    ------
    UnknownNameError, InputError
        As for `validate`.
    """
    validate(specs)
    steps = [_random_step(spec) for spec in named(specs) if ALLOWED[spec.name].random]

    def augment(array: Floats, rng: np.random.Generator) -> Floats:
        for step in steps:
            array = step(array, rng)
        return np.ascontiguousarray(array, dtype=np.float32)

    return augment


def _fixed_step(spec: TransformSpec) -> FixedStep:
    """Build one fixed transform."""
    params: dict[str, Any] = dict(spec.params)
    if spec.name == "ResampleSpacing":
        x, y, z = (float(v) for v in params["spacing"])
        return lambda array, spacing: (
            resample_spacing(array, spacing, (x, y, z)),
            (x, y, z),
        )
    if spec.name == "ZScoreInMask":
        return lambda array, spacing: (z_score_in_mask(array, **params), spacing)
    if spec.name == "AmplitudeNormalize":
        return lambda array, spacing: (amplitude_normalize(array, **params), spacing)
    transform = _monai(spec)

    def step(array: Floats, spacing: Spacing) -> tuple[Floats, Spacing]:
        out = _numpy(transform(array.copy()))
        if spec.name != "Resize":
            return out, spacing
        x, y, z = (
            s * before / after
            for s, before, after in zip(
                spacing, array.shape[1:], out.shape[1:], strict=True
            )
        )
        return out, (x, y, z)

    return step


def _random_step(spec: TransformSpec) -> Random:
    """Build one augmentation."""
    params: dict[str, Any] = dict(spec.params)
    prob = float(params.get("prob", _DEFAULT_PROB))
    if spec.name == "RandFlip":
        axis = 1 + int(params.get("spatial_axis", 0))

        def mirror(array: Floats, rng: np.random.Generator) -> Floats:
            if rng.random() >= prob:
                return array
            return np.flip(array, axis)

        return mirror
    if spec.name == "RandGainNoise":
        gain = float(params.get("gain", _DEFAULT_GAIN))
        noise = float(params.get("noise", _DEFAULT_NOISE))

        def own(array: Floats, rng: np.random.Generator) -> Floats:
            if rng.random() >= prob:
                return array
            return gain_noise(array, rng, gain, noise)

        return own
    transform = _monai(spec)

    def step(array: Floats, rng: np.random.Generator) -> Floats:
        seed = int(rng.integers(2**32))
        transform.set_random_state(state=np.random.RandomState(seed))
        return _numpy(transform(array.copy()))

    return step


def _monai(spec: TransformSpec) -> Any:  # noqa: ANN401  MONAI is not annotated
    """Build a transform of MONAI's from the allow-list."""
    from monai import transforms

    kind = getattr(transforms, ALLOWED[spec.name].source)
    return kind(**{name: _plain(value) for name, value in spec.params.items()})


def _plain(value: object) -> object:
    """Turn lists into tuples, as MONAI wants ranges."""
    return tuple(value) if isinstance(value, list) else value


def _numpy(result: Any) -> Floats:  # noqa: ANN401  array or MetaTensor
    """Return MONAI's result as numpy."""
    plain = result.numpy() if hasattr(result, "numpy") else result
    return np.asarray(plain, dtype=np.float32)


def _check_params(spec: TransformSpec, entry: TransformEntry) -> None:
    """Check one transform's parameters."""
    for name, value in spec.params.items():
        if name not in entry.params:
            kind = f"parameter of {spec.name}"
            raise UnknownNameError(kind, name, entry.params)
        rule = entry.params[name]
        if not _fits(value, rule):
            message = (
                f"{spec.name}: {name}={value!r} is not allowed; it is {rule.allowed()}."
            )
            raise InputError(message)
    for name, rule in entry.params.items():
        if rule.required and name not in spec.params:
            message = f"{spec.name} needs {name}: {rule.allowed()}."
            raise InputError(message)
    _check_order(spec)


def _check_order(spec: TransformSpec) -> None:
    """Check that what is a lower end lies below its upper end."""
    pairs = (
        ("lower", "upper"),
        ("a_min", "a_max"),
        ("b_min", "b_max"),
        ("minv", "maxv"),
        ("min_zoom", "max_zoom"),
    )
    params: dict[str, Any] = dict(spec.params)
    for low, high in pairs:
        if low in params and high in params and not params[low] < params[high]:
            message = (
                f"{spec.name}: {low}={params[low]!r} is not below "
                f"{high}={params[high]!r}."
            )
            raise InputError(message)
    for name in ("gamma", "coeff_range", "sigma_x", "sigma_y", "sigma_z"):
        ends = params.get(name)
        if isinstance(ends, list) and ends[0] > ends[1]:
            message = f"{spec.name}: {name}={ends!r} runs from high to low."
            raise InputError(message)


def _fits(value: object, rule: ParamRule) -> bool:
    """Return whether a value is what its rule allows."""
    if rule.kind == "flag":
        return isinstance(value, bool)
    if rule.kind == "choice":
        return value in rule.choices
    whole = rule.kind in {"whole", "wholes"}
    if not rule.lengths:
        return _in_range(value, rule, whole=whole)
    members = value if isinstance(value, list | tuple) else ()
    return len(members) in rule.lengths and all(
        _in_range(one, rule, whole=whole) for one in members
    )


def _in_range(value: object, rule: ParamRule, *, whole: bool) -> bool:
    """Return whether a value is a finite number, not a flag, in its range."""
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return False
    return math.isfinite(value) and rule.low <= value <= rule.high
