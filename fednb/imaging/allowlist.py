"""The transforms that a plan may name, with the parameters that each may have.

A name outside this list is refused; nothing is looked up in MONAI by a name that came
from elsewhere (law 7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ParamKind = Literal["number", "whole", "flag", "numbers", "wholes", "choice"]


@dataclass(frozen=True)
class ParamRule:
    """What one parameter may be.

    Attributes
    ----------
    kind
        A ``number``, a ``whole`` number, a ``flag``, lists of the first two, or a
        ``choice`` of words.
    low, high
        Bounds of a number and of each member of a list.
    lengths
        Allowed lengths of a list.
    choices
        The words of a choice.
    required
        Whether it must be given.
    """

    kind: ParamKind
    low: float = 0.0
    high: float = 1.0
    lengths: tuple[int, ...] = ()
    choices: tuple[str, ...] = ()
    required: bool = False

    def allowed(self) -> str:
        """Say in words what is allowed."""
        if self.kind == "flag":
            return "true or false"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        noun = "a whole number" if self.kind in {"whole", "wholes"} else "a number"
        ends = f"from {self.low:g} to {self.high:g}"
        if not self.lengths:
            return f"{noun} {ends}"
        many = " or ".join(str(n) for n in self.lengths[:4])
        if len(self.lengths) > 4:
            many = f"{self.lengths[0]} to {self.lengths[-1]}"
        return f"a list of {many} members, each {noun} {ends}"


@dataclass(frozen=True)
class TransformEntry:
    """One allowed transform.

    Attributes
    ----------
    source
        Name of MONAI's class, or ``"fednb"`` for our own.
    doc
        One line for the owner who reads the contract.
    random
        Whether it is an augmentation, drawn anew each time.
    params
        Rules by name of the parameter.
    """

    source: str
    doc: str
    random: bool = False
    params: Mapping[str, ParamRule] = field(default_factory=dict)


_PROB: Final = {"prob": ParamRule("number", 0.0, 1.0)}
_FLAG: Final = ParamRule("flag")
_VALUE: Final = ParamRule("number", -1e6, 1e6)
_NEEDED: Final = ParamRule("number", -1e6, 1e6, required=True)
_SIZE: Final = ParamRule("wholes", 1, 512, lengths=(3,), required=True)
_PERCENT: Final = ParamRule("number", 0.0, 100.0, required=True)
_AXIS: Final = ParamRule("whole", 0, 2)
_SIGMA: Final = ParamRule("number", 0.0, 10.0)
_SIGMAS: Final = ParamRule("numbers", 0.0, 10.0, lengths=(2,))
_ANGLES: Final = ParamRule("numbers", 0.0, 3.1416, lengths=(3,))
_SHARES: Final = ParamRule("numbers", 0.0, 0.5, lengths=(3,))
_SHIFTS: Final = ParamRule("numbers", 0.0, 64.0, lengths=(3,))
_MODE: Final = ParamRule("choice", choices=("nearest", "bilinear"))
_EDGE: Final = ParamRule("choice", choices=("zeros", "border", "reflection"))

_FIXED: Final = {
    "ZScoreInMask": TransformEntry(
        "fednb",
        "mean 0 and variance 1 inside the head, each modality by itself; air is 0",
        params={"background": ParamRule("number", 0.0, 1.0)},
    ),
    "AmplitudeNormalize": TransformEntry(
        "fednb",
        "amplitude spectrum moved towards a profile common to the sites (HarmoFL)",
        params={
            "profile": ParamRule(
                "numbers", -50.0, 50.0, lengths=tuple(range(2, 65)), required=True
            ),
            "strength": ParamRule("number", 0.0, 1.0),
        },
    ),
    "ResampleSpacing": TransformEntry(
        "fednb",
        "linear resampling to the same millimetres a voxel",
        params={
            "spacing": ParamRule("numbers", 0.2, 20.0, lengths=(3,), required=True)
        },
    ),
    "NormalizeIntensity": TransformEntry(
        "NormalizeIntensity",
        "subtract and divide, by default to mean 0 and variance 1",
        params={
            "subtrahend": _VALUE,
            "divisor": ParamRule("number", 1e-6, 1e6),
            "nonzero": _FLAG,
            "channel_wise": _FLAG,
        },
    ),
    "ScaleIntensity": TransformEntry(
        "ScaleIntensity",
        "scale the range of values to minv .. maxv",
        params={"minv": _VALUE, "maxv": _VALUE, "channel_wise": _FLAG},
    ),
    "ScaleIntensityRange": TransformEntry(
        "ScaleIntensityRange",
        "map a_min .. a_max to b_min .. b_max",
        params={
            "a_min": _NEEDED,
            "a_max": _NEEDED,
            "b_min": _NEEDED,
            "b_max": _NEEDED,
            "clip": _FLAG,
        },
    ),
    "ScaleIntensityRangePercentiles": TransformEntry(
        "ScaleIntensityRangePercentiles",
        "map percentiles of the image to b_min .. b_max",
        params={
            "lower": _PERCENT,
            "upper": _PERCENT,
            "b_min": _NEEDED,
            "b_max": _NEEDED,
            "clip": _FLAG,
            "relative": _FLAG,
            "channel_wise": _FLAG,
        },
    ),
    "Resize": TransformEntry(
        "Resize",
        "resample to a number of voxels",
        params={
            "spatial_size": _SIZE,
            "mode": ParamRule("choice", choices=("nearest", "area", "trilinear")),
            "anti_aliasing": _FLAG,
        },
    ),
    "SpatialPad": TransformEntry(
        "SpatialPad", "pad with 0 to a size", params={"spatial_size": _SIZE}
    ),
    "CenterSpatialCrop": TransformEntry(
        "CenterSpatialCrop", "crop about the centre", params={"roi_size": _SIZE}
    ),
    "ResizeWithPadOrCrop": TransformEntry(
        "ResizeWithPadOrCrop",
        "pad or crop about the centre to a size",
        params={"spatial_size": _SIZE},
    ),
    "GaussianSmooth": TransformEntry(
        "GaussianSmooth", "Gaussian blur, sigma in voxels", params={"sigma": _SIGMA}
    ),
    "MedianSmooth": TransformEntry(
        "MedianSmooth", "median filter", params={"radius": ParamRule("whole", 1, 3)}
    ),
}

_RANDOM: Final = {
    "RandGainNoise": TransformEntry(
        "fednb",
        "random gain of each modality and Gaussian noise",
        random=True,
        params={
            **_PROB,
            "gain": ParamRule("number", 0.0, 1.0),
            "noise": ParamRule("number", 0.0, 2.0),
        },
    ),
    "RandFlip": TransformEntry(
        "fednb",
        "mirror along an axis (0 is left-right)",
        random=True,
        params={**_PROB, "spatial_axis": _AXIS},
    ),
    "RandRotate90": TransformEntry(
        "RandRotate90",
        "quarter turns in a plane",
        random=True,
        params={
            **_PROB,
            "max_k": ParamRule("whole", 1, 3),
            "spatial_axes": ParamRule("wholes", 0, 2, lengths=(2,)),
        },
    ),
    "RandAffine": TransformEntry(
        "RandAffine",
        "rotation, shear, shift and scale",
        random=True,
        params={
            **_PROB,
            "rotate_range": _ANGLES,
            "shear_range": _SHARES,
            "translate_range": _SHIFTS,
            "scale_range": _SHARES,
            "mode": _MODE,
            "padding_mode": _EDGE,
        },
    ),
    "RandZoom": TransformEntry(
        "RandZoom",
        "enlarge or shrink, keeping the size",
        random=True,
        params={
            **_PROB,
            "min_zoom": ParamRule("number", 0.5, 2.0),
            "max_zoom": ParamRule("number", 0.5, 2.0),
        },
    ),
    "RandGaussianNoise": TransformEntry(
        "RandGaussianNoise",
        "Gaussian noise",
        random=True,
        params={**_PROB, "mean": _VALUE, "std": ParamRule("number", 0.0, 1e3)},
    ),
    "RandRicianNoise": TransformEntry(
        "RandRicianNoise",
        "Rician noise, as of a magnitude image",
        random=True,
        params={**_PROB, "mean": _VALUE, "std": ParamRule("number", 0.0, 1e3)},
    ),
    "RandScaleIntensity": TransformEntry(
        "RandScaleIntensity",
        "multiply by 1 +- factors",
        random=True,
        params={**_PROB, "factors": ParamRule("number", 0.0, 1.0, required=True)},
    ),
    "RandShiftIntensity": TransformEntry(
        "RandShiftIntensity",
        "add +- offsets",
        random=True,
        params={**_PROB, "offsets": ParamRule("number", 0.0, 1e3, required=True)},
    ),
    "RandAdjustContrast": TransformEntry(
        "RandAdjustContrast",
        "gamma curve",
        random=True,
        params={**_PROB, "gamma": ParamRule("numbers", 0.1, 5.0, lengths=(2,))},
    ),
    "RandBiasField": TransformEntry(
        "RandBiasField",
        "polynomial field of sensitivity",
        random=True,
        params={
            **_PROB,
            "degree": ParamRule("whole", 1, 5),
            "coeff_range": ParamRule("numbers", 0.0, 1.0, lengths=(2,)),
        },
    ),
    "RandGaussianSmooth": TransformEntry(
        "RandGaussianSmooth",
        "Gaussian blur of random width",
        random=True,
        params={**_PROB, "sigma_x": _SIGMAS, "sigma_y": _SIGMAS, "sigma_z": _SIGMAS},
    ),
    "RandCoarseDropout": TransformEntry(
        "RandCoarseDropout",
        "boxes set to a value",
        random=True,
        params={
            **_PROB,
            "holes": ParamRule("whole", 1, 64, required=True),
            "spatial_size": ParamRule("wholes", 1, 128, lengths=(3,), required=True),
            "fill_value": _VALUE,
        },
    ),
}

ALLOWED: Final[Mapping[str, TransformEntry]] = MappingProxyType({**_FIXED, **_RANDOM})
"""Every transform that a plan may name."""
