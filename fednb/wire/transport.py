"""The two seams between a notebook and the sites: they carry bytes, never objects."""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """Carries messages from the coordinator's service to sites.

    Attributes
    ----------
    one_worker
        Whether the sites share this process and one torch worker.
    """

    one_worker: bool

    def sites(self) -> tuple[str, ...]:
        """Return the names of all sites, up or down, sorted."""
        ...

    def call(self, site: str, message: bytes, *, timeout: float) -> bytes:
        """Send `message` to a site and return its answer.

        Parameters
        ----------
        site
            Name of the site.
        message
            A frame of `fednb.wire.codec`.
        timeout
            Seconds to wait for the answer.

        Raises
        ------
        SiteDownError
            The site did not answer in time or cannot be reached.
        UnknownNameError
            There is no site of that name.
        """
        ...

    def close(self) -> None:
        """Let no call wait any longer; every later one finds its site down."""
        ...


class ServicePort(Protocol):
    """Carries messages from a notebook to the coordinator's service."""

    def call(self, message: bytes) -> bytes:
        """Send `message` to the service and return its answer."""
        ...

    def close(self) -> None:
        """Let go of the service; runs go on where the service outlives the notebook."""
        ...
