"""`VolumeViewer`: what travels, what is refused, and what a page does with it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import comm
import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volumes import SHAPE, ramp

from fednb import widgets
from fednb.coordinator.mockdata import MockView
from fednb.errors import DependencyError, InputError, UnknownNameError
from fednb.widgets import VolumeViewer, volume

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def opened(_recorded, monkeypatch):
    """What each widget sent when it was made, with its binary buffers."""
    found = []
    recording = comm.create_comm

    def create(**named):
        found.append(named)
        return recording(**named)

    monkeypatch.setattr(comm, "create_comm", create)
    return found


def decoded(viewer: VolumeViewer, index: int = 0) -> np.ndarray:
    """The voxels as a page reads them: X fastest, in their own units."""
    channel = viewer.channels[index]
    if channel["bits"] == 32:
        flat = np.frombuffer(channel["data"], "<f4")
    else:
        levels = np.frombuffer(channel["data"], np.uint8)
        scale = (channel["high"] - channel["low"]) / 255
        flat = channel["low"] + levels * scale
    return flat.reshape(viewer.shape, order="F")


def test_a_small_volume_travels_as_it_is_and_as_bytes(opened):
    viewer = VolumeViewer(ramp(), spacing=(1, 2, 3.5), title="a")
    np.testing.assert_array_equal(decoded(viewer), ramp())
    (sent,) = [o for o in opened if "channels" in o["data"]["state"]]
    state = sent["data"]["state"]
    assert "data" not in state["channels"][0]
    assert [len(b) for b in sent["buffers"]] == [4 * ramp().size]
    assert sent["data"]["buffer_paths"] == [["channels", 0, "data"]]
    assert len(json.dumps(state["channels"])) < 200
    assert (state["shape"], state["spacing"]) == ([4, 3, 2], [1.0, 2.0, 3.5])
    assert (state["title"], state["backend"]) == ("a", "auto")


def test_large_volumes_travel_at_eight_bits(monkeypatch):
    monkeypatch.setattr(volume, "MAX_EXACT_BYTES", 4 * 24 * 2 - 1)
    data = np.random.default_rng(0).normal(50, 20, SHAPE)
    viewer = VolumeViewer({"a": data, "b": -data})
    assert [len(c["data"]) for c in viewer.channels] == [24, 24]
    for index, truth in enumerate((data, -data)):
        half_a_level = np.ptp(data) / 255 / 2
        assert np.abs(decoded(viewer, index) - truth).max() <= half_a_level * 1.001
    assert VolumeViewer(data).channels[0]["bits"] == 32


@settings(max_examples=30)
@given(st.floats(-1e38, 1e38), st.floats(0, 1e38), st.integers(0, 2**32 - 1))
def test_eight_bits_keep_every_range(low, span, seed):
    data = low + span * np.random.default_rng(seed).random(SHAPE)
    channel = volume._channel("a", data.astype(np.float32), 8)
    levels = np.frombuffer(channel["data"], np.uint8)
    assert levels.min() == 0
    assert levels.max() == (255 if channel["high"] > channel["low"] else 0)
    assert channel["low"] <= channel["shown"][0] <= channel["shown"][1]
    assert channel["shown"][1] <= channel["high"]


def test_what_is_grey_at_first_leaves_out_the_brightest_voxels():
    data = np.zeros((10, 10, 10))
    data[:5] = np.linspace(1, 100, 500).reshape(5, 10, 10)
    data[0, 0, 0] = 9000
    (channel,) = VolumeViewer(data).channels
    assert channel["shown"] == pytest.approx([0.0, np.percentile(data, 99.5)])
    assert channel["high"] == 9000
    (flat,) = VolumeViewer(np.full(SHAPE, 7)).channels
    assert flat["shown"] == [7.0, 7.0]
    # one voxel in a thousand is all that there is to see
    data = np.zeros((10, 10, 10), dtype=bool)
    data[3, 3, 3] = True
    assert VolumeViewer(data).channels[0]["shown"] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            np.zeros((4, 4)),
            "A volume has three axes, X, Y and Z; 'volume' has the shape",
        ),
        (np.zeros((4, 0, 4)), "has the shape (4, 0, 4)"),
        (np.full(SHAPE, np.nan), "'volume' has voxels that are not finite in float32"),
        (np.full(SHAPE, 1e300), "replace them, for example with numpy.nan_to_num"),
        (np.full(SHAPE, "x"), "Voxels are real numbers; 'volume' has the type <U1."),
        (np.zeros(SHAPE, complex), "has the type complex128"),
        ([[[1, 2], [3]]], "'volume' is no array of voxels: setting an array element"),
        ({}, "One to 32 volumes can be shown; got 0."),
        ({"a": ramp(), "b": ramp((3, 3, 3))}, "got [(3, 3, 3), (4, 3, 2)]. Resample"),
    ],
)
def test_what_is_no_volume_is_refused(given, message):
    with pytest.raises(InputError, match=re.escape(message)):
        VolumeViewer(given)


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, -1, 1), (1, 1, np.inf)])
def test_a_spacing_is_three_positive_numbers(spacing):
    with pytest.raises(InputError, match="three positive numbers, in mm; got"):
        VolumeViewer(ramp(), spacing=spacing)


def test_too_much_for_a_page_is_refused_and_says_what_to_do(opened):
    huge = np.broadcast_to(np.float32(0), (401, 400, 400))
    with pytest.raises(InputError) as caught:
        VolumeViewer(huge)
    assert str(caught.value) == (
        "64.2 MB of voxels are too many for a page, at 8 bits each; at most 64 MB are "
        "shown. Crop the volumes, take every second voxel, or show fewer modalities."
    )
    assert opened == []


def test_an_unknown_backend_is_named():
    with pytest.raises(UnknownNameError, match=r"Unknown backend 'canvass'. Did you"):
        VolumeViewer(ramp(), backend="canvass")


def test_itkwidgets_is_imported_only_where_it_is_asked_for(monkeypatch):
    code = (
        "import sys, numpy as np\nfrom fednb.widgets import VolumeViewer\n"
        "VolumeViewer(np.zeros((2, 2, 2)))\nassert 'itkwidgets' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
    monkeypatch.setitem(sys.modules, "itkwidgets", None)
    with pytest.raises(DependencyError) as caught:
        VolumeViewer(ramp(), backend="itkwidgets")
    assert str(caught.value) == (
        "itkwidgets, which loads its viewer from the internet, is not installed. "
        "Install it with: pip install 'fednb[itkwidgets]'"
    )


def test_itkwidgets_gets_the_first_volume_when_it_is_shown(monkeypatch):
    shown = []
    fake = SimpleNamespace(view=lambda image: shown.append(image))
    monkeypatch.setitem(sys.modules, "itkwidgets", fake)
    viewer = VolumeViewer({"a": ramp(), "b": ramp()}, backend="itkwidgets", title="t")
    assert viewer.channels == []
    assert shown == []
    assert viewer._repr_mimebundle_() == ({"text/plain": "t"}, {})
    np.testing.assert_array_equal(shown[0], ramp().transpose(2, 1, 0))


def mock_view(**changes) -> MockView:
    volumes = {"FLAIR": ramp(), "T1": ramp() + 100}
    fields = {
        "title": "mock glioma, patient 0",
        "volumes": volumes,
        "spacing": (1.0, 1.0, 2.0),
        "modality": "T1",
        **changes,
    }
    return MockView(**fields)


def test_a_mock_view_is_live_under_a_kernel_with_its_picture_beside():
    viewer = VolumeViewer(mock_view())
    assert [c["name"] for c in viewer.channels] == ["T1", "FLAIR"]
    assert viewer.spacing == [1.0, 1.0, 2.0]
    assert viewer.title == "mock glioma, patient 0"
    assert VolumeViewer(mock_view(), title="mine", spacing=(3, 3, 3)).title == "mine"
    widgets.install()
    try:
        bundle = mock_view()._repr_mimebundle_()
    finally:
        widgets.uninstall()
    assert set(bundle) == {VIEW, "text/plain", "image/png"}
    assert set(mock_view()._repr_mimebundle_()) == {"text/plain", "image/png"}


def test_what_is_too_large_for_a_page_is_shown_as_a_picture(monkeypatch):
    monkeypatch.setattr(volume, "MAX_BYTES", 47)
    widgets.install()
    try:
        bundle = mock_view()._repr_mimebundle_()
    finally:
        widgets.uninstall()
    assert set(bundle) == {"text/plain", "image/png"}


def test_the_picture_of_a_mock_view_is_a_png_of_three_planes(tmp_path):
    view = mock_view()
    assert repr(view) == "mock glioma, patient 0: FLAIR, T1; 4 x 3 x 2 voxels"
    bundle = view._repr_mimebundle_()
    path = tmp_path / "view.png"
    path.write_bytes(base64.b64decode(bundle["image/png"]))
    height, width, _ = matplotlib.image.imread(path).shape
    assert width > 2 * height > 0
    assert [a.get_title() for a in view.axes] == ["sagittal", "coronal", "axial"]
    np.testing.assert_array_equal(
        view.axes[2].images[0].get_array(), view.volumes["T1"][:, :, 1].T
    )
    # a voxel is twice as high as wide in the planes that hold Z
    assert [a.get_aspect() for a in view.axes] == [2.0, 2.0, 1.0]


def test_hostile_names_are_text(hostile):
    bad = hostile.HOSTILE
    viewer = VolumeViewer({bad: ramp()}, title=bad)
    view = mock_view(title=bad, volumes={bad: ramp()}, modality=bad)
    shown = (viewer.title, viewer.channels[0]["name"], repr(view))
    assert not [c for words in shown for c in words if hostile.is_invisible(c)]
    assert len(view._repr_mimebundle_()["image/png"]) > 1000
