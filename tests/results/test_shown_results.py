"""What holds for every result: harmless, bounded and pure reprs, and light imports."""

from __future__ import annotations

import builtins
import dataclasses
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import samples
from matplotlib.axes import Axes

if TYPE_CHECKING:
    from types import SimpleNamespace


@pytest.mark.parametrize("kind", sorted(samples.KINDS))
def test_nothing_hostile_survives(kind: str, hostile: SimpleNamespace):
    result = samples.KINDS[kind](hostile.HOSTILE)
    hostile.assert_harmless_html(result._repr_html_(), times=2)
    hostile.assert_harmless_text(repr(result))


@pytest.mark.parametrize("kind", sorted(samples.KINDS))
def test_a_repr_touches_neither_files_nor_the_network(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    result = samples.KINDS[kind]("word")
    before = (repr(result), result._repr_html_())  # after it, nothing is left to import

    def refuse(*_args: object, **_kwargs: object) -> None:
        pytest.fail("a repr touched a file or the network")

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    assert (repr(result), result._repr_html_()) == before


@pytest.mark.parametrize("kind", sorted(samples.KINDS))
def test_a_result_is_frozen(kind: str):
    result = samples.KINDS[kind]("word")
    name = dataclasses.fields(result)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, name, None)


@pytest.mark.parametrize(
    "kind",
    [
        "description",
        "statistics",
        "training",
        "evaluation",
        "cox",
        "logistic",
        "comparison",
        "survival",
    ],
)
def test_a_plot_returns_its_axes_and_draws_hostile_labels(
    kind: str, hostile: SimpleNamespace
):
    result = samples.KINDS[kind](hostile.HOSTILE)
    axes = result.plot()
    assert isinstance(axes, Axes)
    axes.figure.canvas.draw()
    assert result.plot(ax=axes) is axes


def test_a_repr_is_bounded():
    result = samples.training(rounds=10_000)
    assert "… and 9970 more" in repr(result)
    assert "… and 9950 more" in result._repr_html_()
    assert len(result._repr_html_()) < 40_000
    many = dataclasses.replace(result, releases=samples.lines("x") * 5000)
    assert len(many._repr_html_()) < 40_000
    assert "10000 releases of x, 20 MB in all" in repr(many)


@pytest.mark.parametrize("profile", ["standard", "open"])
def test_a_result_of_the_open_profile_says_so(profile: str):
    for kind in (
        "description",
        "statistics",
        "evaluation",
        "embedding",
        "cox",
        "logistic",
    ):
        result = dataclasses.replace(samples.KINDS[kind]("x"), profile=profile)
        said = "Open profile" in repr(result), "Open profile" in result._repr_html_()
        assert said == (profile == "open", profile == "open")


def test_importing_results_loads_nothing_heavy():
    code = (
        "import sys, fednb.results.statistics, fednb.results.training\n"
        "import fednb.results.description\n"
        "import fednb.results.evaluation, fednb.results.embedding\n"
        "import fednb.results.survival, fednb.results.comparison\n"
        "import fednb.results.report\n"
        "heavy = {'pandas', 'matplotlib', 'lifelines', 'torch', 'scipy', 'IPython'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
