"""`VolumeViewer` on a page: what is drawn, asked for and shown instead."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from pages import node
from volumes import ROUTE, SHAPE, ramp

from fednb.widgets import VolumeViewer, volume
from fednb.widgets.sources import STATIC, module

PAGE = Path(__file__).parent / "volume.mjs"


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("module") / "volume_viewer.mjs"
    path.write_text(VolumeViewer._esm)
    return path


@pytest.fixture
def show(script):
    """Show a viewer on a page that only remembers, and act on it."""

    def shown(viewer: VolumeViewer, *acts: dict, **page: object) -> dict:
        channels = [
            {**c, "data": base64.b64encode(c["data"]).decode()} for c in viewer.channels
        ]
        names = ("title", "backend", "shape", "spacing")
        state = {**{n: getattr(viewer, n) for n in names}, "channels": channels}
        words = json.dumps({"state": state, "script": acts, **page})
        found = json.loads(node(PAGE, script, given=words))
        assert found["left"] == [0, 0, "function"], "something stays on the page"
        assert found["errors"] == []
        assert found["markup"] == []
        return found

    return shown


LOOK = {"do": "look"}


def grey(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    """A plane (right, up) as rows from above, in grey levels: numpy's own way."""
    levels = (plane.T[::-1].astype(float) - low) / (high - low) * 255
    return np.rint(np.clip(levels, 0, 255)).astype(int)


def levels(picture: list) -> np.ndarray:
    width, height, pixels, x, y = picture
    assert (x, y) == (0, 0)
    rgba = np.array(pixels).reshape(height, width, 4)
    assert (rgba[..., 3] == 255).all()
    assert (rgba[..., 0] == rgba[..., 1]).all()
    assert (rgba[..., 1] == rgba[..., 2]).all()
    return rgba[..., 0]


def test_planes_are_cut_where_the_sliders_stand(show):
    data = ramp((5, 4, 3))
    viewer = VolumeViewer(data, backend="canvas", spacing=(1, 1, 2))
    page = show(
        viewer,
        LOOK,
        {"do": "slide", "label": "sagittal slice", "value": 1},
        {"do": "key", "label": "axial plane", "key": "ArrowUp"},
        {"do": "key", "label": "axial plane", "key": "PageUp"},
        {"do": "key", "label": "axial plane", "key": "PageUp"},
        {"do": "key", "label": "axial plane", "key": "x"},
        LOOK,
        {"do": "click", "label": "coronal plane", "at": [0, 0]},
        LOOK,
        webgl="A GPU",
        config="/",
    )
    low, high = viewer.channels[0]["shown"]
    for shot, (x, y, z) in zip(
        page["shots"], [(2, 2, 1), (1, 3, 2), (0, 3, 2)], strict=True
    ):
        planes = (data[x, :, :], data[:, y, :], data[:, :, z])
        for picture, plane in zip(shot["pictures"], planes, strict=True):
            assert np.abs(levels(picture) - grey(plane, low, high)).max() <= 1
        assert shot["values"][:3] == [x, y, z]
        assert f"X {x}, Y {y}, Z {z}: {data[x, y, z]:g}" in shot["text"]
        assert f"axial, slice {z + 1} of 3" in shot["text"]
    first = page["shots"][0]
    # in millimetres 5 x 4 x 6: the longer side of each plane is 260 pixels
    assert first["sizes"] == [[173, 260], [217, 260], [260, 208]]
    assert first["shown"] == "slices"
    assert "Slices are shown" not in first["text"]
    assert {"sagittal slice", "coronal slice", "axial slice"} < set(first["labels"])
    assert {"grey level", "grey window"} < set(first["labels"])
    assert page["asked"] == page["scripts"] == []


def test_level_and_window_set_what_is_grey(show):
    data = np.linspace(0, 100, 24).reshape(SHAPE)
    page = show(
        VolumeViewer(data, backend="canvas"),
        {"do": "slide", "label": "grey level", "value": 50},
        {"do": "slide", "label": "grey window", "value": 100},
        LOOK,
    )
    (shot,) = page["shots"]
    # of 200 steps over 0 to 100: level 25, window 50
    expected = grey(data[2, :, :], 0, 50)
    assert np.abs(levels(shot["pictures"][0]) - expected).max() <= 1


