"""A site owner's dry run: a request on the site's own mock, before a decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fednb.coordinator.mockdata import MockData
from fednb.embedded.dryrun import DryRuns
from fednb.embedded.federation import Federation

if TYPE_CHECKING:
    from fednb.owner import SiteOwner
    from fednb.results.rehearsal import Rehearsal


def rehearse(owner: SiteOwner, contract: str) -> Rehearsal:
    """Run a contract on the site's mock: what would leave, and what it would cost.

    Nothing private is read and nothing leaves this machine. The cost is predicted for
    the exact number of patients, which stays with the owner.

    Parameters
    ----------
    owner
        Of the site to which it was proposed.
    contract
        Its hash, or the beginning of it.

    Returns
    -------
    rehearsal
        Shows itself; what leaves is of the mock.

    Raises
    ------
    UnknownNameError
        There is no such contract, or its dataset is gone.
    PlanError
        A step builds on the result of another contract.
    FednbError
        The contract does not run on the mock; says why.
    """
    asked = owner.requests[contract].contract
    dataset = owner.datasets[asked.dataset]
    folder = Path(dataset.mock)
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    mock = MockData(dataset.card, files)
    return DryRuns(Federation).rehearse(asked, mock, dataset.patients)
