"""Live widgets: each one Python class with traits and one JavaScript module.

They need a kernel and load nothing from the network. Where there is no kernel, the
same objects show their static HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fednb.coordinator.federation import Federation
from fednb.coordinator.handles import Run
from fednb.display import hooks
from fednb.owner.requests import Requests
from fednb.owner.site_owner import SiteOwner
from fednb.widgets.approvals import ApprovalInbox
from fednb.widgets.progress import RunMonitor
from fednb.widgets.sites import SitesTable

if TYPE_CHECKING:
    from collections.abc import Callable

    import anywidget

__all__ = ["ApprovalInbox", "RunMonitor", "SitesTable", "install"]

_WIDGETS: dict[type, Callable[[Any], anywidget.AnyWidget]] = {
    Federation: SitesTable,
    Requests: ApprovalInbox,
    Run: RunMonitor,
    SiteOwner: ApprovalInbox,
}


def install() -> None:
    """Show federations, runs, site owners and their requests as live widgets.

    Their static HTML stays beside the widget in a cell's output, for pages that have
    no kernel.
    """
    for kind, make in _WIDGETS.items():
        hooks.register(kind, _renderer(make))


def uninstall() -> None:
    """Show them as static HTML again."""
    for kind in _WIDGETS:
        hooks.unregister(kind)


def _renderer(make: Callable[[Any], anywidget.AnyWidget]) -> hooks.Renderer:
    def render(shown: Any) -> dict[str, object] | None:  # noqa: ANN401
        found = make(shown)._repr_mimebundle_()
        if found is None:
            return None
        static = {"text/plain": repr(shown), "text/html": shown._repr_html_()}
        return {**found[0], **static}

    return render
