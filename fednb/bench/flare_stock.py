"""FLARE's own FedAvg on the same processes: its rounds, read from its own log."""

from __future__ import annotations

import json
import re
import tempfile
import time
import zipfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fednb.errors import HomeError

if TYPE_CHECKING:
    from fednb.flare.admin import Admin

FEDAVG: Final = "nvflare.app_common.workflows.fedavg.FedAvg"
PERSISTOR: Final = "nvflare.app_common.np.np_model_persistor.NPModelPersistor"
TRAINER: Final = "nvflare.app_common.np.np_trainer.NPTrainer"
SERVER_CLASSES: Final = (FEDAVG, PERSISTOR)
CLIENT_CLASSES: Final = (TRAINER,)
SECONDS: Final = 180.0
_POLL_SECONDS: Final = 0.25
_STARTED: Final = re.compile(
    r"^([-\d]+ [:\d]+,\d+).*\n[-=]+\n *Round \d+ started\. *$", re.MULTILINE
)
_ENDED: Final = re.compile(
    r"^([-\d]+ [:\d]+,\d+).*\n[-=]+\n *Finished FedAvg\. *$", re.MULTILINE
)


def time_stock(
    admin: Admin, server: Path, *, sites: int, parameters: int, rounds: int
) -> tuple[float, ...]:
    """Run FLARE's FedAvg with its own numpy trainer; return seconds a round.

    Parameters
    ----------
    admin
        Logged in.
    server
        Kit of the server, in which the job's log is written.
    sites, parameters, rounds
        How many; the weights are float32, and the first round is not counted.

    Raises
    ------
    HomeError
        The job did not end in time, or did not finish.
    """
    with tempfile.TemporaryDirectory(prefix="fednb-stock-") as name:
        folder = Path(name) / "stock-fedavg"
        _write_job(folder, sites, parameters, rounds + 1)
        job = admin.submit_folder(folder)
    kept = server / "jobs" / "store" / job / "workspace"
    deadline = time.monotonic() + SECONDS
    try:
        while not zipfile.is_zipfile(kept):
            if time.monotonic() > deadline:
                message = f"FLARE's FedAvg did not end in {SECONDS:g} s."
                raise HomeError(message)
            time.sleep(_POLL_SECONDS)
    finally:
        admin.abort(job)
    with zipfile.ZipFile(kept) as archive:
        names = [name for name in archive.namelist() if Path(name).name == "log.txt"]
        return read_rounds("".join(archive.read(name).decode() for name in names))


def read_rounds(log: str) -> tuple[float, ...]:
    """Return seconds of each round but the first, as a job's log tells.

    Parameters
    ----------
    log
        Of a job of FLARE's FedAvg that has finished.

    Raises
    ------
    HomeError
        It has not: the log names no end.
    """
    ended = _ENDED.search(log)
    if ended is None:
        message = "FLARE's FedAvg did not finish; its log names no end."
        raise HomeError(message, detail=log[-2000:])
    marks = [found[1] for found in _STARTED.finditer(log)][1:]
    stamps = [datetime.fromisoformat(mark) for mark in (*marks, ended[1])]
    return tuple((b - a).total_seconds() for a, b in pairwise(stamps))


def _write_job(folder: Path, sites: int, parameters: int, rounds: int) -> None:
    """Write FLARE's job: FedAvg, a numpy model, and a trainer that adds one."""
    config = folder / "app" / "config"
    config.mkdir(parents=True)
    meta = {
        "name": folder.name,
        "resource_spec": {},
        "min_clients": sites,
        "deploy_map": {"app": ["@ALL"]},
    }
    model = [0.0] * parameters
    controller = {"num_clients": sites, "num_rounds": rounds}
    server = {
        "format_version": 2,
        "workflows": [{"id": "fedavg", "path": FEDAVG, "args": controller}],
        "components": [
            {"id": "persistor", "path": PERSISTOR, "args": {"model": model}}
        ],
    }
    trainer = {"path": TRAINER, "args": {"sleep_time": 0}}
    site = {
        "format_version": 2,
        "executors": [{"tasks": ["train"], "executor": trainer}],
        "components": [],
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    (config / "config_fed_server.json").write_text(json.dumps(server))
    (config / "config_fed_client.json").write_text(json.dumps(site))
