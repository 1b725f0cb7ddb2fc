"""Where the demo's hospitals are kept."""

from __future__ import annotations

from fednb.phantom.demo import DemoSize, usual_folder


def test_hospitals_of_another_size_do_not_meet_the_usual_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDNB_HOME", str(tmp_path))
    assert usual_folder(DemoSize()) == tmp_path / "demo"
    assert usual_folder(DemoSize.small()) == tmp_path / "demo-160x16"
