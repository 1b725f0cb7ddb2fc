"""Every error that fednb raises, in one tree.

::

    FednbError
    ├── InputError            what the caller passed is wrong (also a ValueError)
    │   ├── UnknownNameError  a name that is not in its registry; says what is
    │   ├── DatasetError      a dataset folder or table with problems, all listed
    │   └── PlanError         a plan that cannot run as written
    ├── RefusedError          a site said no: site, cause, correlation id
    ├── SiteDownError         a site cannot be reached
    ├── RunError              a run failed: names the site and the cause
    │   └── RunStoppedError   somebody stopped the run
    ├── WireError             bytes that are malformed or too large
    │   └── VersionError      the other side speaks another version of the protocol
    ├── HomeError             a home folder is locked, full, or of a newer schema
    ├── CodeError             a requester's own code failed: error's type and line
    ├── IntegrityError        a signature, a hash or the ledger's chain does not hold
    ├── FitError              a model cannot be fitted: separated, rank-deficient
    └── DependencyError       an optional package is missing; says which extra has it

``str(error)`` is the public message: what is wrong, the value seen, what to do.
``error.detail`` is private to the machine that raised it and never crosses the wire.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Literal, Self, get_args

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

Cause = Literal[
    "not-approved",
    "denied",
    "expired",
    "revoked",
    "signature",
    "edited",
    "replayed",
    "not-in-contract",
    "unknown-contract",
    "unknown-dataset",
    "fingerprint",
    "limit",
    "disclosure",
    "participants",
    "data",
    "device",
    "storage",
    "stopped",
    "busy",
    "code",
    "no-code",
    "no-confinement",
    "malformed",
    "version",
    "too-large",
    "unreachable",
    "internal",
]
"""The closed list of causes that may leave a site (law 3)."""

CAUSES: tuple[Cause, ...] = get_args(Cause)

CAUSE_TEXT: dict[str, str] = {
    "not-approved": "the site owner has not approved this contract yet",
    "denied": "the site owner denied this contract",
    "expired": "the contract has expired; request it again",
    "revoked": "the site owner revoked this contract",
    "signature": "the signature does not belong to the contract's requester",
    "edited": "the contract's bytes do not match its hash",
    "replayed": "this call was already answered with other content",
    "not-in-contract": "the call asks for something the contract does not name",
    "unknown-contract": "the site does not know this contract; propose it first",
    "unknown-dataset": "the site has no dataset of that name",
    "fingerprint": "the dataset changed since the contract was approved",
    "limit": "a cap of the contract or of the site's policy was reached",
    "disclosure": "the site's disclosure rules do not allow this output",
    "participants": "the set of participants does not match the contract",
    "data": "the site's data cannot answer this call; its owner sees why",
    "device": "the device named in the contract is not available at the site",
    "storage": "the site could not store the release; its owner sees why",
    "stopped": "the task was stopped",
    "busy": "the site is busy with another task",
    "code": "the contract's own code failed at the site",
    "no-code": "the site's policy does not allow custom code",
    "no-confinement": "the site cannot confine custom code as its owner demands",
    "malformed": "the message could not be read",
    "version": "the two sides run different versions of fednb; update the older",
    "too-large": "the message exceeds the size cap",
    "unreachable": "the site cannot be reached",
    "internal": "the task failed at the site; its owner sees why",
}
"""Fixed public text for each cause: all that a requester is told."""


def _known(cause: str) -> Cause | None:
    return next((known for known in CAUSES if known == cause), None)


class FednbError(Exception):
    """Root of the tree.

    Parameters
    ----------
    message
        Public: what is wrong, the value seen, and what to do.
    site
        The site that it is about; empty: none.
    detail
        Private: may name values and paths; stays on the machine that raised it.
    """

    cause: Cause = "internal"

    def __init__(self, message: str, site: str = "", *, detail: str = "") -> None:
        super().__init__(message)
        self.site = site
        self.detail = detail

    def told(self) -> tuple[str, ...]:
        """Return what crosses to a notebook: all but `detail`, which stays."""
        return (str(self), self.site)

    @classmethod
    def retold(cls, *told: str) -> Self:
        """Return the error of which another process told."""
        return cls(*told)


class InputError(FednbError, ValueError):
    """What the caller passed is wrong."""

    cause: Cause = "not-in-contract"


class UnknownNameError(InputError):
    """A name that is not in its registry.

    Parameters
    ----------
    kind
        What was looked up, for example ``"column"``.
    name
        The name that was not found.
    known
        The names that exist; the nearest is suggested.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(names[:20]) or "none"
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        message = f"Unknown {kind} {name!r}.{hint} Known: {shown}{more}."
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.known = tuple(names)

    @override
    def told(self) -> tuple[str, ...]:
        return (self.kind, self.name, *self.known)

    @classmethod
    @override
    def retold(cls, *told: str) -> Self:
        kind, name, *known = told
        return cls(kind, name, known)


