"""Live widgets: each one Python class with traits and one JavaScript module.

They need a kernel and load nothing from the network. Where there is no kernel, the
same objects show their static HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fednb.coordinator.federation import Federation
from fednb.coordinator.handles import Run
from fednb.coordinator.mockdata import MockView
from fednb.display import hooks
from fednb.errors import InputError
from fednb.owner.requests import Requests
from fednb.owner.site_owner import SiteOwner
from fednb.widgets.approvals import ApprovalInbox
from fednb.widgets.progress import RunMonitor
from fednb.widgets.sites import SitesTable
from fednb.widgets.volume import VolumeViewer

if TYPE_CHECKING:
    from collections.abc import Callable

    import anywidget

__all__ = ["ApprovalInbox", "RunMonitor", "SitesTable", "VolumeViewer", "install"]

_WIDGETS: dict[type, Callable[[Any], anywidget.AnyWidget]] = {
    Federation: SitesTable,
    Requests: ApprovalInbox,
    Run: RunMonitor,
    SiteOwner: ApprovalInbox,
}


def install() -> None:
    """Show federations, runs, site owners, requests and mock volumes as live widgets.

    Their static HTML or picture stays beside the widget in a cell's output, for pages
    that have no kernel.
    """
    for kind, make in _WIDGETS.items():
        hooks.register(kind, _renderer(make))
    hooks.register(MockView, _mock_volumes)


def uninstall() -> None:
    """Show them as static HTML again."""
    for kind in (*_WIDGETS, MockView):
        hooks.unregister(kind)


def _renderer(make: Callable[[Any], anywidget.AnyWidget]) -> hooks.Renderer:
    def render(shown: Any) -> dict[str, object] | None:  # noqa: ANN401
        found = make(shown)._repr_mimebundle_()
        if found is None:
            return None
        static = {"text/plain": repr(shown), "text/html": shown._repr_html_()}
        return {**found[0], **static}

    return render


def _mock_volumes(shown: MockView) -> dict[str, object] | None:
    try:
        found = VolumeViewer(shown)._repr_mimebundle_()
    except InputError:
        # larger than a page takes: the picture shows what there is
        return None
    return None if found is None else {**found[0], **shown.static()}
