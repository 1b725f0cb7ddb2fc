"""Startup kits: one folder a party, each with its certificate and what it may do."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from nvflare.lighter.constants import CtxKey
from nvflare.lighter.prov_utils import prepare_builders
from nvflare.lighter.provision import prepare_project
from nvflare.lighter.provisioner import Provisioner

from fednb.errors import HomeError, InputError
from fednb.flare.kit import CONFIG_FILE, Kind, KitConfig
from fednb.records.base import Record, is_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTROLLER: Final = "fednb.flare.controller.FednbController"
EXECUTOR: Final = "fednb.flare.executor.FednbExecutor"
COORDINATOR: Final = "coordinator"
AUTHORITY: Final = "authority"
ROOT_DAYS: Final = 1825
HEARTBEAT_TIMEOUT: Final = 60
MAINTENANCE_TIMEOUT: Final = 5.0
_ORG: Final = "fednb"
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_USER: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_SESSIONS: Final = {
    "submit_job": "any",
    "list_jobs": "any",
    "get_job_meta": "any",
    "check_status": "any",
    "abort_job": "n:submitter",
}
_NEVER: Final = {
    "byoc": "none",
    "clone_job": "none",
    "download_job": "none",
    "operate": "none",
    "shell_commands": "none",
    "show_errors": "none",
}
AUTHORIZATION: Final = {
    "format_version": "1.0",
    "permissions": {
        "scientist": {**_SESSIONS, **_NEVER, "app_command": "any"},
        "keeper": {**_SESSIONS, **_NEVER, "app_command": "none"},
    },
}
"""What roles may do: sessions of installed classes, and nothing else."""


class SiteSpec(Record, frozen=True):
    """A hospital in a project file.

    Attributes
    ----------
    name
        Letters, digits, ``-`` and ``_``; the name of its home.
    home
        Its fednb home on its own machine: absolute, or relative to its kit.
    """

    name: str
    home: str = "home"


class ProjectSpec(Record, frozen=True):
    """A project file: who takes part in a federation.

    Attributes
    ----------
    name
        Of the federation: letters, digits, ``-`` and ``_``.
    sites
        The hospitals.
    host, port
        Where sites and scientists find the server; ``localhost`` listens on
        127.0.0.1 only.
    scientists
        Users who may open sessions and ask; names in the form of an email address.
    keeper
        User of the coordinating site who reopens lost sessions and may do nothing
        else; empty: none.
    home
        The coordinator's home: absolute, or relative to the server's kit.
    """

    name: str
    sites: tuple[SiteSpec, ...]
    host: str = "localhost"
    port: int = 8002
    scientists: tuple[str, ...] = ("scientist@fednb.local",)
    keeper: str = "keeper@fednb.local"
    home: str = "home"


def read_project(path: str | Path) -> ProjectSpec:
    """Return a project file, YAML or JSON.

    Raises
    ------
    InputError
        It cannot be read, or is not a project; says where.
    """
    try:
        text = Path(path).expanduser().read_bytes()
    except OSError as error:
        message = f"The project file {path} cannot be read ({error.strerror})."
        raise InputError(message) from error
    try:
        return msgspec.yaml.decode(text, type=ProjectSpec, strict=False)
    except msgspec.DecodeError as error:
        message = (
            f"{path} is not a project file: {error}. It needs name and sites (each "
            "with name), and may have host, port, scientists, keeper and home."
        )
        raise InputError(message) from error


def provision(project: ProjectSpec | str | Path, out: str | Path) -> dict[str, Path]:
    """Make a startup kit for every party.

    Parameters
    ----------
    project
        Who takes part, or the file that says so.
    out
        A folder that does not exist, or is empty. It is made as a whole or not at all.

    Returns
    -------
    kits
        Folder of each party: ``"coordinator"`` for the server, sites and users under
        their names. Beside them ``authority`` holds the root key: keep it offline.

    Raises
    ------
    InputError
        The project is not possible as written; all problems are listed.
    HomeError
        `out` is not empty or cannot be written, or FLARE could not make the kits.
    """
    spec = project if isinstance(project, ProjectSpec) else read_project(project)
    check_project(spec)
    target = Path(out).expanduser().absolute()
    if target.exists() and (target.is_file() or any(target.iterdir())):
        message = f"{target} is not empty. Choose a new folder for the kits."
        raise HomeError(message)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix=".fednb-kits-"
        ) as name:
            made = _build(spec, Path(name))
            target.mkdir(mode=0o700, exist_ok=True)
            made.replace(target)
        place_job_store(target / COORDINATOR)
    except OSError as error:
        message = f"The kits could not be written to {target} ({error.strerror})."
        raise HomeError(message) from error
    return {party: target / party for party in _parties(spec)}


def check_project(spec: ProjectSpec) -> None:
    """Refuse a project that is not possible as written.

    Raises
    ------
    InputError
        Lists all problems.
    """
    problems = list(_problems(spec))
    if problems:
        message = f"The project {spec.name!r} is not possible: {' '.join(problems)}"
        raise InputError(message)


def _problems(spec: ProjectSpec) -> Iterator[str]:
    sites = [site.name for site in spec.sites]
    users = _users(spec)
    short = [name for name in (spec.name, *sites) if not is_plain(name)]
    if short:
        yield f"Names must be 1 to 64 letters, digits, - and _; got {short}."
    foreign = [name for name in users if not _USER.fullmatch(name)]
    if foreign:
        yield f"Users must have the form of an email address; got {foreign}."
    named = (*spec.scientists, spec.keeper) if spec.keeper else spec.scientists
    everybody = [*sites, *named, COORDINATOR, AUTHORITY, "server", spec.host]
    twice = sorted({n for n in everybody if everybody.count(n) > 1})
    if twice:
        yield f"Names used twice or reserved: {', '.join(twice)}."
    if not sites or not spec.scientists:
        yield "It needs at least one site and one scientist."
    if not _HOST.fullmatch(spec.host):
        yield f"The host {spec.host!r} must be a host name."
    if not 1 <= spec.port <= 65_535:
        yield f"The port must be within 1 and 65535; got {spec.port}."


def _users(spec: ProjectSpec) -> dict[str, Literal["scientist", "keeper"]]:
    users: dict[str, Literal["scientist", "keeper"]]
    users = dict.fromkeys(spec.scientists, "scientist")
    if spec.keeper:
        users[spec.keeper] = "keeper"
    return users


def _parties(spec: ProjectSpec) -> tuple[str, ...]:
    return (COORDINATOR, *(site.name for site in spec.sites), *_users(spec))


def _build(spec: ProjectSpec, folder: Path) -> Path:
    """Let FLARE make its kits in a folder, and make fednb's of them."""
    work = folder / "work"
    prod = _run_flare(spec, work)
    kits = folder / "kits"
    kits.mkdir(mode=0o700)
    for party in _parties(spec):
        flare_name = spec.host if party == COORDINATOR else party
        kit = kits / party
        shutil.move(prod / flare_name, kit)
        kit.chmod(0o700)
        _finish(spec, party, kit)
    (kits / AUTHORITY).mkdir(mode=0o700)
    shutil.move(work / spec.name / "state", kits / AUTHORITY / "state")
    (kits / AUTHORITY / "project.json").write_bytes(msgspec.json.encode(spec))
    return kits


