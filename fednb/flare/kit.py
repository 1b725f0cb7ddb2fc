"""A startup kit: the folder that makes a machine a party of a federation.

::

    kit/
      startup/            FLARE's: certificate, private key, root certificate, scripts
      local/              the party's own: authorization.json, resources.json
      local/fednb.json    what fednb needs to know, see `KitConfig`
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from cryptography import x509

from fednb.config import PROTOCOL_VERSION
from fednb.errors import HomeError, InputError
from fednb.records.base import Record

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CONFIG_FILE: Final = "fednb.json"
Kind = Literal["server", "site", "user", "keeper"]


class KitConfig(Record, frozen=True):
    """What fednb keeps in a kit, in ``local/fednb.json``.

    Attributes
    ----------
    project
        Name of the federation.
    kind
        ``"server"``, ``"site"``, ``"user"`` or ``"keeper"``.
    party
        Name of the party in its certificate.
    host, port
        Where the server listens.
    sites
        Names of all sites, sorted.
    home
        The party's fednb home: absolute, or relative to the kit. Users have none.
    protocol
        Protocol version of the fednb that provisioned the kit.
    """

    project: str
    kind: Kind
    party: str
    host: str
    port: int
    sites: tuple[str, ...]
    home: str = ""
    protocol: int = PROTOCOL_VERSION


class Kit:
    """Reads a startup kit.

    Parameters
    ----------
    path
        The folder that holds ``startup`` and ``local``.

    Raises
    ------
    InputError
        It is not a kit of fednb, or one of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        self.config = read_config(self.local)

    @property
    def startup(self) -> Path:
        """FLARE's part of the kit."""
        return self.path / "startup"

    @property
    def local(self) -> Path:
        """The party's part of the kit."""
        return self.path / "local"

    @property
    def home(self) -> Path:
        """The party's fednb home."""
        return home_of(self.local, self.config)

    def certificate(self) -> Certificate:
        """Return the party's certificate.

        Raises
        ------
        InputError
            It is missing, unreadable, expired or not valid yet.
        """
        name = "server.crt" if self.config.kind == "server" else "client.crt"
        path = self.startup / name
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            message = f"The kit at {self.path} has no readable certificate in {path}."
            raise InputError(message, detail=str(error)) from error
        now = datetime.datetime.now(datetime.UTC)
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not first <= now <= last:
            message = (
                f"The certificate of {self.config.party} is valid from "
                f"{first:%Y-%m-%d} to {last:%Y-%m-%d} only. "
                f"Ask who provisioned the kit for a new one."
            )
            raise InputError(message)
        return certificate


def read_config(local: Path) -> KitConfig:
    """Return what ``fednb.json`` in a kit's local folder says.

    Raises
    ------
    InputError
        There is none, it cannot be read, or another version of fednb made it.
    """
    path = local / CONFIG_FILE
    try:
        config = msgspec.json.decode(path.read_bytes(), type=KitConfig)
    except OSError as error:
        message = (
            f"{local.parent} is not a startup kit of fednb: {path} cannot be read "
            f"({error.strerror}). Make kits with `fednb provision`."
        )
        raise InputError(message) from error
    except msgspec.DecodeError as error:
        message = f"{path} is not what fednb writes: {error}"
        raise InputError(message) from error
    if config.protocol != PROTOCOL_VERSION:
        message = (
            f"The kit at {local.parent} speaks protocol version {config.protocol}; "
            f"this fednb speaks {PROTOCOL_VERSION}. Update the older side."
        )
        raise InputError(message)
    return config


def home_of(local: Path, config: KitConfig) -> Path:
    """Return the home that a kit's configuration names.

    Raises
    ------
    HomeError
        It names none.
    """
    if not config.home:
        message = f"The kit of {config.party} in {local.parent} names no home."
        raise HomeError(message)
    return local.parent / Path(config.home).expanduser()
