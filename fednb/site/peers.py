"""Keys of other sites, and who vouches for them.

A secure sum hides a site's part among those of the others. It hides nothing from
somebody who plays all the others: who invents two participants, or gives the names of
real ones keys of their own, takes the masks off. The contract binds the participants'
keys; here a site keeps whose they are.

A key is confirmed by whoever made all sites in one process, by the site's owner, who
compares its fingerprint by telephone, or by approving a contract by hand that shows it
as unknown. A contract with another key than the confirmed one is refused. A contract
with an unknown key is refused under the policy ``peers = "pinned"``, and otherwise
waits for its owner, whatever is approved by itself. What is confirmed is only as good
as the comparison: a site cannot tell by itself who holds a key.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fednb.errors import InputError
from fednb.records.keys import (
    DIGITS,
    digits_of,
    grouped,
    is_fingerprint,
    site_fingerprint,
)
from fednb.site.verdicts import ALLOWED, deny

if TYPE_CHECKING:
    import sqlite3

    from fednb.records.contracts import Contract
    from fednb.records.outputs import Decision
    from fednb.site.home import Home
    from fednb.site.ledger import Ledger


@dataclass(frozen=True)
class Peer:
    """A site whose keys are known here.

    Attributes
    ----------
    site
        Its name.
    fingerprint
        Of its keys, see `fednb.records.keys.site_fingerprint`.
    how
        Who vouched for it, in words.
    since
        Unix time in seconds.
    """

    site: str
    fingerprint: str
    how: str
    since: float


class Peers:
    """The other sites that a home knows.

    Parameters
    ----------
    home, ledger
        Of the site.
    """

    def __init__(self, home: Home, ledger: Ledger) -> None:
        self._home = home
        self._ledger = ledger
        self._site = home.get("name")

    def known(self) -> dict[str, Peer]:
        """Return the sites whose keys are confirmed, by name."""
        rows = self._home.database.execute(
            "SELECT site, fingerprint, how, since FROM peers ORDER BY site"
        ).fetchall()
        return {row[0]: Peer(*row) for row in rows}

    def strangers(self, contract: Contract) -> dict[str, str]:
        """Return the fingerprints of keys that nobody confirmed, by site."""
        return self._compared(contract)[0]

    def changed(self, contract: Contract) -> dict[str, str]:
        """Return the fingerprints of keys that are not the confirmed ones, by site."""
        return self._compared(contract)[1]

    def check(
        self, contract: Contract, rule: Literal["shown", "pinned"] = "shown"
    ) -> Decision:
        """Say whether a contract's participants are who they are known to be.

        Parameters
        ----------
        contract
            Names the participants and their keys.
        rule
            The policy's, for keys that nobody confirmed.
        """
        strangers, changed = self._compared(contract)
        if changed:
            reason = f"{_listed(changed)} are not the keys that are confirmed here."
            return deny("peers.changed", reason, "participants")
        if strangers and rule == "pinned":
            reason = (
                f"Nobody confirmed the keys of {_listed(strangers)}. Compare them with "
                'the sites by telephone, then owner.peers.confirm(site, "fingerprint").'
            )
            return deny("peers.pinned", reason, "participants")
        return ALLOWED

    def confirm(self, site: str, fingerprint: str, how: str) -> None:
        """Store whose keys have a fingerprint, and enter it in the ledger.

        Parameters
        ----------
        site
            Name of the other site.
        fingerprint
            As `fednb.records.keys.site_fingerprint` writes it; spaces do not count.
        how
            Who vouches for it.

        Raises
        ------
        InputError
            The fingerprint is none, or the name is this site's own.
        HomeError
            It could not be stored.
        """
        plain = _checked(fingerprint)
        if site == self._site:
            message = f"{site} is this site itself; confirm the keys of others."
            raise InputError(message)
        with self._home.transaction() as database:
            self.enter(database, site, plain, how)

    def enter(
        self, database: sqlite3.Connection, site: str, fingerprint: str, how: str
    ) -> None:
        """Do what `confirm` does inside the caller's transaction."""
        known = self.known().get(site)
        before = known.fingerprint if known else ""
        if before == fingerprint:
            return
        database.execute(
            "INSERT INTO peers VALUES (?, ?, ?, ?) ON CONFLICT (site) DO UPDATE SET "
            "fingerprint = excluded.fingerprint, how = excluded.how, "
            "since = excluded.since",
            (site, fingerprint, how, time.time()),
        )
        body = {"peer": site, "fingerprint": fingerprint, "before": before, "how": how}
        self._ledger.append(database, "decision", body)

    def forget(self, site: str) -> bool:
        """Take a confirmation back; return whether there was one."""
        known = self.known().get(site)
        if known is None:
            return False
        with self._home.transaction() as database:
            database.execute("DELETE FROM peers WHERE site = ?", (site,))
            body = {"peer": site, "fingerprint": "", "before": known.fingerprint}
            self._ledger.append(database, "decision", {**body, "how": "forgotten"})
        return True

    def _compared(self, contract: Contract) -> tuple[dict[str, str], dict[str, str]]:
        """Return the others whose keys nobody confirmed, and those with other keys."""
        known = self.known()
        found = {
            p.site: site_fingerprint(p.signing_key, p.agreement_key)
            for p in contract.participants
            if p.site != self._site
        }
        strangers = {s: mark for s, mark in found.items() if s not in known}
        changed = {
            s: mark
            for s, mark in found.items()
            if s in known and known[s].fingerprint != mark
        }
        return strangers, changed


def _listed(found: dict[str, str]) -> str:
    return ", ".join(f"{site} ({mark})" for site, mark in sorted(found.items()))


def _checked(fingerprint: str) -> str:
    """Return a fingerprint as somebody typed it in the form that is stored."""
    if not is_fingerprint(fingerprint):
        message = (
            f"A fingerprint of a site's keys has {DIGITS} hexadecimal digits; got "
            f"{fingerprint[:80]!r}. Its owner reads it from owner.peers."
        )
        raise InputError(message)
    return grouped(digits_of(fingerprint))
