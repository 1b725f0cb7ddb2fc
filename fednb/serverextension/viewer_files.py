"""The 3D viewer's files, for pages of this server: `VolumeViewer` loads them.

Its worker and its WebAssembly are asked for relative to its script, so that they are
served as a folder. They come into the package when it is built; where they are missing
the routes answer 404, and the page shows slices.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Final

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web
from typing_extensions import override

ROUTE: Final = r"fednb/static/itk-vtk-viewer/(.*)"
"""Below the server's base URL."""

FOLDER: Final = ("widgets", "static", "itk-vtk-viewer")
"""Where the files are in the package."""

_TYPES: Final = {
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".txt": "text/plain",
}
"""By suffix: what a machine's own table says about them cannot be relied on."""


class ViewerFilesHandler(JupyterHandler, web.StaticFileHandler):
    """``GET`` and ``HEAD`` of one file, for users of this server."""

    auth_resource = "fednb"

    # the decorators of Tornado and Jupyter hide the signature
    @override
    @web.authenticated
    @authorized
    async def get(  # type: ignore[override]
        self, path: str, include_body: bool = True
    ) -> None:
        """Answer a file; nothing outside the folder is served."""
        await web.StaticFileHandler.get(self, path, include_body)

    @override
    @web.authenticated
    @authorized
    async def head(self, path: str) -> None:  # type: ignore[override]
        """Answer whether there is such a file."""
        await web.StaticFileHandler.get(self, path, include_body=False)

    @override
    def get_content_type(self) -> str:
        """Return the type of the file."""
        suffix = Path(self.absolute_path or "").suffix
        return _TYPES.get(suffix, "application/octet-stream")


def folder() -> Path:
    """Return the folder that is served."""
    return Path(str(resources.files("fednb").joinpath(*FOLDER)))


def handlers(
    base_url: str,
) -> list[tuple[str, type[ViewerFilesHandler], dict[str, Any]]]:
    """Return the route, as tornado takes it.

    Parameters
    ----------
    base_url
        What addresses begin with: a server's base URL, or ``""`` where the caller puts
        it before them by itself, as Jupyter's `ExtensionApp` does.
    """
    pattern = url_path_join(base_url, ROUTE) if base_url else ROUTE
    return [(pattern, ViewerFilesHandler, {"path": str(folder())})]
