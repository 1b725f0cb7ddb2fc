"""Sites that one process made know each other's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.owner.site_owner import SiteOwner

_TOGETHER: Final = "who made all sites in one process"


def introduce(owners: Sequence[SiteOwner]) -> None:
    """Let sites know each other's keys, and refuse those of anybody else.

    For who made all of them: between hospitals, each owner confirms the others.

    Parameters
    ----------
    owners
        Of the sites, all in this process.
    """
    marks = {owner.name: owner.peers.fingerprint for owner in owners}
    for owner in owners:
        for site, mark in marks.items():
            if site != owner.name:
                owner.peers.confirm(site, mark, _TOGETHER)
        if owner.policy.rules.peers != "pinned":
            owner.policy.set(peers="pinned")