def _run_flare(spec: ProjectSpec, work: Path) -> Path:
    project = _flare_project(spec)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        provisioner = Provisioner(str(work), prepare_builders(project))
        context = provisioner.provision(prepare_project(project))
    if context.get(CtxKey.BUILD_ERROR):
        message = "FLARE could not make the kits; its words are in the detail."
        raise HomeError(message, detail=said.getvalue())
    return Path(context[CtxKey.CURRENT_PROD_DIR])


def _flare_project(spec: ProjectSpec) -> dict[str, Any]:
    """Return the project as FLARE's provisioner reads it."""
    server = {
        "name": spec.host,
        "type": "server",
        "org": _ORG,
        "fed_learn_port": spec.port,
        "admin_port": spec.port,
    }
    sites = [{"name": s.name, "type": "client", "org": _ORG} for s in spec.sites]
    users = [
        {"name": name, "type": "admin", "org": _ORG, "role": role}
        for name, role in _users(spec).items()
    ]
    builder = "nvflare.lighter.impl."
    return {
        "api_version": 3,
        "name": spec.name,
        "description": "fednb",
        "participants": [server, *sites, *users],
        "builders": [
            {
                "path": builder + "workspace.WorkspaceBuilder",
                "args": {"template_file": ["master_template.yml"]},
            },
            {
                "path": builder + "static_file.StaticFileBuilder",
                "args": {"config_folder": "config", "scheme": "grpc"},
            },
            {
                "path": builder + "cert.CertBuilder",
                "args": {"root_valid_days": ROOT_DAYS},
            },
            {"path": builder + "signature.SignatureBuilder"},
        ],
    }