def test_a_modality_is_chosen_and_the_place_stays(show, hostile, monkeypatch):
    monkeypatch.setattr(volume, "MAX_EXACT_BYTES", 0)
    other = ramp()[::-1] * 3
    page = show(
        VolumeViewer({hostile.HOSTILE: ramp(), "b": other}, title=hostile.HOSTILE),
        {"do": "slide", "label": "axial slice", "value": 0},
        {"do": "choose", "value": 1},
        LOOK,
    )
    (shot,) = page["shots"]
    assert "<script>alert(2)</script>" in shot["text"]
    assert "Slices are shown: this browser has no WebGL." in shot["text"]
    found = re.search(r"X 2, Y 1, Z 0: ([\d.]+)", shot["text"])
    assert float(found[1]) == pytest.approx(other[2, 1, 0], abs=69 / 255)
    assert page["asked"] == []


SCRIPT_TYPE = "text/javascript; charset=UTF-8"


def test_in_three_dimensions_the_engine_of_the_pages_own_server_is_used(show, hostile):
    data = ramp()
    page = show(
        VolumeViewer({hostile.HOSTILE: data, "b": data * 2}, spacing=(1, 2, 3)),
        LOOK,
        {"do": "choose", "value": 1},
        webgl="A GPU",
        config="/user/me/",
        type=SCRIPT_TYPE,
        engine="works",
    )
    assert page["asked"] == [["HEAD", f"/user/me/{ROUTE}"]]
    # an AMD loader of the page is out of the way while the script loads
    assert page["scripts"] == [[f"/user/me/{ROUTE}", "undefined"]]
    assert page["shots"][0]["shown"] == "scene"
    first, second = page["images"]
    assert (first["size"], first["spacing"]) == ([4, 3, 2], [1, 2, 3])
    assert first["data"] == data.ravel(order="F").tolist()
    assert second["data"] == (2 * data).ravel(order="F").tolist()
    # RAS as ITK's LPS; the engine gets no words
    assert first["direction"] == [-1, 0, 0, 0, -1, 0, 0, 0, 1]
    assert first["name"] == second["name"] == "volume"
    assert page["lost"] == 2


@pytest.mark.parametrize(
    "renderer", ["ANGLE (Google, Vulkan (SwiftShader Device))", "Mesa/X.org, llvmpipe"]
)
def test_without_a_gpu_three_dimensions_wait_until_they_are_asked_for(show, renderer):
    page = show(
        VolumeViewer(ramp()),
        LOOK,
        {"do": "press", "label": "Show in 3D"},
        LOOK,
        webgl=renderer,
        config="/",
        type=SCRIPT_TYPE,
        engine="works",
    )
    before, after = page["shots"]
    assert before["shown"] == "slices"
    assert "slow here, without a GPU. Show in 3D" in before["text"]
    assert after["shown"] == "scene"
    assert "slow here" not in after["text"]
    assert len(page["images"]) == 1


NOT_SERVED = "Slices are shown: the 3D viewer is not served here."
NOT_STARTED = "Slices are shown: the 3D viewer could not start."


@pytest.mark.parametrize(
    ("page", "asked", "why"),
    [
        ({}, 0, NOT_SERVED),
        ({"config": "//elsewhere.example/"}, 0, NOT_SERVED),
        ({"config": "https://elsewhere.example/"}, 0, NOT_SERVED),
        ({"config": "/"}, 1, NOT_SERVED),
        ({"config": "/", "type": "down"}, 1, NOT_SERVED),
        ({"config": "/", "type": "text/html"}, 1, NOT_SERVED),
        ({"config": "/", "type": SCRIPT_TYPE}, 1, NOT_STARTED),
        ({"config": "/", "type": SCRIPT_TYPE, "engine": "fails"}, 1, NOT_STARTED),
    ],
)
def test_without_an_engine_slices_are_shown_and_say_why(show, page, asked, why):
    found = show(VolumeViewer(ramp()), LOOK, webgl="A GPU", **page)
    (shot,) = found["shots"]
    assert shot["shown"] == "slices"
    assert why in shot["text"]
    assert len(found["asked"]) == asked


def test_a_view_that_was_closed_draws_nothing(show):
    page = {"webgl": "A GPU", "config": "/", "type": SCRIPT_TYPE, "engine": "works"}
    found = show(VolumeViewer(ramp()), early=True, **page)
    assert found["images"] == []


def test_the_module_is_small_and_uses_nothing_of_another_machine():
    assert len(VolumeViewer._esm) < 18_000
    assert VolumeViewer._esm == module("volume_slices", "volume_viewer")
    own = [STATIC / f"{name}.js" for name in ("volume_slices", "volume_viewer")]
    assert not re.findall(r"https?:|cdn", "".join(f.read_text() for f in own))
