"""Each effect of a scanner has its own switch, and does what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from fednb.errors import InputError, UnknownNameError
from fednb.phantom.render import WHITE
from fednb.phantom.scanner import EFFECTS, ScannerEffects


@pytest.fixture
def head() -> np.ndarray:
    out = np.zeros((2, 24, 24, 24), dtype=np.float32)
    out[:, 4:20, 4:20, 4:20] = WHITE
    out[:, 10:14, 10:14, 10:14] = 1.2
    return out


def apply(scanner, head, seed=0):
    return scanner.apply(head, np.random.default_rng(seed))


def test_none_changes_nothing(head):
    assert np.array_equal(apply(ScannerEffects.none(), head), head)
    assert ScannerEffects.draw(1, effects=()) == ScannerEffects.none()


@pytest.mark.parametrize("name", [n for n in EFFECTS if n != "contrast_swap"])
def test_each_switch_alone(head, name):
    scanner = ScannerEffects.draw(3, effects=[name], variation=0.0)
    off = ScannerEffects.none()
    changed = [n for n in EFFECTS if getattr(scanner, n) != getattr(off, n)]
    assert changed == [name]
    assert getattr(scanner, name) == getattr(ScannerEffects.draw(3), name)
    assert scanner == ScannerEffects.draw(3, variation=0.0).only(name)
    out = apply(scanner, head)
    assert out.shape == head.shape
    assert out.dtype == np.float32
    assert not np.array_equal(out, head)
    assert np.array_equal(out, apply(scanner, head))


def test_draws_stay_in_their_ranges():
    drawn = [ScannerEffects.draw(seed) for seed in range(200)]
    for name, low, high in [
        ("gain", 0.6, 1.6),
        ("offset", -0.1, 0.1),
        ("gamma", 0.8, 1.25),
        ("bias", 0.1, 0.4),
        ("noise", 1 / 30, 1 / 8),
        ("blur", 0.0, 1.2),
        ("slice_thickness", 1.0, 2.0),
    ]:
        values = [getattr(one, name) for one in drawn]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
    assert 60 < sum(one.contrast_swap for one in drawn) < 140


def test_gain_and_offset(head):
    out = apply(ScannerEffects(gain=1.6, offset=0.1), head)
    assert np.allclose(out, 1.6 * head + 0.1)


def test_noise_has_the_ratio_asked_for(head):
    out = apply(ScannerEffects(noise=1 / 20), head)
    white = out[:, 4:9, 4:20, 4:20]
    assert WHITE / white.std() == pytest.approx(20.0, rel=0.05)
    # Air of a magnitude image is Rayleigh distributed.
    air = out[:, :4]
    assert air.mean() == pytest.approx(WHITE / 20 * np.sqrt(np.pi / 2), rel=0.03)


def test_bias_is_smooth_and_bounded(head):
    field = apply(ScannerEffects(bias=0.4), np.ones_like(head))
    assert np.abs(field - 1.0).max() == pytest.approx(0.4, rel=1e-4)
    assert np.abs(np.diff(field, axis=1)).max() < 0.1


def test_blur_is_in_the_plane_and_thickness_across(head):
    point = np.zeros_like(head)
    point[:, 12, 12, 12] = 1.0
    blurred = apply(ScannerEffects(blur=1.0), point)[0]
    assert blurred[12, 12, 11] == 0.0
    assert blurred[11, 12, 12] == blurred[12, 11, 12] > 0.05
    thick = apply(ScannerEffects(slice_thickness=2.0), point)[0]
    assert thick[11, 12, 12] == 0.0
    assert thick[12, 12, 11:14].tolist() == pytest.approx([0.25, 0.5, 0.25])
    assert blurred.sum() == pytest.approx(1.0, rel=1e-3)


def test_gamma_keeps_the_order(head):
    out = apply(ScannerEffects(gamma=1.25), head)
    assert out[0, 12, 12, 12] > out[0, 5, 5, 5] > out[0, 0, 0, 0] == 0.0
    assert out[0, 5, 5, 5] < WHITE


def test_patients_vary_around_their_scanner(head):
    scanner = ScannerEffects(gain=1.3, variation=0.1)
    gains = [apply(scanner, head, seed)[0, 5, 5, 5] / WHITE for seed in range(100)]
    assert np.std(np.log(gains)) == pytest.approx(0.1, rel=0.3)


def test_bad_settings():
    with pytest.raises(InputError, match="out of range"):
        ScannerEffects(gain=-1.0)
    with pytest.raises(UnknownNameError, match="Unknown scanner effect 'gian'"):
        ScannerEffects.draw(1, effects=["gian"])
    with pytest.raises(UnknownNameError, match="Unknown scanner effect 'gian'"):
        ScannerEffects.none().only("gian")
