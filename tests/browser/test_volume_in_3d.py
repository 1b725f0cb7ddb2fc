"""`VolumeViewer` in JupyterLab: slices, three dimensions, and no other machine."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser.conftest import FLAGS, SLOW_MS, in_a_browser
from fednb.serverextension import viewer_files

MAKE = """
import numpy as np
from fednb.coordinator.mockdata import MockView
from fednb.widgets import VolumeViewer
shape = (20, 24, 16)
x, y, z = np.indices(shape)
inside = np.hypot(np.hypot((x - 10) / 8, (y - 12) / 10), (z - 8) / 7) < 1
t1 = (inside * (100.0 + 2 * x)).astype("f4")
flair = (inside * 80.0 + 300 * (np.hypot(x - 13, y - 15) < 3) * inside).astype("f4")
bad = "<img src=x onerror='window.fednbHit=1'>"
"""
MOCK = "MockView(bad, {bad: t1, 'FLAIR': flair}, (1.0, 1.0, 1.4), bad)"
CANVAS = "VolumeViewer({'T1': t1, 'FLAIR': flair}, backend='canvas', title='canvas')"
SCENE = "VolumeViewer({bad: t1, 'FLAIR': flair}, spacing=(1, 1, 1.4), title='scene')"

LIGHT = """canvas => {
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  return data.reduce((sum, level, i) => i % 4 < 3 ? sum + level : sum, 0) / data.length;
}"""


def light(picture) -> float:
    return picture.evaluate(LIGHT)


def test_slices_follow_sliders_keys_and_the_mouse(lab, server):
    lab.open(server.write("slices.ipynb", [MAKE, CANVAS]))
    lab.run(0, 1)
    view = lab.page.locator("[data-shown='slices']")
    value = view.locator("output")
    expect(value).to_have_text("X 10, Y 12, Z 8: 120")
    axial = view.get_by_label("axial slice")
    axial.focus()
    axial.press("ArrowRight")
    expect(value).to_have_text("X 10, Y 12, Z 9: 120")
    # the notebook does not take the keys for its cells
    assert lab.page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.activeCellIndex === 1"
    )
    plane = view.get_by_role("application").nth(2)
    plane.press("ArrowLeft")
    plane.press("PageUp")
    expect(value).to_have_text("X 9, Y 12, Z 10: 118")
    box = plane.bounding_box()
    plane.click(position={"x": 1, "y": box["height"] - 1})
    expect(value).to_have_text("X 0, Y 0, Z 10: 0")
    view.get_by_label("modality").select_option(label="FLAIR")
    plane.click(position={"x": 13.5 / 20 * box["width"], "y": 8.5 / 24 * box["height"]})
    expect(value).to_have_text("X 13, Y 15, Z 10: 380")
    before = light(plane)
    assert before > 10
    level = view.get_by_label("grey level")
    level.press("Home")
    assert light(plane) > 1.2 * before
    lab.shoot("viewer-slices")


def test_a_mock_view_is_live_with_hostile_names_as_text(lab, server):
    lab.open(server.write("mock.ipynb", [MAKE, MOCK]))
    lab.run(0, 1)
    view = lab.page.locator("[data-shown='slices']")
    expect(view).to_contain_text("<img src=x onerror=")
    expect(view.get_by_label("modality").locator("option")).to_have_count(2)
    assert lab.page.evaluate("window.fednbHit") is None
    lab.shoot("viewer-mock-view")
    lab.save()
    lab.reload()
    expect(lab.page.locator("[data-shown]")).to_contain_text("<img src=x onerror=")
    outputs = lab.page.evaluate(
        """() => Object.keys(window.jupyterapp.shell.currentWidget.content.widgets[1]
            .model.outputs.get(0).data).sort()"""
    )
    view_type = "application/vnd.jupyter.widget-view+json"
    assert outputs == [view_type, "image/png", "text/plain"]


@pytest.mark.long
def test_in_three_dimensions_the_servers_own_engine_draws(server, tmp_path):
    assert viewer_files.folder().is_dir(), "run scripts/fetch_viewer.py first"

    def act(lab):
        lab.open(server.write("scene.ipynb", [MAKE, SCENE]))
        lab.run(0, 1)
        # the processor draws: slices first, and three dimensions for who asks
        assert "without a GPU" in lab.page.locator("[data-shown='slices']").inner_text()
        lab.page.get_by_role("button", name="Show in 3D").click()
        view = lab.page.locator("[data-shown='scene']")
        view.wait_for(timeout=SLOW_MS)
        assert "Slices are shown" not in view.inner_text()
        picture = view.locator(".stage canvas").first
        assert picture.evaluate("node => node.width * node.height > 0")
        lab.page.screenshot(path=tmp_path / "before.png", timeout=SLOW_MS)
        view.get_by_label("modality").select_option(label="FLAIR")
        lab.page.wait_for_timeout(1000)
        lab.shoot("viewer-scene")
        assert lab.page.evaluate("window.fednbHit") is None

    flags = [f for f in FLAGS if f != "--disable-gpu"]
    asked = in_a_browser(
        server, tmp_path / "profile", [*flags, "--enable-unsafe-swiftshader"], act
    )
    assert asked.count("/fednb/static/itk-vtk-viewer/itkVtkViewer.js") == 3


def test_without_webgl_slices_are_shown_and_nothing_is_asked(server, tmp_path):
    def act(lab):
        lab.open(server.write("no-webgl.ipynb", [MAKE, SCENE]))
        lab.run(0, 1)
        view = lab.page.locator("[data-shown='slices']")
        view.wait_for()
        assert "this browser has no WebGL" in view.inner_text()
        lab.shoot("viewer-no-webgl")

    asked = in_a_browser(
        server, tmp_path / "profile", [*FLAGS, "--disable-3d-apis"], act
    )
    assert not [path for path in asked if "itk-vtk-viewer" in path]
