"""What a scanner does to a volume: eight effects, each with its own switch.

An effect is off at its neutral value. A hospital has one scanner; its patients differ
around it by `variation`. Ranges: `reference/methods.md`, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import InputError, UnknownNameError
from fednb.imaging.resample import apply_axes, gaussian_weights
from fednb.phantom.render import WHITE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

EFFECTS: Final = (
    "gain",
    "offset",
    "gamma",
    "bias",
    "noise",
    "blur",
    "slice_thickness",
    "contrast_swap",
)
_RANGES: Final = {
    "gain": (0.6, 1.6),
    "offset": (-0.1, 0.1),
    "gamma": (0.8, 1.25),
    "bias": (0.10, 0.40),
    "noise": (1.0 / 30.0, 1.0 / 8.0),
    "blur": (0.0, 1.2),
    "slice_thickness": (1.0, 2.0),
}
_SATURATION: Final = 1.5


@dataclass(frozen=True)
class ScannerEffects:
    """The settings of one scanner; the defaults change nothing.

    Attributes
    ----------
    gain
        Factor on the signal, 0.6 to 1.6; 1 is off.
    offset
        Added to every voxel, -0.1 to 0.1; 0 is off.
    gamma
        Exponent of the signal, 0.8 to 1.25; 1 is off.
    bias
        Peak of a polynomial field of sensitivity, 0.10 to 0.40; 0 is off.
    noise
        Rician noise against white matter, 1/30 to 1/8 (SNR 30 to 8); 0 is off.
    blur
        In-plane Gaussian width in voxels, 0 to 1.2; 0 is off.
    slice_thickness
        Voxels that one slice covers, 1 to 2; 1 is off.
    contrast_swap
        Grey and white matter exchanged in T1 and T1c.
    variation
        Relative spread of gain, gamma and bias from patient to patient; 0 is off.
    """

    gain: float = 1.0
    offset: float = 0.0
    gamma: float = 1.0
    bias: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    slice_thickness: float = 1.0
    contrast_swap: bool = False
    variation: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that no scanner has."""
        positive = self.gain > 0 and self.gamma > 0 and self.slice_thickness >= 1
        amounts = (self.bias, self.noise, self.blur, self.variation)
        if not positive or min(amounts) < 0 or self.bias >= 1:
            message = (
                f"These scanner settings are out of range: {self}. gain and gamma "
                "are above 0, slice_thickness is at least 1, bias, noise, blur and "
                "variation are at least 0, and bias is below 1."
            )
            raise InputError(message)

    @classmethod
    def none(cls) -> ScannerEffects:
        """Return a scanner without any effect."""
        return cls()

    @classmethod
    def draw(
        cls, seed: int, *, effects: Iterable[str] = EFFECTS, variation: float = 0.1
    ) -> ScannerEffects:
        """Draw one scanner; an effect that is left out does not change the others.

        Parameters
        ----------
        seed
            Whole number from 0.
        effects
            Names out of `EFFECTS`.
        variation
            Spread from patient to patient; 0 where no effect is on.

        Raises
        ------
        UnknownNameError
            A name is not in `EFFECTS`.
        """
        wanted = tuple(effects)
        for name in wanted:
            if name not in EFFECTS:
                raise UnknownNameError("scanner effect", name, EFFECTS)
        rng = np.random.default_rng([seed, 5])
        drawn = {name: float(rng.uniform(*ends)) for name, ends in _RANGES.items()}
        swapped = bool(rng.random() < 0.5)
        # Every effect is drawn, so that a switch never shifts the stream.
        on = {name: value for name, value in drawn.items() if name in wanted}
        return cls(
            **on,
            contrast_swap=swapped and "contrast_swap" in wanted,
            variation=variation if wanted else 0.0,
        )

    def only(self, *effects: str) -> ScannerEffects:
        """Return this scanner with the named effects alone.

        Raises
        ------
        UnknownNameError
            A name is not in `EFFECTS`.
        """
        for name in effects:
            if name not in EFFECTS:
                raise UnknownNameError("scanner effect", name, EFFECTS)
        neutral = {
            field.name: field.default
            for field in fields(self)
            if field.name in EFFECTS and field.name not in effects
        }
        return replace(self, **neutral)  # type: ignore[arg-type]

    def apply(self, volumes: Floats, rng: np.random.Generator) -> Floats:
        """Return the volumes as this scanner shows them.

        Parameters
        ----------
        volumes
            (M, X, Y, Z), one patient's modalities, at least 0.
        rng
            The patient's stream for the scanner.

        Returns
        -------
        numpy.ndarray
            Same shape, float32. Resolution is lost before noise is added, and the
            intensity curve comes last.
        """
        if self == replace(ScannerEffects(), contrast_swap=self.contrast_swap):
            return volumes
        spread = np.exp(self.variation * rng.standard_normal((3, len(volumes))))
        out = self._resolution(volumes)
        if self.bias > 0:
            out = out * _bias_field(out.shape, self.bias * spread[0], rng)
        if self.noise > 0:
            out = _rician(out, self.noise * WHITE, rng)
        if self.gamma != 1.0:
            # The spread multiplies the exponent's distance from 1 on the log scale.
            exponent = _each(self.gamma ** spread[1])
            top = np.float32(_SATURATION)
            out = top * np.power(out / top, exponent)
        gain = self.gain * (_each(spread[2]) if self.gain != 1.0 else 1.0)
        return np.asarray(out * gain + self.offset, dtype=np.float32)

    def _resolution(self, volumes: Floats) -> Floats:
        """Blur in the plane and average along the slices."""
        if self.blur <= 0 and self.slice_thickness <= 1:
            return volumes
        x, y, z = volumes.shape[1:]
        plane = [gaussian_weights(n, self.blur) for n in (x, y)]
        return apply_axes(volumes, [*plane, _slice_weights(z, self.slice_thickness)])


def _each(values: NDArray[np.float64]) -> Floats:
    """Shape one value a modality so that it broadcasts over voxels."""
    return values.astype(np.float32)[:, None, None, None]


def _slice_weights(n: int, thickness: float) -> Floats:
    """Return the (n, n) matrix of a box of `thickness` voxels, edges renormalised."""
    gap = np.abs(np.arange(n)[:, None] - np.arange(n)[None, :])
    weights = np.clip((thickness + 1.0) / 2.0 - gap, 0.0, 1.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _bias_field(
    shape: tuple[int, ...], peak: NDArray[np.float64], rng: np.random.Generator
) -> Floats:
    """Return a smooth field 1 +- `peak`, a polynomial of order 2, one a modality."""
    count, *edges = shape
    x, y, z = np.meshgrid(
        *(np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in edges),
        indexing="ij",
        sparse=True,
    )
    terms = (x, y, z, x * y, y * z, x * z, x**2, y**2, z**2)
    field = np.zeros(shape, dtype=np.float32)
    weights = rng.standard_normal((len(terms), count)).astype(np.float32)
    for term, weight in zip(terms, weights, strict=True):
        field += weight[:, None, None, None] * term
    field -= field.mean(axis=(1, 2, 3), keepdims=True)
    field /= np.abs(field).max(axis=(1, 2, 3), keepdims=True)
    return np.asarray(1.0 + _each(np.minimum(peak, 0.9)) * field, dtype=np.float32)


def _rician(volumes: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """Return the magnitude of the signal with complex Gaussian noise."""
    scale = np.float32(sigma)
    real = volumes + scale * rng.standard_normal(volumes.shape, dtype=np.float32)
    imaginary = scale * rng.standard_normal(volumes.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary), dtype=np.float32)
