"""The other sites that a site owner knows, by the fingerprints of their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import UnknownNameError

if TYPE_CHECKING:
    from fednb.display.html import Html
    from fednb.site.peers import Peers

_HEADERS: Final = ("site", "fingerprint of its keys", "confirmed by", "since")


class OwnerPeers(Shown):
    """Whose keys are confirmed here, as of when it was looked up.

    Parameters
    ----------
    peers
        Of the site.
    fingerprint
        Of the site's own keys: what its owner tells the others.
    """

    def __init__(self, peers: Peers, fingerprint: str) -> None:
        self._peers = peers
        self.fingerprint = fingerprint
        """Of this site's own keys, as ``owner.fingerprint``."""
        self.known = peers.known()
        """Confirmed sites by name."""

    def confirm(
        self, site: str, fingerprint: str, how: str = "the owner"
    ) -> OwnerPeers:
        """Say that a site's keys have a fingerprint, as its owner told you.

        Compare it by telephone or in person: whoever can write your messages could
        write the fingerprint too.

        Parameters
        ----------
        site
            Name of the other site.
        fingerprint
            32 hexadecimal digits; spaces do not count.
        how
            Who vouches for it, for the ledger.

        Raises
        ------
        InputError
            The fingerprint is none, or the site is this one.
        HomeError
            It could not be stored.
        """
        self._peers.confirm(site, fingerprint, how)
        return self._anew()

    def forget(self, site: str) -> OwnerPeers:
        """Take a confirmation back: the site's keys are unknown again.

        Raises
        ------
        UnknownNameError
            No such site is confirmed.
        HomeError
            It could not be stored.
        """
        if not self._peers.forget(site):
            raise UnknownNameError("confirmed site", site, self.known)
        return self._anew()

    def _anew(self) -> OwnerPeers:
        self.known = self._peers.known()
        return self

    def _heading(self) -> str:
        return f"This site's own keys: {self.fingerprint}"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (peer.site, peer.fingerprint, peer.how, text.utc(int(peer.since)))
            for peer in self.known.values()
        ]

    def _text(self) -> str:
        found = text.table(_HEADERS, self._rows()) if self.known else "none confirmed"
        return f"{self._heading()}\n\n{found}"

    def _html(self) -> Html:
        found = html.table(_HEADERS, self._rows()) if self.known else "none confirmed"
        return html.element("div", html.element("p", self._heading()), found)
