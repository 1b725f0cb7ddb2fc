"""Walls that hold: what code tries from inside them, and what it gets."""

from __future__ import annotations

import ast
import os
import socket
import time

import pytest

from fednb.errors import CodeError, IntegrityError, RunError, RunStoppedError
from fednb.models.build import build
from fednb.records.code import Code
from fednb.site.confinement import (
    ConfinedWorker,
    Terms,
    environment,
    objection,
    probe,
)
from fednb.site.tasks.confined import Watch, failure, initialise_confined
from fednb.site.tasks.job import ConfinedResult, InitialiseJob, JobResult
from fednb.site.walls import Walls

EVERY = Walls(network=True, files=True, calls=True)
TRIES = """
import torch


def attempt(action):
    try:
        return repr(action())[:200]
    except BaseException as error:
        return type(error).__name__ + " " + str((*error.args, "")[0])[:3]


def fill():
    with torch.builtins.open("much.bin", "wb") as file:
        for _ in range(64):
            file.write(bytes(2**23))


def net(channels, embedding, private, parent, port):
    os, read = torch.os, torch.builtins.open
    net = torch.importlib.import_module("socket")
    raise ValueError(repr({
        "tcp": attempt(lambda: net.create_connection(("127.0.0.1", port))),
        "udp": attempt(lambda: net.socket(net.AF_INET, net.SOCK_DGRAM)),
        "unix": attempt(lambda: net.socket(net.AF_UNIX)),
        "environment": attempt(lambda: sorted(os.environ)),
        "read": attempt(lambda: read(private).read()),
        "list": attempt(lambda: os.listdir(os.path.dirname(private))),
        "write": attempt(lambda: read(private, "w")),
        "passwords": attempt(lambda: read("/etc/passwd").read()),
        "beside": attempt(lambda: read("../beside", "w")),
        "parent": attempt(lambda: read("/proc/%d/environ" % parent).read()),
        "kill": attempt(lambda: os.kill(parent, 0)),
        "fork": attempt(os.fork),
        "run": attempt(lambda: os.execv("/bin/true", ["true"])),
        "memory": attempt(lambda: bytearray(3 * 2**30)),
        "large": attempt(fill),
        "own": attempt(lambda: read("mine", "w").write("abc")),
        "thread": attempt(lambda: torch.threading.Thread(target=int).start()),
    }))
"""
REFUSED = {
    **dict.fromkeys(("tcp", "udp", "unix", "kill", "fork", "run"), "PermissionError 1"),
    **dict.fromkeys(
        ("read", "list", "write", "passwords", "beside", "parent"), "PermissionError 13"
    ),
    "memory": "MemoryError ",
    "large": "OSError 27",
    "own": "3",
    "thread": "None",
}


def run(source: str, *, name="net", seconds=60.0, allowed=lambda: True, **options):
    """Run code as a network's, and return nothing: it must fail."""
    params = options.pop("params", {})
    terms = options.pop("terms", Terms(memory_gib=2.0))
    job = InitialiseJob("i", Code(name, source, params=params), 1, 0, 0)
    return initialise_confined(job, terms, Watch(seconds, allowed))


def findings(error: CodeError) -> dict:
    line = next(x for x in error.detail.splitlines() if x.startswith("ValueError: "))
    return ast.literal_eval(line.removeprefix("ValueError: "))


@pytest.fixture(scope="module")
def walls() -> Walls:
    return probe()


def test_this_machine_says_which_walls_it_has(walls):
    named = {word.split(":")[0] for word in walls.missing}
    held = {n for n in ("network", "files", "calls") if getattr(walls, n)}
    assert named == {"network", "files", "calls"} - held


