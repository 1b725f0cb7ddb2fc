"""Render a patient's head: T1, T1c, T2 and FLAIR of one synthetic glioma.

A head is an ellipsoid of white and grey matter; the tumour has a core in three depths,
since the enhancing rim is 6 mm thick and the rim of the T2-FLAIR mismatch 4 mm, and
oedema around it. What a volume looks like is drawn from a stream that knows neither
its size nor its scanner, so the same patient can be rendered at any size. Values and
distances: `reference/methods.md`, section 4.

Heads are registered to each other, and what differs between them beside the tumour is
kept small: with 100 patients a site a network otherwise learns the patients by heart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fednb.errors import InputError
from fednb.imaging.resample import resample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MODALITIES: Final = ("T1", "T1c", "T2", "FLAIR")
FIELD_OF_VIEW: Final = 160.0
"""Edge of the cube in mm."""

WHITE: Final = 0.75
"""White matter in T1c, against which the signal-to-noise ratio is counted."""

_HEAD: Final = (66.0, 78.0, 60.0)
_MEAN_AXIS: Final = 67.0
_WAVES: Final = 6
_JITTER: Final = 0.01
_TEXTURE: Final = 0.01
_PLACE: Final = 3.0
_SIDE, _FRONT, _BACK, _HEIGHT = 25.0, 26.0, -18.0, 5.0
_TISSUES: Final = ("white", "grey", "oedema", "outer", "middle", "inner")
# Rows: tissues from white matter to oedema; columns as MODALITIES.
_CONTRAST: Final = np.array(
    [
        [0.75, 0.75, 0.40, 0.45],
        [0.58, 0.60, 0.55, 0.55],
        [0.68, 0.68, 0.60, 0.62],
    ]
)


@dataclass(frozen=True)
class Findings:
    """What the image of one patient has to show.

    Attributes
    ----------
    frontal, mismatch, enhancement, necrosis
        Whether the tumour has it.
    log_volume
        Logarithm of the tumour's volume in mL.
    u
        Irregularity of the rim, standard normal.
    """

    frontal: bool
    mismatch: bool
    enhancement: bool
    necrosis: bool
    log_volume: float
    u: float

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Findings:
        """Take the findings from a row of `draw_patients`."""
        return cls(
            frontal=row["location_frontal"] > 0,
            mismatch=row["mismatch"] > 0,
            enhancement=row["enhancement"] > 0,
            necrosis=row["necrosis"] > 0,
            log_volume=float(row["log_volume"]),
            u=float(row["u"]),
        )


@dataclass(frozen=True)
class Anatomy:
    """All that is random in a head, drawn before any voxel is known.

    Attributes
    ----------
    centre
        Centre of the tumour in mm from the head's centre, RAS, (3,).
    stretch
        Ratios of the tumour's axes, of product 1, (3,).
    waves
        Wave vectors (6, 3) and phases (6,) of the tumour's surface.
    oedema
        Width of the oedema in mm.
    contrast
        Factor on each tissue's signal, (6, 4); the three depths of the core share one.
    texture
        Coarse multiplicative pattern, (6, 6, 6).
    """

    centre: Floats
    stretch: Floats
    waves: tuple[Floats, Floats]
    oedema: float
    contrast: Floats
    texture: Floats


def draw_anatomy(findings: Findings, rng: np.random.Generator) -> Anatomy:
    """Draw a head around the tumour that `findings` describe."""
    side = _SIDE if rng.random() < 0.5 else -_SIDE
    usual = np.array([side, _FRONT if findings.frontal else _BACK, _HEIGHT])
    centre = usual + _PLACE * rng.uniform(-1.0, 1.0, 3)
    stretch = np.exp(rng.normal(0.0, 0.06, 3))
    directions = rng.normal(size=(_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    waves = directions * rng.uniform(3.0, 6.0, (_WAVES, 1))
    phases = rng.uniform(0.0, 2.0 * np.pi, _WAVES)
    return Anatomy(
        centre=centre.astype(np.float32),
        stretch=(stretch / stretch.prod() ** (1.0 / 3.0)).astype(np.float32),
        waves=(waves.astype(np.float32), phases.astype(np.float32)),
        oedema=float(8.0 * np.exp(rng.normal(0.0, 0.25))),
        contrast=_jitter(rng),
        texture=rng.normal(0.0, _TEXTURE, (6, 6, 6)).astype(np.float32),
    )


def _jitter(rng: np.random.Generator) -> Floats:
    """Draw how one head's signals differ from the usual."""
    factor = np.exp(rng.normal(0.0, _JITTER, (4, 4))).astype(np.float32)
    return np.asarray(factor[[0, 1, 2, 3, 3, 3]])