def _finish(spec: ProjectSpec, party: str, kit: Path) -> None:
    """Add to a kit what fednb needs, and close what it does not."""
    homes = {site.name: site.home for site in spec.sites}
    kind: Kind = "keeper" if party == spec.keeper else "user"
    home = ""
    if party == COORDINATOR:
        kind, home = "server", spec.home
    elif party in homes:
        kind, home = "site", homes[party]
    name = spec.host if kind == "server" else party
    sites = tuple(sorted(homes))
    config = KitConfig(spec.name, kind, name, spec.host, spec.port, sites, home)
    local = kit / "local"
    local.mkdir(exist_ok=True)
    (local / CONFIG_FILE).write_bytes(
        msgspec.json.format(msgspec.json.encode(config), indent=2)
    )
    for key in (kit / "startup").glob("*.key"):
        key.chmod(0o600)
    if kind in {"user", "keeper"}:
        return
    _write_json(local / "authorization.json", AUTHORIZATION)
    resources = json.loads((local / "resources.json.default").read_bytes())
    if kind == "server":
        _server_resources(resources)
    else:
        _site_resources(resources)
    _write_json(local / "resources.json", resources)


def _server_resources(resources: dict[str, Any]) -> None:
    resources["class_allow_list"] = [CONTROLLER]
    resources["servers"][0]["heart_beat_timeout"] = HEARTBEAT_TIMEOUT
    for component in resources["components"]:
        if component["id"] == "job_scheduler":
            component["args"] = {
                "max_jobs": 4,
                "min_schedule_interval": 1.0,
                "max_schedule_interval": 5.0,
                "max_schedule_count": 20,
            }


def place_job_store(kit: Path) -> None:
    """Let a server keep its jobs in its kit, wherever that is now.

    FLARE takes absolute paths only, and its default is the system's temporary folder.
    """
    path = kit / "local" / "resources.json"
    resources = json.loads(path.read_bytes())
    store = kit / "jobs"
    snapshots = resources["snapshot_persistor"]["args"]["storage"]["args"]
    snapshots["root_dir"] = str(store / "snapshots")
    for component in resources["components"]:
        if component["id"] == "job_manager":
            component["args"]["uri_root"] = str(store / "store")
    _write_json(path, resources)


def _site_resources(resources: dict[str, Any]) -> None:
    resources["class_allow_list"] = [EXECUTOR]
    # an error log may hold words about patients: it stays at the site
    resources["allow_log_streaming"] = False
    # a heartbeat that a dying server lost must not keep a site away for long
    resources["client"]["maint_msg_timeout"] = MAINTENANCE_TIMEOUT
    resources["components"] = [
        c for c in resources["components"] if c["id"] != "site_log_streamer"
    ]


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
