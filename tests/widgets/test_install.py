"""What shows itself in a cell: live under a kernel, static HTML elsewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest
from clinics import federate

from fednb import widgets
from fednb.records.tasks import StatisticsPlan

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def _installed():
    widgets.install()
    yield
    widgets.uninstall()


@pytest.mark.usefixtures("_installed")
def test_things_show_themselves_live_with_static_html_beside(tmp_path):
    with federate(tmp_path) as fed:
        request = fed.request(StatisticsPlan(("age",)), purpose="how old they are")
        for site in ("a", "b", "c"):
            fed.owner(site).requests[request.hash].approve()
        owner = fed.owner("a")
        for thing in (fed, owner, owner.requests):
            bundle = thing._repr_mimebundle_()
            assert set(bundle) == {"text/plain", "text/html", VIEW}
            assert bundle["text/html"] == thing._repr_html_()
            assert bundle["text/plain"] == repr(thing)
        assert set(request._repr_mimebundle_()) == {"text/plain", "text/html"}


def test_without_a_kernel_they_are_static_and_widgets_are_not_loaded():
    code = (
        "import sys, fednb, fednb.display.hooks as hooks\n"
        "from fednb.coordinator.handles import Run\n"
        "assert set(Run('id', None, None)._repr_mimebundle_()) == "
        "{'text/plain', 'text/html'}\n"
        "assert not {'anywidget', 'ipywidgets', 'fednb.widgets'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603


def test_under_a_kernel_they_are_live_and_load_widgets_only_when_shown():
    """IPython's own display goes through it, as in a cell."""
    code = (
        "import sys, types\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.kernel = types.SimpleNamespace()\n"
        "import fednb\n"
        "from fednb.coordinator.handles import Run\n"
        "assert 'anywidget' not in sys.modules\n"
        "from fednb.errors import RunError\n"
        "class Client:\n"
        "    def ask(self, *_): raise RunError('closed')\n"
        "bundle, _ = shell.display_formatter.format(Run('id', None, Client()))\n"
        f"assert set(bundle) == {{'text/plain', 'text/html', {VIEW!r}}}, bundle\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
