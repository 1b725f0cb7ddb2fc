"""The extension as Jupyter Server loads it: where homes come from, and its routes."""

from __future__ import annotations

import os
from typing import Final

from jupyter_server.extension.application import ExtensionApp
from traitlets import List, Unicode
from typing_extensions import override

from fednb.serverextension import viewer_files
from fednb.serverextension.handlers import ROUTES
from fednb.serverextension.manager import HomesManager

ENVIRONMENT: Final = "FEDNB_SITE_HOME"
"""Names the homes that a server serves, separated as the system's PATH is."""


class FednbExtension(ExtensionApp):
    """Serves the homes of sites to their owner's panel in JupyterLab."""

    name = "fednb"
    manager: HomesManager

    site_homes: List[str] = List(
        Unicode(),
        help=(
            "Home folders of the sites whose requests the panel shows, in addition to "
            f"those that the environment variable {ENVIRONMENT} names."
        ),
    ).tag(config=True)

    @override
    def initialize_settings(self) -> None:
        """Find out which homes are served; none is opened yet."""
        named = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
        self.manager = HomesManager((*named, *self.site_homes))
        self.settings["fednb_manager"] = self.manager

    @override
    def initialize_handlers(self) -> None:
        """Add the routes, and the 3D viewer's files."""
        self.handlers.extend(ROUTES)
        self.handlers.extend(viewer_files.handlers(""))

    @override
    async def stop_extension(self) -> None:
        """Let go of the homes when the server stops."""
        await self.manager.close()
