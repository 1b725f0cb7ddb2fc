"""What a process does to itself before it runs a stranger's code, and cannot undo.

Four walls, by means that Linux gives to every user (no root, no set-uid helper):

* limits of memory, processor time, file size and open files (``setrlimit``);
* an empty network namespace inside a user namespace (``unshare``);
* Landlock: files can be read where the libraries are and in the folders named, and
  written in one empty folder; nothing else can be opened, no process outside signalled;
* a filter of system calls (``seccomp``): no socket of any kind, no new process or
  program, no tracing, mounting or tampering with other processes.

A wall that was put up is tried; `Walls` says which hold. The filter is a list of what
is refused, in the numbers of x86-64 and AArch64; on other machines it does not hold.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from fednb.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

_libc: Final = ctypes.CDLL(None, use_errno=True)


Demand = Literal["required", "where-possible"]
"""Whether custom code runs where the kernel lacks a wall."""

GIB: Final = 2**30


@dataclass(frozen=True)
class Terms:
    """What an owner allows a confined worker.

    Attributes
    ----------
    demand
        ``"required"``: the worker takes no job unless every wall holds.
    memory_gib
        Address space, in GiB; torch itself takes about .6.
    disk
        Bytes of all files in its folder.
    without
        Walls that are left out, to try a site whose kernel lacks them.
    """

    demand: Demand = "required"
    memory_gib: float = 16.0
    disk: int = 2 * GIB
    without: tuple[str, ...] = ()


class Limits(Record, frozen=True):
    """Limits of a confined process.

    Attributes
    ----------
    memory
        Bytes of address space.
    seconds
        Processor time; the wall time is the parent's to watch.
    file
        Bytes of any one file that it writes.
    files
        Open files.
    """

    memory: int
    seconds: int
    file: int = 2**28
    files: int = 256


class Enclosure(Record, frozen=True):
    """The walls to put up.

    Attributes
    ----------
    folder
        The only folder in which files can be written.
    readable
        Folders that can be read beside the libraries'.
    private
        Files and folders that must not open: they are tried.
    limits
        See `Limits`.
    without
        Walls to leave out: a site whose kernel lacks one is tried with it.
    """

    folder: str
    readable: tuple[str, ...]
    private: tuple[str, ...]
    limits: Limits
    without: tuple[str, ...] = ()


class Walls(Record, frozen=True):
    """The walls that hold, each tried after it was put up.

    Attributes
    ----------
    network, files, calls
        The empty network namespace, Landlock, the filter of system calls.
    missing
        Why a wall does not hold, in words for the site's owner.
    """

    network: bool
    files: bool
    calls: bool
    missing: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all of them hold."""
        return self.network and self.files and self.calls


def enclose(enclosure: Enclosure) -> Walls:
    """Put up walls around this process, for good.

    It must have one thread only; it is killed when its parent's thread ends.

    Parameters
    ----------
    enclosure
        Which walls.
    """
    _libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _limit(enclosure.limits)
    steps = {
        "network": _leave_network,
        "files": lambda: _close_files(enclosure),
        "calls": _filter_calls,
    }
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    held: dict[str, bool] = {}
    missing = []
    for name, put_up in steps.items():
        why = "it was left out" if name in enclosure.without else put_up()
        if name == "network":
            _drop_capabilities()
        held[name] = not why
        if why:
            missing.append(f"{name}: {why}")
    return Walls(**held, missing=tuple(missing))


def _limit(limits: Limits) -> None:
    asked = {
        resource.RLIMIT_AS: limits.memory,
        resource.RLIMIT_CPU: limits.seconds,
        resource.RLIMIT_FSIZE: limits.file,
        resource.RLIMIT_NOFILE: limits.files,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in asked.items():
        _, hard = resource.getrlimit(kind)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))


_PDEATHSIG: Final = 1
_NO_NEW_PRIVILEGES: Final = 38
_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
_NEW_IPC: Final = 0x08000000


def _leave_network() -> str:
    """Enter a network namespace without devices; return why it could not be."""
    apart = _NEW_NETWORK | _NEW_IPC
    # with privileges of its own a process may not need, or may not have, the first
    if _libc.unshare(apart | _NEW_USER) and _libc.unshare(apart):
        return f"the kernel gives no network namespace ({_error()})"
    names = [name for _, name in socket.if_nameindex()]
    return "" if set(names) <= {"lo"} else f"the devices {names} are still there"


def _drop_capabilities() -> None:
    """Give up every capability: those over the new namespace, and root's."""
    header = struct.pack("<Ii", 0x20080522, 0)
    _libc.capset(header, bytes(24))


