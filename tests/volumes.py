"""Small volumes for tests, and where the 3D viewer is served."""

from __future__ import annotations

import numpy as np

ROUTE = "fednb/static/itk-vtk-viewer/itkVtkViewer.js"
SHAPE = (4, 3, 2)


def ramp(shape=SHAPE) -> np.ndarray:
    """Voxels that all differ, so that an axis that is turned shows."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
