"""A requester's own transforms, in the confined process that runs their code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fednb.errors import InputError
from fednb.models.code import load
from fednb.records.code import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fednb.records.specs import TransformSpec

    Floats = NDArray[np.float32]


class OwnTransforms:
    """The transforms of a plan that are not looked up by name.

    Parameters
    ----------
    transforms
        All of the plan.

    Raises
    ------
    IntegrityError
        There are some, and this process may not run them.
    """

    def __init__(self, transforms: Sequence[TransformSpec | Code]) -> None:
        own = [spec for spec in transforms if isinstance(spec, Code)]
        self.fixed = [_step(code) for code in own if "rng" not in code.arguments]
        self.random = [_step(code) for code in own if "rng" in code.arguments]

    def apply(self, volume: Floats, rng: np.random.Generator | None) -> Floats:
        """Return a volume (C, X, Y, Z) after the random ones; without `rng`, the fixed.

        Raises
        ------
        InputError
            A transform returns another shape, or values that are not finite.
        """
        for name, step in self.fixed if rng is None else self.random:
            given = {} if rng is None else {"rng": rng}
            changed = np.asarray(step(volume=volume.copy(), **given), np.float32)
            if changed.shape != volume.shape or not np.isfinite(changed).all():
                message = (
                    f"{name} must return finite values of shape {volume.shape}; got "
                    f"shape {changed.shape}."
                )
                raise InputError(message)
            volume = changed
        return volume


def _step(code: Code) -> tuple[str, Callable[..., Any]]:
    made = load(code)

    def step(**given: Any) -> Any:  # noqa: ANN401  (what the code returns)
        return made(**given, **code.params)

    return code.name, step
