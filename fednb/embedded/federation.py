"""Coordinator and sites in one process: the demo, tables in memory, dry runs."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typing_extensions import override

from fednb.coordinator.contracting import ProfileName, Scientist
from fednb.coordinator.federation import Federation as BaseFederation
from fednb.coordinator.service import Service
from fednb.coordinator.store import Store
from fednb.embedded.dryrun import DryRuns
from fednb.errors import DatasetError, InputError
from fednb.imaging.quality import infer_columns
from fednb.owner import SiteOwner
from fednb.owner.datasets import inferred_problems
from fednb.owner.introductions import introduce
from fednb.site.server import SiteServer, initial_weights
from fednb.site.walls import Terms
from fednb.site.worker_process import WorkerProcess
from fednb.wire.inproc import InProcessTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from fednb.records.datasets import Column
    from fednb.records.service import Prepare

Approve = Literal["auto", "manual"]


class Federation(BaseFederation):
    """Sites in this process, each with its own home folder.

    Parameters
    ----------
    homes
        Site homes by site name.
    coordinator
        The coordinator's home; made where it is missing.
    scientist
        Name of the scientist.
    owned
        Folder to delete on `close`; None: nothing is deleted.

    Examples
    --------
    >>> fed = fednb.Federation.from_frames(
    ...     tables, dataset="trial", approve="auto", profile="open"
    ... )
    >>> plan = fednb.CoxPlan(covariates="age", duration="os_months", event="death")
    >>> cox = fed.request(plan, purpose="age and survival").start().result()
    >>> list(cox.params_.index), len(cox.summary)
    (['age'], 1)
    >>> fed.close()
    """

    def __init__(
        self,
        homes: Mapping[str, Path],
        coordinator: Path,
        *,
        scientist: str = "scientist",
        owned: Path | None = None,
    ) -> None:
        self._owned = owned
        self._worker = WorkerProcess()
        self._servers: dict[str, SiteServer] = {}
        with ExitStack() as opened:
            # where one home is held or damaged, the others are let go again
            for name, path in homes.items():
                self._servers[name] = SiteServer(path, self._worker, in_call=True)
                opened.callback(self._servers[name].close)
            self.transport = InProcessTransport(
                {name: server.handle for name, server in self._servers.items()},
                self._worker.shut,
            )
            store = Store(coordinator)
            service = Service(store, self.transport, self._initialise)
            who = Scientist(store.folder("keys"), scientist)
            super().__init__(service, who, DryRuns(Federation))
            opened.pop_all()

    @classmethod
    def from_frames(
        cls,
        frames: Mapping[str, pd.DataFrame],
        *,
        dataset: str = "table",
        approve: Approve = "manual",
        profile: ProfileName = "standard",
        columns: tuple[Column, ...] | None = None,
        folder: Path | None = None,
    ) -> Federation:
        """Return a federation over tables in memory, one a site.

        Parameters
        ----------
        frames
            A table a site; a column ``patient_id`` is made from the index where it is
            missing. One row a patient.
        dataset
            Name of the dataset at every site.
        approve
            ``"auto"``: the sites approve every contract; ``"manual"``: their owners do.
        profile
            Disclosure profile of the sites.
        columns
            Declarations; None: inferred from all tables together, which is possible
            only because they are all here. Labels that fewer patients than the
            profile's threshold have, in all of them, must be declared.
        folder
            Where the homes are kept; None: a temporary folder, deleted on `close`.

        Raises
        ------
        InputError
            No tables, or no columns in common.
        DatasetError
            A table has problems, or a label must be declared; all are listed.
        """
        import pandas as pd

        if approve not in {"auto", "manual"}:
            message = f"approve is 'auto' or 'manual'; got {approve!r}."
            raise InputError(message)
        if not frames:
            message = "from_frames needs at least one table."
            raise InputError(message)
        tables = {name: _with_ids(frame, name) for name, frame in frames.items()}
        whole = pd.concat(list(tables.values()), ignore_index=True)
        problems = [] if columns else inferred_problems(whole, profile)
        if problems:
            raise DatasetError(problems)
        declared = columns or infer_columns(whole)
        owned = Path(tempfile.mkdtemp(prefix="fednb-")) if folder is None else None
        root = owned or Path(folder or ".")
        homes, owners = {}, []
        for name, table in tables.items():
            owner = SiteOwner.init(root / name, name, profile=profile)
            automatic = ("all",) if approve == "auto" else ()
            owner.policy.set(auto_approve=automatic)
            owner.create_dataset(dataset, table=table, columns=declared)
            homes[name] = root / name
            owners.append(owner)
        introduce(owners)
        return cls(homes, root / "coordinator", owned=owned)

    @property
    def worker_pid(self) -> int:
        """Process id of the worker that computes; 0 where none runs."""
        return self._worker.pid

    def owner(self, site: str) -> SiteOwner:
        """Return the owner of a site: possible only because all is in one process."""
        self[site]
        return SiteOwner(self._servers[site].path)

    @override
    def close(self) -> None:
        """End the runs, the worker and the servers."""
        super().close()
        for server in self._servers.values():
            server.close()
        self._worker.close()
        if self._owned is not None:
            shutil.rmtree(self._owned, ignore_errors=True)

    def _initialise(self, ask: Prepare) -> NDArray[np.float32]:
        return initial_weights(
            self._worker,
            ask.network,
            channels=ask.channels,
            covariates=ask.covariates,
            seed=ask.seed,
            # a scientist's own code on the scientist's own machine
            terms=Terms("where-possible"),
        )


def _with_ids(frame: pd.DataFrame, site: str) -> pd.DataFrame:
    if "patient_id" in frame.columns:
        return frame
    ids = [f"{site}-{value}" for value in frame.index]
    return frame.assign(patient_id=ids)
