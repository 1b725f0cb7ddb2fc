"""The allow-list refuses what it does not know, and what it builds is deterministic."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fednb.errors import InputError, UnknownNameError
from fednb.imaging.intensity import (
    amplitude_normalize,
    amplitude_profile,
    head_mask,
    z_score_in_mask,
)
from fednb.imaging.transforms import ALLOWED, build_fixed, build_random, validate
from fednb.records.specs import TransformSpec

# MONAI 1.5 imports with torch's deprecated scripting; nothing of ours does.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

SPACING = (5.0, 5.0, 5.0)

PARAMS = {
    "AmplitudeNormalize": {"profile": [1.0] * 8},
    "ResampleSpacing": {"spacing": [10.0, 10.0, 10.0]},
    "ScaleIntensityRange": {"a_min": 0.0, "a_max": 2.0, "b_min": 0.0, "b_max": 1.0},
    "ScaleIntensityRangePercentiles": {
        "lower": 1.0,
        "upper": 99.0,
        "b_min": 0.0,
        "b_max": 1.0,
    },
    "Resize": {"spatial_size": [8, 8, 8]},
    "SpatialPad": {"spatial_size": [20, 20, 20]},
    "CenterSpatialCrop": {"roi_size": [8, 8, 8]},
    "ResizeWithPadOrCrop": {"spatial_size": [12, 20, 16]},
    "RandAffine": {"prob": 1.0, "rotate_range": [0.2, 0.2, 0.2]},
    "RandScaleIntensity": {"factors": 0.2, "prob": 1.0},
    "RandShiftIntensity": {"offsets": 0.2, "prob": 1.0},
    "RandCoarseDropout": {"holes": 2, "spatial_size": [3, 3, 3], "prob": 1.0},
}
SHAPES = {
    "ResampleSpacing": (8, 8, 8),
    "Resize": (8, 8, 8),
    "SpatialPad": (20, 20, 20),
    "CenterSpatialCrop": (8, 8, 8),
    "ResizeWithPadOrCrop": (12, 20, 16),
}


def spec(name: str, **params: object) -> TransformSpec:
    return TransformSpec(name=name, params=params)


@pytest.fixture
def array() -> np.ndarray:
    rng = np.random.default_rng(0)
    out = np.zeros((4, 16, 16, 16), dtype=np.float32)
    out[:3, 3:13, 3:13, 3:13] = 1.0 + 0.2 * rng.standard_normal(
        (3, 10, 10, 10), dtype=np.float32
    )
    return out


@pytest.mark.parametrize("name", sorted(n for n, e in ALLOWED.items() if not e.random))
def test_fixed_transforms_are_deterministic_and_leave_their_input(name, array):
    before = array.copy()
    fixed = build_fixed([spec(name, **PARAMS.get(name, {}))])
    first, second = fixed(array, SPACING), fixed(array, SPACING)
    assert first.dtype == np.float32
    assert first.shape == (4, *SHAPES.get(name, (16, 16, 16)))
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)
    assert np.array_equal(array, before)


@pytest.mark.parametrize("name", sorted(n for n, e in ALLOWED.items() if e.random))
def test_augmentation_depends_on_the_generator_alone(name, array):
    before = array.copy()
    params = PARAMS.get(name, {"prob": 1.0})
    one, other = (build_random([spec(name, **params)]) for _ in range(2))
    first = one(array, np.random.default_rng(7))
    one(array, np.random.default_rng(8))
    again = one(array, np.random.default_rng(7))
    assert first.shape == array.shape
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert np.array_equal(first, other(array, np.random.default_rng(7)))
    assert np.array_equal(array, before)


def test_some_draws_differ(array):
    augment = build_random(
        [spec("RandGainNoise", prob=1.0), spec("RandFlip", prob=1.0)]
    )
    a = augment(array, np.random.default_rng(1))
    b = augment(array, np.random.default_rng(2))
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, array)


def test_each_part_takes_its_own_transforms(array):
    plan = [spec("ZScoreInMask"), spec("RandGainNoise", prob=0.0)]
    assert np.array_equal(build_fixed(plan)(array, SPACING), z_score_in_mask(array))
    assert np.array_equal(build_random(plan)(array, np.random.default_rng(0)), array)


def test_a_resize_changes_the_spacing_for_what_follows(array):
    plan = [
        spec("Resize", spatial_size=[8, 8, 8]),
        spec("ResampleSpacing", spacing=[5.0] * 3),
    ]
    assert build_fixed(plan)(array, SPACING).shape == (4, 16, 16, 16)


def test_an_unknown_transform_is_refused_by_name():
    with pytest.raises(
        UnknownNameError,
        match=r"Unknown transform 'RandFlipp'\. Did you mean 'RandFlip'\?",
    ):
        validate([spec("RandFlipp")])


def test_an_unknown_parameter_is_refused_by_name():
    with pytest.raises(UnknownNameError, match="Unknown parameter of RandFlip 'func'"):
        validate([spec("RandFlip", func="os.system")])


SHARE = "a number from 0 to 1"
SIZE = "a list of 3 members, each a whole number from 1 to 512"


@pytest.mark.parametrize(
    ("name", "params", "allowed"),
    [
        ("RandFlip", {"prob": 1.5}, SHARE),
        ("RandFlip", {"prob": True}, SHARE),
        ("RandFlip", {"prob": float("nan")}, SHARE),
        ("RandFlip", {"spatial_axis": 3}, "a whole number from 0 to 2"),
        ("Resize", {"spatial_size": [8, 8]}, SIZE),
        ("Resize", {"mode": "eval"}, "one of nearest, area, trilinear"),
        ("NormalizeIntensity", {"nonzero": 1}, "true or false"),
        ("ZScoreInMask", {"background": "0"}, SHARE),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(name, params, allowed):
    ((param, value),) = params.items()
    with pytest.raises(InputError) as caught:
        validate([spec(name, **params)])
    text = f"{name}: {param}={value!r} is not allowed; it is {allowed}."
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (spec("Resize"), f"Resize needs spatial_size: {SIZE}."),
        (
            spec("ScaleIntensity", minv=2.0, maxv=1.0),
            "ScaleIntensity: minv=2.0 is not below maxv=1.0.",
        ),
        (
            spec("RandAdjustContrast", gamma=[2.0, 1.0]),
            "RandAdjustContrast: gamma=[2.0, 1.0] runs from high to low.",
        ),
    ],
)
def test_missing_and_contradictory_parameters_are_refused(bad, message):
    with pytest.raises(InputError) as caught:
        validate([bad])
    assert str(caught.value) == message


def test_a_fixed_transform_after_a_random_one_is_refused():
    with pytest.raises(
        InputError, match="ZScoreInMask is a fixed transform and comes after RandFlip"
    ):
        build_fixed([spec("RandFlip"), spec("ZScoreInMask")])


def test_z_score_in_the_head(array):
    out = z_score_in_mask(array)
    head = np.zeros((16, 16, 16), dtype=bool)
    head[3:13, 3:13, 3:13] = True
    assert np.array_equal(head_mask(array), head)
    for channel in range(3):
        assert out[channel][head].mean() == pytest.approx(0.0, abs=1e-5)
        assert out[channel][head].std() == pytest.approx(1.0, abs=1e-5)
        assert (out[channel][~head] == 0).all()
    assert (out[3] == 0).all()
    assert np.allclose(z_score_in_mask(array * 1.6 + 0.1)[:3], out[:3], atol=1e-4)


def test_a_constant_volume_stays_zero():
    assert (z_score_in_mask(np.ones((2, 4, 4, 4), np.float32)) == 0).all()


def test_amplitudes_reach_the_profile(array):
    rng = np.random.default_rng(3)
    noisy = array + 0.1 * rng.standard_normal(array.shape, dtype=np.float32)
    profile = [3.0, 2.5, 2.0, 1.5, 1.0, 0.5]
    out = amplitude_normalize(noisy, profile)
    # The lowest shell holds the mean, which is kept.
    assert np.allclose(amplitude_profile(out, 6)[:, 1:], profile[1:], atol=0.02)
    assert np.allclose(out.mean((1, 2, 3)), noisy.mean((1, 2, 3)), atol=1e-4)
    assert np.allclose(amplitude_normalize(noisy, profile, 0.0), noisy, atol=1e-5)


def test_importing_imaging_loads_neither_torch_nor_monai():
    code = (
        "import sys, fednb.imaging.transforms, fednb.imaging.quality, "
        "fednb.imaging.volumes, fednb.imaging.dicom, fednb.phantom.hospital, "
        "fednb.phantom.oracle; "
        "print(sorted({'torch', 'monai'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603  our own interpreter and text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