class DatasetError(InputError):
    """A dataset folder or table has problems; all of them are listed.

    Parameters
    ----------
    problems
        One line a problem: what is wrong, and where.
    """

    cause: Cause = "data"

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        n = len(self.problems)
        lines = "\n".join(f"  - {p}" for p in self.problems[:50])
        more = f"\n  and {n - 50} more" if n > 50 else ""
        noun = "problem" if n == 1 else "problems"
        super().__init__(f"The dataset has {n} {noun}:\n{lines}{more}")

    @override
    def told(self) -> tuple[str, ...]:
        return self.problems

    @classmethod
    @override
    def retold(cls, *told: str) -> Self:
        return cls(told)


class PlanError(InputError):
    """A plan that cannot run as written."""


class RefusedError(FednbError):
    """A site refused: fixed text, a cause from the closed list, a correlation id.

    Parameters
    ----------
    site
        The site's name.
    cause
        One of `CAUSES`; of another one only ``internal`` is told.
    correlation
        The id under which the owner finds the reason in the site's ledger.
    fault
        Type and line of an error in the requester's own code; empty: none.
    """

    def __init__(
        self, site: str, cause: str, correlation: str, fault: str = ""
    ) -> None:
        self.cause = _known(cause) or "internal"
        text = CAUSE_TEXT[self.cause] + (f" ({fault})" if fault else "")
        super().__init__(
            f"{site} refused ({self.cause}): {text}. Ask the site owner about "
            f"{correlation}.",
            site,
        )
        self.correlation = correlation
        self.fault = fault

    @override
    def told(self) -> tuple[str, ...]:
        return (self.site, self.cause, self.correlation, self.fault)


class SiteDownError(FednbError):
    """A site cannot be reached.

    Parameters
    ----------
    site
        The site's name.
    detail
        What the transport saw; private to the coordinator's machine.
    """

    cause: Cause = "unreachable"

    def __init__(self, site: str, *, detail: str = "") -> None:
        message = f"{site} cannot be reached. Ask again, or resume a paused run, when "
        super().__init__(f"{message}the site is back.", site, detail=detail)

    @override
    def told(self) -> tuple[str, ...]:
        return (self.site,)


class RunError(FednbError):
    """A run failed or cannot do what was asked.

    Parameters
    ----------
    message
        What happened and what to do.
    site
        The site at which it failed; empty for the coordinator itself.
    cause
        One of `CAUSES`; None: the class' own.
    """

    def __init__(
        self, message: str, *, site: str = "", cause: Cause | None = None
    ) -> None:
        super().__init__(message, site)
        self.cause = cause or self.cause

    @override
    def told(self) -> tuple[str, ...]:
        return (str(self), self.site, self.cause)

    @classmethod
    @override
    def retold(cls, *told: str) -> Self:
        message, site, cause = (*told, "", "")[:3]
        return cls(message, site=site, cause=_known(cause))


class RunStoppedError(RunError):
    """Somebody stopped the run."""

    cause: Cause = "stopped"


class WireError(FednbError):
    """Bytes that are malformed, or too large."""

    cause: Cause = "malformed"


class VersionError(WireError):
    """Bytes of another version of the protocol; says which, and of which site."""

    cause: Cause = "version"


class HomeError(FednbError):
    """A home folder is locked, full, unreadable, or of a newer schema."""

    cause: Cause = "storage"


class CodeError(FednbError):
    """A requester's own code failed at a site.

    Parameters
    ----------
    kind
        Type of the error, of Python's own; never its message.
    where
        Line in the requester's code; empty: outside it.
    detail
        Message and traceback; private to the site.
    """

    cause: Cause = "code"

    def __init__(self, kind: str, where: str = "", *, detail: str = "") -> None:
        self.fault = f"{kind} at {where}" if where else kind
        super().__init__(
            f"The contract's own code failed: {self.fault}.", detail=detail
        )

    @override
    def told(self) -> tuple[str, ...]:
        return (self.fault,)


class IntegrityError(FednbError):
    """A signature, a hash or the ledger's chain does not hold."""

    cause: Cause = "signature"


class FitError(FednbError):
    """A model cannot be fitted; the message says why and what to change."""

    cause: Cause = "data"


class DependencyError(FednbError):
    """An optional package is missing.

    Parameters
    ----------
    package
        The package that could not be imported.
    extra
        The extra of fednb that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'fednb[{extra}]'"
        )
        self.package = package
        self.extra = extra

    @override
    def told(self) -> tuple[str, ...]:
        return (self.package, self.extra)


def revive(name: str, told: tuple[str, ...]) -> FednbError:
    """Return an error that crossed from the coordinator's service.

    Parameters
    ----------
    name
        Name of a class of the tree; an unknown one gives the root.
    told
        What its `FednbError.told` said.
    """
    return _tree().get(name, FednbError).retold(*told)


def _tree() -> dict[str, type[FednbError]]:
    """Return every class of the tree by its name."""
    kinds = [FednbError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.__name__: kind for kind in kinds}
