"""Server, sites and keeper as processes on this machine, from their kits.

Process ids are kept in each kit, with the time at which the process began, so that
nothing else is ever stopped. Where a person starts a site, it is by the kit's own
``startup/start.sh`` or ``fednb site serve``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import psutil

from fednb.errors import HomeError, InputError
from fednb.flare.kit import Kit
from fednb.flare.provision import (
    COORDINATOR,
    ProjectSpec,
    place_job_store,
    provision,
)
from fednb.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

PID_FILE: Final = "fednb.pid"
KITS: Final = "kits"
LOOPBACK: Final = "127.0.0.1"
START_SECONDS: Final = 40.0
STOP_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05
_ATTEMPTS: Final = 3
_ORDER: Final = ("server", "site", "keeper")
_KEEPER: Final = "fednb.flare.keeper"
_FLARE_MODULES: Final = "nvflare.private.fed.app."


class _Mark(Record, frozen=True):
    """Which process was started: its id, and when it began, Unix time."""

    pid: int
    began: float


@dataclass(frozen=True)
class PartyStatus:
    """How a party's process stands.

    Attributes
    ----------
    party
        Name of the kit's folder.
    kind
        ``"server"``, ``"site"`` or ``"keeper"``.
    pid
        Of its process; 0 where none runs.
    """

    party: str
    kind: str
    pid: int


def start(kit: str | Path) -> int:
    """Start the party of a kit in the background and return its process id.

    Parameters
    ----------
    kit
        Of a server, of a site, or of a keeper, which lies beside the server's.

    Raises
    ------
    InputError
        The kit is a user's, has expired, or its party runs already; or the server's
        port is in use.
    """
    opened = Kit(kit)
    config = opened.config
    if config.kind == "user":
        message = f"{opened.path} is a user's kit; there is nothing to start."
        raise InputError(message)
    opened.certificate()
    running = pid_of(opened.path)
    if running:
        who = "The server" if config.kind == "server" else config.party
        message = f"{who} runs already, as process {running}. Stop it first."
        raise InputError(message)
    # what a killed process left behind still holds its home
    stop(opened.path)
    if config.kind == "server":
        check_port(config.host, config.port)
        place_job_store(opened.path)
    process = _spawn(opened)
    mark = _Mark(process.pid, psutil.Process(process.pid).create_time())
    (opened.path / PID_FILE).write_bytes(msgspec.json.encode(mark))
    return process.pid


def serve(kit: str | Path) -> int:
    """Run the party of a kit in the foreground until it ends; return its exit status.

    Raises
    ------
    InputError
        As for `start`.
    """
    start(kit)
    process = _started[Kit(kit).path]
    try:
        return process.wait()
    finally:
        stop(kit)


def stop(*kits: str | Path) -> None:
    """Stop all processes of kits and all that they started; nothing else."""
    folders = [Path(kit).expanduser().absolute() for kit in kits]
    for _ in range(_ATTEMPTS):
        found = processes_of(folders)
        if not found:
            break
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, left = psutil.wait_procs(found, timeout=STOP_SECONDS)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=STOP_SECONDS)
    for folder in folders:
        started = _started.pop(folder, None)
        if started is not None:
            started.wait()
        (folder / PID_FILE).unlink(missing_ok=True)


def pid_of(kit: Path) -> int:
    """Return the id of the process that runs a kit; 0 where none does."""
    try:
        mark = msgspec.json.decode((kit / PID_FILE).read_bytes(), type=_Mark)
        process = psutil.Process(mark.pid)
        same = process.create_time() == mark.began
        alive = process.status() != psutil.STATUS_ZOMBIE
    except (OSError, msgspec.DecodeError, psutil.NoSuchProcess):
        return 0
    return mark.pid if same and alive else 0


def check_port(host: str, port: int) -> None:
    """Refuse a port that something listens on.

    Raises
    ------
    InputError
        The port is in use, or may not be opened.
    """
    address = LOOPBACK if host == "localhost" else ""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            message = (
                f"Port {port} cannot be opened ({error.strerror}). Stop what uses it, "
                "or choose another port."
            )
            raise InputError(message) from error


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def up(home: str | Path, project: ProjectSpec) -> dict[str, Path]:
    """Provision where needed, then start server, sites and keeper on this machine.

    Parameters
    ----------
    home
        Folder of everything; kits lie in ``home/kits``.
    project
        Who takes part; ignored where the kits are there already.

    Returns
    -------
    kits
        Folder of each party.

    Raises
    ------
    InputError
        A party runs already, its kit has expired or is of another version, or the
        port is in use. Nothing is left running.
    HomeError
        The server does not come up. Nothing is left running.
    """
    folder = Path(home).expanduser().absolute() / KITS
    if not (folder / COORDINATOR).is_dir():
        check_port(project.host, project.port)
        provision(project, folder)
    kits = {kit.name: kit for kit in sorted(folder.iterdir()) if _is_kit(kit)}
    opened = {name: Kit(kit) for name, kit in kits.items()}
    parties = sorted(
        (name for name, kit in opened.items() if kit.config.kind in _ORDER),
        key=lambda name: _ORDER.index(opened[name].config.kind),
    )
    for name in parties:
        # before the first is started
        opened[name].certificate()
    started: list[Path] = []
    done = False
    try:
        for name in parties:
            start(kits[name])
            started.append(kits[name])
            if name == COORDINATOR:
                _await_server(opened[name])
        done = True
    finally:
        if not done:
            stop(*started)
    return kits


def down(home: str | Path) -> None:
    """Stop the server, all sites and the keeper of `up`."""
    folder = Path(home).expanduser().absolute() / KITS
    stop(*(kit for kit in sorted(folder.glob("*")) if _is_kit(kit)))


def status(home: str | Path) -> tuple[PartyStatus, ...]:
    """Return how the server, each site and the keeper stand.

    Raises
    ------
    HomeError
        There is nothing at `home`.
    """
    folder = Path(home).expanduser().absolute() / KITS
    if not folder.is_dir():
        message = f"There is no federation at {folder.parent}. Start one: `fednb up`."
        raise HomeError(message)
    found = [(kit, Kit(kit).config) for kit in sorted(folder.iterdir()) if _is_kit(kit)]
    return tuple(
        PartyStatus(kit.name, config.kind, pid_of(kit))
        for kit, config in found
        if config.kind != "user"
    )


_started: dict[Path, subprocess.Popen[bytes]] = {}


def _spawn(kit: Kit) -> subprocess.Popen[bytes]:
    """Start a kit's script, or the keeper, apart from this process's terminal."""
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((binaries, os.environ.get("PATH", ""))),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    environment.pop("NVFL_WORKSPACE", None)
    command = [str(kit.startup / "sub_start.sh"), "--once"]
    if kit.config.kind == "keeper":
        server = kit.path.parent / COORDINATOR
        command = [sys.executable, "-m", _KEEPER, str(server), str(kit.path)]
    with (kit.path / "process.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  (the kit's, or our own)
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=kit.path,
            env=environment,
            start_new_session=True,
        )
    _started[kit.path] = process
    return process


def _await_server(kit: Kit) -> None:
    """Wait until a server listens.

    Raises
    ------
    HomeError
        It ended, or does not listen in time.
    """
    config = kit.config
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and pid_of(kit.path):
        with contextlib.suppress(OSError):
            socket.create_connection((config.host, config.port), timeout=1).close()
            return
        time.sleep(_POLL_SECONDS)
    message = f"The server does not come up. See {kit.path / 'process.log'}."
    raise HomeError(message)


def _is_kit(path: Path) -> bool:
    return (path / "local" / "fednb.json").is_file()


def processes_of(kits: Sequence[Path]) -> list[psutil.Process]:
    """Return the processes of kits, whoever started them, and their children.

    FLARE starts a job's worker in a session of its own, and it outlives a parent that
    was killed; it is known by the kit that it names as its workspace.
    """
    names = {str(kit) for kit in kits}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if _serves(process.cmdline(), names):
                found[process.pid] = process
                found.update({c.pid: c for c in process.children(recursive=True)})
    return list(found.values())


def _serves(command: Sequence[str], kits: set[str]) -> bool:
    pairs = itertools.pairwise(command)
    of_kit = any(option == "-m" and value in kits for option, value in pairs)
    flare = of_kit and any(part.startswith(_FLARE_MODULES) for part in command)
    keeper = _KEEPER in command and command[-1] in kits
    scripts = {f"{kit}/startup/sub_start.sh" for kit in kits}
    return flare or keeper or not scripts.isdisjoint(command)