def _error() -> str:
    return os.strerror(ctypes.get_errno())


_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ: Final = (1 << 2) | (1 << 3)
_READ_FILE: Final = 1 << 2
_ALL: Final = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of rights over files, by version of Landlock; 16 in later ones."""

_SYSTEM: Final = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"),
    *("/etc/ld.so.cache", "/proc/self", "/proc/meminfo", "/sys/devices/system"),
    *("/dev/zero", "/dev/urandom", "/proc/cpuinfo"),
)


def libraries() -> tuple[str, ...]:
    """Return the files and folders that Python and its libraries are read from."""
    packages = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    own = str(Path(__file__).parents[1])
    standard = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    found = (*standard, *packages, own, *_SYSTEM)
    return tuple(dict.fromkeys(path for path in found if Path(path).exists()))


def _close_files(enclosure: Enclosure) -> str:
    """Restrict what can be opened; return why it could not be."""
    version = _libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return f"the kernel has no Landlock ({_error()})"
    rights = (1 << _ALL.get(version, 16)) - 1
    # from version 4 on also TCP, from 6 on abstract sockets and signals
    rules = struct.pack("<QQQ", rights, 3 if version >= 4 else 0, 3)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _libc.syscall(_CREATE, rules[:size], size, 0)
    if ruleset < 0:
        return f"Landlock refused ({_error()})"
    _permit(ruleset, (*libraries(), *enclosure.readable), _READ)
    _permit(ruleset, ("/dev/null",), _READ_FILE | (1 << 1))
    _permit(ruleset, (enclosure.folder,), rights & ~((1 << 6) | (1 << 11) | 1))
    failed = _libc.syscall(_RESTRICT, ruleset, 0)
    os.close(ruleset)
    if failed:
        return f"Landlock refused ({_error()})"
    open_still = [path for path in enclosure.private if _opens(path)]
    return f"{len(open_still)} private paths still open" if open_still else ""


def _permit(ruleset: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        of_files = rights if Path(path).is_dir() else rights & 0b1000000000000110
        rule = struct.pack("<Qi", of_files, handle)
        _libc.syscall(_ADD, ruleset, 1, rule, 0)
        os.close(handle)


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno not in {errno.EACCES, errno.EPERM}
    return True


_MACHINES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Audit number of the architecture, and its column in `_CALLS`."""

_CALLS: Final = {
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "bind": (49, 200),
    "listen": (50, 201),
    "socketpair": (53, 199),
    "accept4": (288, 242),
    "fork": (57, -1),
    "vfork": (58, -1),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
}
"""System calls that are refused, by their numbers on x86-64 and AArch64."""

_CLONE, _CLONE3, _TGKILL, _PRLIMIT = (56, 220), (435, 435), (234, 131), (302, 261)
_LOAD, _EQUAL, _AT_LEAST, _SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _ABSENT, _KILL = (
    0x7FFF0000,
    0x00050000 | errno.EPERM,
    0x00050000 | errno.ENOSYS,
    0x80000000,
)
_FIRST_ARGUMENT: Final = 16
_THREAD: Final = 0x10000


def _program(arch: int, column: int) -> bytes:
    """Return the filter, in the instructions of the classic packet filter."""
    lines = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        # numbers of the x32 interface
        (_AT_LEAST, 0, 1, 0x40000000),
        (_RETURN, 0, 0, _REFUSE),
    ]
    for numbers in _CALLS.values():
        if numbers[column] >= 0:
            lines += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _REFUSE)]
    # libraries that find no clone3 take clone, whose flags can be read here
    lines += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ABSENT)]
    # threads yes, processes no; signals and limits of this process only
    for numbers, test, value in (
        (_CLONE, _SET, _THREAD),
        (_TGKILL, _EQUAL, os.getpid()),
        (_PRLIMIT, _EQUAL, 0),
    ):
        lines += [
            (_EQUAL, 0, 4, numbers[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (test, 0, 1, value),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        ]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


def _filter_calls() -> str:
    """Refuse the system calls of `_CALLS`; return why it could not be."""
    machine = platform.machine()
    if machine not in _MACHINES:
        return f"no filter of system calls is written for {machine}"
    program = ctypes.create_string_buffer(_program(*_MACHINES[machine]))
    length = (len(program) - 1) // 8
    head = struct.pack("@HxxxxxxP", length, ctypes.addressof(program))
    if _libc.prctl(22, 2, head, 0, 0):
        return f"the kernel refused the filter of system calls ({_error()})"
    try:
        socket.socket().close()
    except PermissionError:
        return ""
    return "a socket could be made still"
