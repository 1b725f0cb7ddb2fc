"""What the latents say is visible in the volumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fednb.errors import InputError
from fednb.phantom.render import (
    FIELD_OF_VIEW,
    MODALITIES,
    Findings,
    draw_anatomy,
    render,
)

PLAIN = Findings(
    frontal=False,
    mismatch=False,
    enhancement=False,
    necrosis=False,
    log_volume=4.0,
    u=0.0,
)
T1C, FLAIR = MODALITIES.index("T1c"), MODALITIES.index("FLAIR")


def show(findings, size=32, seed=1, **options):
    anatomy = draw_anatomy(findings, np.random.default_rng(seed))
    return render(findings, anatomy, size, **options), anatomy


def world(size):
    axis = (np.arange(size) + 0.5) * FIELD_OF_VIEW / size - FIELD_OF_VIEW / 2
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def core(volume, anatomy, modality, radius=6.0):
    size = volume.shape[-1]
    near = np.linalg.norm(world(size) - anatomy.centre, axis=-1) < radius
    return float(volume[modality][near].mean())


@pytest.mark.parametrize(
    ("change", "modality", "value"),
    [
        ({}, "FLAIR", 0.80),
        ({"mismatch": True}, "FLAIR", 0.22),
        ({}, "T1c", 0.55),
        ({"enhancement": True}, "T1c", 1.10),
        ({"enhancement": True, "necrosis": True}, "T1c", 0.22),
    ],
)
def test_the_core_has_its_signal(change, modality, value):
    volume, anatomy = show(replace(PLAIN, **change), size=48)
    seen = core(volume, anatomy, MODALITIES.index(modality))
    assert seen == pytest.approx(value, abs=0.06)


def test_the_necrotic_tumour_has_a_bright_rim():
    findings = replace(PLAIN, enhancement=True, necrosis=True)
    volume, _ = show(findings)
    assert volume[T1C].max() == pytest.approx(1.35, abs=0.06)


def test_volume_is_physical():
    # The solid enhancing tumour is what exceeds white matter.
    findings = replace(PLAIN, enhancement=True, log_volume=np.log(40.0), u=-3.0)
    for size in (32, 48):
        volume, _ = show(findings, size)
        voxel = (FIELD_OF_VIEW / size) ** 3 / 1000.0
        millilitres = float((volume[T1C] > 0.92).sum()) * voxel
        assert millilitres == pytest.approx(40.0, rel=0.2)


def test_the_frontal_tumour_lies_in_front():
    front = show(replace(PLAIN, frontal=True))[1].centre[1]
    back = show(PLAIN)[1].centre[1]
    assert front > 20.0 > -10.0 > back


def test_u_makes_the_rim_irregular():
    anatomy = draw_anatomy(PLAIN, np.random.default_rng(1))
    spread = []
    for u in (-2.0, 2.0):
        findings = replace(PLAIN, enhancement=True, u=u)
        volume = render(findings, anatomy, 48)
        inside = volume[T1C] > 0.92
        distance = np.linalg.norm(world(48) - anatomy.centre, axis=-1)
        # In a smooth tumour nearly all voxels within the radius are inside.
        outer = distance[inside]
        spread.append(np.percentile(outer, 99) / np.cbrt(inside.sum()))
    assert spread[1] > 1.15 * spread[0]


def test_air_is_zero_and_the_head_is_not():
    volume, _ = show(PLAIN)
    assert volume.shape == (4, 32, 32, 32)
    assert volume.dtype == np.float32
    assert (volume[:, 0] == 0).all()
    distance = np.linalg.norm(world(32), axis=-1)
    assert (volume[:, distance < 50] > 0.1).all()


def test_the_same_head_at_every_size():
    findings = replace(PLAIN, enhancement=True)
    small, anatomy = show(findings, 24)
    large, again = show(findings, 48)
    assert np.array_equal(anatomy.centre, again.centre)
    pooled = large.reshape(4, 24, 2, 24, 2, 24, 2).mean((2, 4, 6))
    assert np.corrcoef(pooled.ravel(), small.ravel())[0, 1] > 0.995


def test_a_contrast_swap_exchanges_grey_and_white():
    plain, _ = show(PLAIN)
    swapped, _ = show(PLAIN, contrast_swap=True)
    white = np.linalg.norm(world(32) - [0.0, 60.0, 0.0], axis=-1) < 5.0
    white &= np.linalg.norm(world(32), axis=-1) < 62.0
    assert swapped[T1C][white].mean() < plain[T1C][white].mean() - 0.1
    assert np.array_equal(plain[FLAIR], swapped[FLAIR])


@pytest.mark.parametrize("size", [7, 257])
def test_a_size_out_of_range(size):
    with pytest.raises(InputError, match=f"8 to 256 voxels; {size} was given"):
        show(PLAIN, size)
