"""`VolumeViewer`: mock volumes and approved outputs, to be looked at.

A volume crosses to the page as bytes beside the widget's state, never as JSON. The page
shows it with itk-vtk-viewer (Kitware, BSD-3-Clause), the engine of itkwidgets, which
this package brings along: nothing is asked of any other machine.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import anywidget
import numpy as np
import traitlets
from typing_extensions import override

from fednb.coordinator.mockdata import MockView
from fednb.display.text import human_bytes, visible
from fednb.errors import DependencyError, InputError, UnknownNameError
from fednb.widgets.sources import CSS, module

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BACKENDS: Final = ("auto", "canvas", "itkwidgets")
"""How a volume can be shown."""

MAX_EXACT_BYTES: Final = 8_000_000
"""Volumes travel as float32 up to this, all modalities together, and as 8 bits above.

They travel again each time a page is reloaded.
"""

MAX_BYTES: Final = 64_000_000
"""Most that is sent to a page, at 8 bits a voxel."""

MAX_CHANNELS: Final = 32

_LEVELS: Final = 255
_SHOWN_PERCENTILES: Final = (1.0, 99.5)
_UNIT: Final = (1.0, 1.0, 1.0)


class VolumeViewer(anywidget.AnyWidget):
    """Shows volumes in three dimensions, or in three planes where there is no WebGL.

    Whoever looks has the arrays already: a viewer asks no site for anything.

    Parameters
    ----------
    volume
        Voxels, (X, Y, Z), in RAS; a mapping of modalities to such arrays on one grid;
        or what ``ds.mock.view(0)`` returns.
    backend
        ``"auto"``: in three dimensions; three planes on a canvas where the page has no
        WebGL, or the Jupyter server does not serve the viewer's files.
        ``"canvas"``: three planes always.
        ``"itkwidgets"``: hands the first volume to that package, an extra of this one.
        It loads its viewer from the internet.
    spacing
        Millimetres a voxel along each axis. None: 1 mm, or what a mock view says.
    title
        Shown above. Empty: none, or what a mock view says.

    Attributes
    ----------
    channels
        One a modality: ``name``; ``bits``, 32 (float32, little-endian) or 8, where
        level 0 stands for ``low`` and 255 for ``high``; ``shown``, the two values
        between which it is grey at first; and ``data``, the voxels as bytes with X
        fastest.
    shape
        Voxels along each axis.

    Raises
    ------
    InputError
        The volumes are not three-dimensional, not of one shape, not finite, or larger
        than `MAX_BYTES`; or the spacing is not three positive numbers.
    UnknownNameError
        There is no such backend.
    DependencyError
        itkwidgets was asked for and is not installed.
    """

    _esm = module("volume_slices", "volume_viewer")
    _css = CSS

    title = traitlets.Unicode().tag(sync=True)
    backend = traitlets.Unicode().tag(sync=True)
    shape: traitlets.List[int] = traitlets.List().tag(sync=True)
    spacing: traitlets.List[float] = traitlets.List().tag(sync=True)
    channels: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)

    def __init__(
        self,
        volume: MockView | Mapping[str, ArrayLike] | ArrayLike,
        *,
        backend: str = "auto",
        spacing: tuple[float, float, float] | None = None,
        title: str = "",
    ) -> None:
        if backend not in BACKENDS:
            kind = "backend"
            raise UnknownNameError(kind, backend, BACKENDS)
        if isinstance(volume, MockView):
            spacing, title = spacing or volume.spacing, title or volume.title
        arrays = _arrays(volume)
        millimetres = _checked_spacing(spacing or _UNIT)
        self._itkwidgets = _itkwidgets() if backend == "itkwidgets" else None
        self._first = next(iter(arrays.values()))
        super().__init__(
            title=visible(title),
            backend=backend,
            shape=list(self._first.shape),
            spacing=millimetres,
            channels=[] if self._itkwidgets else _channels(arrays),
        )

    @override
    def _repr_mimebundle_(
        self, **named: Any
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        if self._itkwidgets is None:
            bundle: tuple[dict[str, Any], dict[str, Any]] | None
            bundle = super()._repr_mimebundle_(**named)
            return bundle
        # it displays what it returns by itself; its arrays are indexed z, y, x
        self._itkwidgets.view(image=np.ascontiguousarray(self._first.T))
        return {"text/plain": self.title or "A volume, shown by itkwidgets"}, {}


def _arrays(volume: object) -> dict[str, NDArray[np.float32]]:
    """Return the volumes by name, checked, the one shown first first."""
    given: dict[str, Any]
    if isinstance(volume, MockView):
        first = {volume.modality: volume.volumes[volume.modality]}
        given = {**first, **volume.volumes}
    elif isinstance(volume, Mapping):
        given = {str(name): data for name, data in volume.items()}
    else:
        given = {"volume": volume}
    if not 0 < len(given) <= MAX_CHANNELS:
        message = f"One to {MAX_CHANNELS} volumes can be shown; got {len(given)}."
        raise InputError(message)
    raw = {name: _array(name, data) for name, data in given.items()}
    _check_size(sum(data.size for data in raw.values()))
    arrays = {name: _checked(name, data) for name, data in raw.items()}
    shapes = {data.shape for data in arrays.values()}
    if len(shapes) > 1:
        message = (
            f"Volumes that are shown together have one shape; got {sorted(shapes)}. "
            "Resample them to one grid, or show them one by one."
        )
        raise InputError(message)
    return arrays


def _array(name: str, given: object) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except (TypeError, ValueError) as error:
        message = f"{name[:80]!r} is no array of voxels: {error}"
        raise InputError(message) from error


def _check_size(voxels: int) -> None:
    if voxels > MAX_BYTES:
        message = (
            f"{human_bytes(voxels)} of voxels are too many for a page, at 8 bits each; "
            f"at most {human_bytes(MAX_BYTES)} are shown. Crop the volumes, take every "
            "second voxel, or show fewer modalities."
        )
        raise InputError(message)


def _checked(name: str, data: NDArray[Any]) -> NDArray[np.float32]:
    if data.ndim != 3 or 0 in data.shape:
        message = (
            f"A volume has three axes, X, Y and Z; {name[:80]!r} has the shape "
            f"{data.shape}. Pass several modalities as a mapping of names to volumes."
        )
        raise InputError(message)
    if data.dtype.kind not in "biuf":
        message = f"Voxels are real numbers; {name[:80]!r} has the type {data.dtype}."
        raise InputError(message)
    with np.errstate(over="ignore"):
        voxels = data.astype(np.float32)
    if not np.isfinite(voxels).all():
        message = (
            f"{name[:80]!r} has voxels that are not finite in float32; replace them, "
            "for example with numpy.nan_to_num."
        )
        raise InputError(message)
    return voxels


def _channels(arrays: Mapping[str, NDArray[np.float32]]) -> list[dict[str, Any]]:
    """Return what the page gets: 32 or 8 bits a voxel, by how large it is together."""
    voxels = sum(data.size for data in arrays.values())
    bits = 32 if 4 * voxels <= MAX_EXACT_BYTES else 8
    return [_channel(name, data, bits) for name, data in arrays.items()]


def _checked_spacing(spacing: tuple[float, float, float]) -> list[float]:
    millimetres = [float(size) for size in spacing]
    if len(millimetres) != 3 or not all(0 < s < math.inf for s in millimetres):
        message = f"The spacing is three positive numbers, in mm; got {spacing!r}."
        raise InputError(message)
    return millimetres


def _channel(name: str, data: NDArray[np.float32], bits: int) -> dict[str, Any]:
    low, high = float(data.min()), float(data.max())
    shown = [float(value) for value in np.percentile(data, _SHOWN_PERCENTILES)]
    if shown[0] == shown[1]:
        shown = [low, high]
    if bits == 32:
        voxels = data.astype("<f4").tobytes(order="F")
    else:
        # in float64: the range of float32 values need not be one
        scaled = (data.astype(np.float64) - low) * (_LEVELS / ((high - low) or 1.0))
        voxels = np.rint(scaled).astype(np.uint8).tobytes(order="F")
    return {
        "name": visible(name),
        "bits": bits,
        "low": low,
        "high": high,
        "shown": shown,
        "data": voxels,
    }


def _itkwidgets() -> Any:  # noqa: ANN401
    """Import itkwidgets, now that it was asked for by name.

    Raises
    ------
    DependencyError
        It is not installed.
    """
    package = "itkwidgets"
    try:
        return importlib.import_module(package)
    except ImportError as error:
        asked = f"{package}, which loads its viewer from the internet,"
        raise DependencyError(asked, package) from error
