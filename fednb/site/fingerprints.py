"""Whether a dataset is still what a contract named: manifest, and file contents."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fednb.site.verdicts import ALLOWED, deny

if TYPE_CHECKING:
    from fednb.records.contracts import Contract
    from fednb.records.messages import Call
    from fednb.records.outputs import Decision
    from fednb.site.catalog import Catalog, Registered


class Fingerprints:
    """Compares a site's datasets with what contracts name.

    Parameters
    ----------
    catalog
        Of the site.
    site
        Its name.
    """

    def __init__(self, catalog: Catalog, site: str) -> None:
        self._catalog = catalog
        self._site = site
        self._verified: set[str] = set()

    def check(self, call: Call, contract: Contract, dataset: Registered) -> Decision:
        """Compare the manifest at every call, the contents when a run starts.

        Parameters
        ----------
        call, contract
            What is asked, under which contract.
        dataset
            The contract's, as registered here.
        """
        named = next(p for p in contract.participants if p.site == self._site)
        if named.fingerprint != dataset.fingerprint:
            reason = "The dataset was registered anew since the contract was made."
            return deny("call.fingerprint", reason, "fingerprint")
        run = f"{dataset.fingerprint}:{_version_of(dataset.table)}"
        if not contract.standing:
            run = f"{call.place.run}:{run}"
        if run not in self._verified:
            if not self._catalog.contents_hold(contract.dataset):
                reason = "A file differs from its registered hash; register it anew."
                return deny("call.contents", reason, "fingerprint")
            self._verified.add(run)
        return ALLOWED


def _version_of(path: str) -> str:
    """Return what changes when somebody writes to a file."""
    try:
        seen = os.stat(path)
    except OSError:
        return "missing"
    return f"{seen.st_mtime_ns}:{seen.st_size}"
