"""Turn arrays to RAS: axes to the right, to the front and up."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def orientation_of(affine: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return which way each axis of an affine (4, 4) points, (3, 2), as nibabel does.

    ``None`` means that there is no answer: the affine is singular or not finite.
    """
    return _orientation_of(np.ascontiguousarray(affine, dtype=np.float64).tobytes())


@lru_cache(maxsize=1024)
def _orientation_of(affine: bytes) -> NDArray[np.float64] | None:
    """Find the orientation of an affine's bytes once: a scanner repeats itself."""
    matrix = np.frombuffer(affine).reshape(4, 4)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        return None
    found = np.asarray(_nibabel().io_orientation(matrix), dtype=np.float64)
    if bool(np.isnan(found).any()):
        return None
    found.setflags(write=False)
    return found


def to_ras(
    data: NDArray[np.float32], orientation: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Flip and exchange axes so that they run nearest to right, front and up.

    Returns
    -------
    numpy.ndarray
        Contiguous, float32.
    """
    turned = np.ascontiguousarray(_nibabel().apply_orientation(data, orientation))
    return turned.astype(np.float32, copy=False)


def affine_in_ras(
    affine: NDArray[np.float64],
    orientation: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Return the affine, (4, 4), of data that `to_ras` turned.

    Parameters
    ----------
    affine, orientation
        Of the data as they were, see `orientation_of`.
    shape
        Voxels along each of their axes.
    """
    back = np.asarray(_nibabel().inv_ornt_aff(orientation, shape), dtype=np.float64)
    return affine @ back


def _nibabel() -> Any:  # noqa: ANN401  (not annotated)
    # imported here: most that a site or a coordinator serves reads no volume
    from nibabel import orientations

    return orientations
