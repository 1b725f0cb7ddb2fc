"""Our own transforms, in numpy: z-score in the head, amplitudes, gain and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.imaging.resample import resample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_BINS = 128


def head_mask(array: Floats, background: float = 0.5) -> NDArray[np.bool_]:
    """Return which voxels are head and not air.

    Every modality is scaled to its own percentiles and all are averaged, so that
    fluid, dark in one of them, is not taken for air. The level lies between the
    median of the air and Otsu's threshold (Otsu 1979).

    Parameters
    ----------
    array
        (C, X, Y, Z); a modality that is constant (missing) is left out.
    background
        Where between the two the level lies, 0 to 1.

    Returns
    -------
    numpy.ndarray
        (X, Y, Z), bool; all true where there is nothing to tell apart.
    """
    flat = array.reshape(len(array), -1)
    low, high = np.percentile(flat, (2.0, 98.0), axis=1)
    usable = high > low
    if not usable.any():
        return np.ones(array.shape[1:], dtype=bool)
    span = (high - low)[usable, None].astype(np.float32)
    scaled = (flat[usable] - low[usable, None].astype(np.float32)) / span
    mean = np.clip(scaled, 0.0, 1.0).mean(axis=0)
    threshold = _otsu(mean)
    air = mean[mean <= threshold]
    level = float(np.median(air)) if air.size else 0.0
    mask = mean > level + background * (threshold - level)
    return np.asarray(mask.reshape(array.shape[1:]), dtype=bool)


def z_score_in_mask(array: Floats, background: float = 0.5) -> Floats:
    """Give each modality mean 0 and variance 1 in the head; air and gaps become 0.

    Parameters
    ----------
    array
        (C, X, Y, Z).
    background
        As in `head_mask`.
    """
    mask = head_mask(array, background)
    out = np.zeros_like(array)
    for channel, image in enumerate(array):
        inside = image[mask]
        spread = float(inside.std()) if inside.size else 0.0
        if spread > 0:
            out[channel][mask] = (inside - inside.mean()) / np.float32(spread)
    return out


def amplitude_profile(array: Floats, shells: int = 16) -> Floats:
    """Return the mean log amplitude of the spectrum in shells of frequency.

    Parameters
    ----------
    array
        (C, X, Y, Z).
    shells
        Number of shells, from the lowest frequency to the highest.

    Returns
    -------
    numpy.ndarray
        (C, shells). Averaged over patients and sites it is what
        `amplitude_normalize` takes (after HarmoFL, Jiang 2022).
    """
    shell = _shells(array.shape[1:], shells)
    counts = np.bincount(shell.ravel(), minlength=shells)
    out = np.zeros((len(array), shells), dtype=np.float32)
    for channel, image in enumerate(array):
        logs = np.log(np.abs(np.fft.rfftn(image)) + 1e-6)
        sums = np.bincount(shell.ravel(), weights=logs.ravel(), minlength=shells)
        out[channel] = sums / np.maximum(counts, 1)
    return out


def amplitude_normalize(
    array: Floats, profile: Sequence[float], strength: float = 1.0
) -> Floats:
    """Move each modality's amplitude spectrum towards a common profile.

    Phases, which carry the shapes, stay; so does the mean (after HarmoFL, Jiang 2022).

    Parameters
    ----------
    array
        (C, X, Y, Z).
    profile
        Mean log amplitude in each shell, from `amplitude_profile`.
    strength
        0 changes nothing, 1 reaches the profile.
    """
    target = np.asarray(profile, dtype=np.float32)
    shell = _shells(array.shape[1:], len(target))
    own = amplitude_profile(array, len(target))
    out = np.zeros_like(array)
    for channel, image in enumerate(array):
        if image.min() == image.max():
            out[channel] = image
            continue
        factor = np.exp(strength * (target - own[channel]))[shell]
        factor.flat[0] = 1.0
        spectrum = np.fft.rfftn(image) * factor
        out[channel] = np.fft.irfftn(spectrum, s=image.shape, axes=(0, 1, 2))
    return out


def gain_noise(
    array: Floats, rng: np.random.Generator, gain: float, noise: float
) -> Floats:
    """Multiply each modality by a random gain and add Gaussian noise.

    Parameters
    ----------
    array
        (C, X, Y, Z); voxels that are exactly 0 (air, missing) stay 0.
    rng
        Decides everything.
    gain
        The logarithm of the gain is uniform on +- this.
    noise
        Standard deviation of the noise is uniform from 0 to this.
    """
    factor = np.exp(rng.uniform(-gain, gain, (len(array), 1, 1, 1)))
    sigma = np.float32(rng.uniform(0.0, noise))
    draws = rng.standard_normal(array.shape, dtype=np.float32)
    out = array * factor.astype(np.float32) + sigma * draws
    return np.where(array == 0, np.float32(0.0), out)


def resample_spacing(
    array: Floats,
    spacing: tuple[float, float, float],
    target: Sequence[float],
) -> Floats:
    """Resample (C, X, Y, Z) from `spacing` to `target` mm a voxel, linearly."""
    x, y, z = (
        max(1, round(n * old / new))
        for n, old, new in zip(array.shape[1:], spacing, target, strict=True)
    )
    return resample(array, (x, y, z))


def _otsu(values: Floats) -> float:
    """Return the threshold that parts values in [0, 1] with the least variance."""
    counts, edges = np.histogram(values, bins=_BINS, range=(0.0, 1.0))
    centres = (edges[1:] + edges[:-1]) / 2.0
    below = np.cumsum(counts)[:-1].astype(float)
    above = values.size - below
    total = np.cumsum(counts * centres)
    low = total[:-1] / np.maximum(below, 1.0)
    high = (total[-1] - total[:-1]) / np.maximum(above, 1.0)
    return float(edges[1 + int(np.argmax(below * above * (high - low) ** 2))])


def _shells(shape: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """Return the shell of each frequency of `rfftn`."""
    x, y, z = shape
    grid = np.meshgrid(
        np.fft.fftfreq(x), np.fft.fftfreq(y), np.fft.rfftfreq(z), indexing="ij"
    )
    radius = np.sqrt(sum(axis**2 for axis in grid)) / (0.5 * np.sqrt(3.0))
    shell = np.asarray(radius * count, dtype=np.int64)
    return np.minimum(shell, count - 1)