def test_nothing_is_reached_from_inside(tmp_path, walls, monkeypatch):
    """Each thing that is tried, with what the walls of this machine make of it.

    The code passes the check, which is no wall: torch hands out what it imports itself.
    """
    assert Code("net", TRIES).problems == ()
    monkeypatch.setenv("SECRET_OF_THE_SITE", "key")
    private = tmp_path / "home" / "keys" / "signing.key"
    private.parent.mkdir(parents=True)
    private.write_text("a private key")
    with socket.create_server(("127.0.0.1", 0)) as server:
        params = {
            "private": str(private),
            "parent": os.getpid(),
            "port": server.getsockname()[1],
        }
        terms = Terms("where-possible", memory_gib=2.0)
        with pytest.raises(CodeError) as error:
            run(TRIES, params=params, terms=terms)
    line = 1 + TRIES[: TRIES.index("raise ValueError")].count("\n")
    # told; all that was found is for the owner
    assert error.value.fault == f"ValueError at line {line} of net"
    assert str(error.value) == f"The contract's own code failed: {error.value.fault}."
    found = findings(error.value)
    open_still = set()
    open_still |= set() if walls.calls else {"udp", "unix", "kill", "fork", "run"}
    open_still |= (
        set()
        if walls.files
        else {*("read", "list", "write", "passwords", "beside", "parent")}
    )
    open_still |= set() if walls.calls else {"tcp"}
    wanted = {k: v for k, v in REFUSED.items() if k not in open_still}
    assert {k: found[k] for k in wanted} == wanted
    assert set(ast.literal_eval(found["environment"])) == set(environment("x"))
    assert {"SECRET_OF_THE_SITE", "PATH"}.isdisjoint(
        ast.literal_eval(found["environment"])
    )
    if walls.files:
        assert private.read_text() == "a private key"


@pytest.mark.parametrize(
    ("kind", "line", "told"),
    [
        ("KeyError", 2, "KeyError at line 2 of net"),
        ("Patient7Is43", 2, "Exception at line 2 of net"),
        ("BaseException", 0, "Exception"),
        ("KeyError", 3, "KeyError"),
        ("KeyError", 43_000_007, "KeyError"),
        ("KeyError", -1, "KeyError"),
    ],
)
def test_what_the_process_says_of_a_failure_carries_nothing_out(kind, line, told):
    code = Code("net", "def net(channels, embedding):\n    return None\n")
    result = JobResult("", error=kind, detail="patient 7 is 43")
    said = ConfinedResult(result, code=code.sha256, line=line)
    error = failure(said, (code,))
    assert (error.fault, error.detail) == (told, "patient 7 is 43")
    assert "patient" not in str(error)
    stranger = ConfinedResult(result, code="patient-7-is-43", line=1)
    assert failure(stranger, (code,)).fault == told.split(" ")[0]


def test_what_takes_too_long_is_killed_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = "def net(channels, embedding):\n    while True:\n        pass\n"
    began = time.monotonic()
    with pytest.raises(RunStoppedError, match="stopped") as error:
        run(
            source,
            terms=Terms("where-possible"),
            allowed=lambda: time.monotonic() - began < 1.0,
        )
    assert error.value.cause == "stopped"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left_out", ["network", "files", "calls"])
def test_a_wall_that_lacks_is_an_objection_where_all_are_required(left_out):
    held = {"network": True, "files": True, "calls": True, left_out: False}
    walls = Walls(**held, missing=(f"{left_out}: the kernel has none",))
    says = objection(walls, "required")
    assert f"cannot confine custom code in full: {left_out}: the kernel" in says
    assert objection(walls, "where-possible") == ""


def test_where_every_wall_holds_nobody_objects():
    assert objection(EVERY, "required") == objection(EVERY, "where-possible") == ""


def test_the_job_is_never_sent_where_a_demanded_wall_lacks():
    terms = Terms("required", without=("network", "calls"))
    with pytest.raises(RunError) as error, ConfinedWorker(terms):
        pass
    assert error.value.cause == "no-confinement"
    assert "network: it was left out; " in str(error.value)
    assert "confinement = 'required'" in str(error.value)


def test_a_home_among_the_libraries_is_told(walls):
    terms = Terms("where-possible")
    with ConfinedWorker(terms, private=(os.__file__,)) as worker:
        assert not worker.walls.files
        assert any("still open" in word for word in worker.walls.missing) or (
            not walls.files
        )


def test_code_runs_in_no_other_process():
    code = Code("net", "def net(channels, embedding):\n    return None\n")
    with pytest.raises(IntegrityError, match="runs in a confined worker only"):
        build(code, 1, 0, 0)
