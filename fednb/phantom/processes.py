"""The demo's hospitals as processes of their own: what `fednb up` starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fednb.errors import InputError
from fednb.flare.processes import free_port, up
from fednb.flare.provision import ProjectSpec, SiteSpec
from fednb.phantom.demo import HOSPITALS, DemoSize, prepare_homes

if TYPE_CHECKING:
    from collections.abc import Mapping

SCIENTIST = "scientist@fednb.local"


def bring_up(
    home: str | Path, *, sites: int = 3, size: DemoSize | None = None, port: int = 0
) -> tuple[Path, Mapping[str, Path]]:
    """Start a coordinator and demo hospitals as processes on 127.0.0.1.

    Parameters
    ----------
    home
        Folder of everything; what is there already is started again.
    sites
        How many of the demo's hospitals, 1 to 3.
    size
        Of the hospitals.
    port
        Of the server; 0: one that is free.

    Returns
    -------
    kit, homes
        The scientist's kit for ``fednb.connect``, and the home of each hospital, for
        ``fednb.SiteOwner``.

    Raises
    ------
    InputError
        `sites` is out of range, a party runs already, or the port is in use.
    HomeError
        The server does not come up. Nothing is left running.
    """
    if not 1 <= sites <= len(HOSPITALS):
        message = f"The demo has 1 to {len(HOSPITALS)} hospitals; got {sites}."
        raise InputError(message)
    root = Path(home).expanduser().absolute()
    homes = prepare_homes(root / "demo", size or DemoSize())
    chosen = dict(list(homes.items())[:sites])
    project = ProjectSpec(
        name="fednb-demo",
        sites=tuple(SiteSpec(name, str(path)) for name, path in chosen.items()),
        port=port or free_port(),
        scientists=(SCIENTIST,),
        home=str(root / "coordinator"),
    )
    kits = up(root, project)
    return kits[SCIENTIST], chosen
