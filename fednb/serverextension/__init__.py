"""Routes of a Jupyter Server under ``fednb/``, for the panel of a site owner.

Verbs only: list homes and requests, show one, approve, deny, revoke. A Jupyter token
proves a user of this server and nothing more: a decision is made by `SiteOwner`, which
signs it with the site's own key, and is enforced by the site's gatekeeper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.serverextension.app import FednbExtension

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FednbExtension"]


def _jupyter_server_extension_points() -> Sequence[dict[str, object]]:
    """Tell Jupyter Server what to load."""
    return [{"module": "fednb.serverextension", "app": FednbExtension}]