def render(
    findings: Findings,
    anatomy: Anatomy,
    size: int,
    *,
    contrast_swap: bool = False,
    smooth: float = 1.0,
) -> Floats:
    """Render the four modalities of one head.

    Parameters
    ----------
    findings, anatomy
        What to show, and where.
    size
        Voxels along each edge of the 160 mm cube, 8 to 256.
    contrast_swap
        Exchange grey and white matter in T1 and T1c, as another sequence would.
    smooth
        Width of the transition between tissues, in voxels; the mock uses 3.

    Returns
    -------
    numpy.ndarray
        Shape (4, size, size, size), float32, modalities in the order of `MODALITIES`,
        0 outside the head, before any effect of a scanner.

    Raises
    ------
    InputError
        `size` is out of range.
    """
    if not 8 <= size <= 256:
        message = f"The size of a phantom is 8 to 256 voxels; {size} was given."
        raise InputError(message)
    width = smooth * FIELD_OF_VIEW / size
    tissues = _tissues(findings, anatomy, size, width)
    contrast = _contrast(findings) * anatomy.contrast
    if contrast_swap:
        contrast[:2, :2] = contrast[1::-1, :2]
    images = contrast.T.astype(np.float32) @ tissues.reshape(len(_TISSUES), -1)
    volume = images.reshape(len(MODALITIES), size, size, size)
    volume *= 1.0 + resample(anatomy.texture, (size, size, size))
    return volume


def _contrast(findings: Findings) -> NDArray[np.float64]:
    """Return signal by tissue (6) and modality (4) for one patient."""
    core = np.tile(np.array([0.50, 0.55, 0.95, 0.80]), (3, 1))
    if findings.enhancement:
        core[:, 1] = 1.10
    if findings.necrosis:
        core[:2, 1] = 1.35
        core[2] = [0.35, 0.22, 1.10, 0.70]
    if findings.mismatch:
        core[0, 3] = 0.95
        core[1:, 3] = 0.22
    return np.vstack([_CONTRAST, core])


def _tissues(findings: Findings, anatomy: Anatomy, size: int, width: float) -> Floats:
    """Return the share of each tissue in each voxel, (6, size, size, size)."""
    grid = _grid(size)
    inside, deep = _head(size, width)
    depth = _depth(findings, anatomy, grid)
    tumour = _soft(depth, width)
    beyond_rim = _soft(depth + 4.0, width)
    inner = _soft(depth + 6.0, width)
    around = _soft(depth - anatomy.oedema, width)
    out = np.empty((len(_TISSUES), size, size, size), dtype=np.float32)
    healthy = (1.0 - around) * inside
    np.multiply(healthy, deep, out=out[0])
    np.subtract(healthy, out[0], out=out[1])
    np.multiply(around - tumour, inside, out=out[2])
    np.multiply(tumour - beyond_rim, inside, out=out[3])
    np.multiply(beyond_rim - inner, inside, out=out[4])
    np.multiply(inner, inside, out=out[5])
    return out


@lru_cache(maxsize=8)
def _head(size: int, width: float) -> tuple[Floats, Floats]:
    """Return the share of head, and of white matter in it, in each voxel."""
    x, y, z = (axis / a for axis, a in zip(_grid(size), _HEAD, strict=True))
    radius = np.sqrt(x**2 + y**2 + z**2).astype(np.float32)
    # Times the mean semi-axis, the radius is close to a distance in mm at the surface.
    scale = np.float32(_MEAN_AXIS)
    return _soft((radius - 1.0) * scale, width), _soft((radius - 0.86) * scale, width)


def _depth(
    findings: Findings, anatomy: Anatomy, grid: tuple[Floats, Floats, Floats]
) -> Floats:
    """Return the distance to the tumour's surface in mm, negative inside."""
    radius = 10.0 * (3.0 * np.exp(findings.log_volume) / (4.0 * np.pi)) ** (1.0 / 3.0)
    offset = [
        (axis - where) / ratio
        for axis, where, ratio in zip(
            grid, anatomy.centre, anatomy.stretch, strict=True
        )
    ]
    squares = offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2
    distance = np.sqrt(squares)
    # The pattern is a function of direction only: waves on the unit sphere.
    unit = np.reciprocal(distance + np.float32(1e-3))
    pattern = np.zeros_like(distance)
    for wave, phase in zip(*anatomy.waves, strict=True):
        plane = wave[0] * offset[0] + wave[1] * offset[1] + wave[2] * offset[2]
        plane *= unit
        plane += phase
        pattern += np.cos(plane, out=plane)
    amplitude = 0.15 * np.exp(0.5 * findings.u) * np.sqrt(2.0 / _WAVES)
    pattern *= np.float32(amplitude)
    surface = np.maximum(pattern + np.float32(1.0), np.float32(0.35))
    return np.asarray(distance - np.float32(radius) * surface, dtype=np.float32)


def _soft(distance: Floats, width: float) -> Floats:
    """Turn a signed distance in mm into the share of a voxel that is inside."""
    share = distance * np.float32(-1.0 / width)
    share += np.float32(0.5)
    return np.clip(share, 0.0, 1.0, out=share)


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Floats, Floats, Floats]:
    """Return the voxel centres in mm along x, y and z, ready to broadcast."""
    spacing = FIELD_OF_VIEW / size
    axis = ((np.arange(size) + 0.5) * spacing - FIELD_OF_VIEW / 2.0).astype(np.float32)
    return axis[:, None, None], axis[None, :, None], axis[None, None, :]
