"""Decisions of a site's checks, and how a series of checks is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fednb.errors import (
    Cause,
    CodeError,
    DatasetError,
    FednbError,
    FitError,
    HomeError,
    InputError,
    IntegrityError,
    RunError,
    WireError,
)
from fednb.records.outputs import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED = Decision(allow=True, rule="admission", reason="All checks passed.")
_CAUSES: tuple[tuple[type[FednbError], Cause], ...] = (
    (DatasetError, "data"),
    (FitError, "data"),
    (HomeError, "storage"),
    (IntegrityError, "signature"),
    (InputError, "not-in-contract"),
    (WireError, "malformed"),
)
_STOPS: Final[dict[str, Cause]] = {
    "limit": "limit",
    "no-confinement": "no-confinement",
}


def deny(rule: str, reason: str, cause: Cause) -> Decision:
    """Return a decision that stops something.

    Parameters
    ----------
    rule
        Name of the rule.
    reason
        For the owner; private.
    cause
        For the requester; from the closed list.
    """
    return Decision(allow=False, rule=rule, reason=reason, cause=cause)


def settle(checks: Iterator[Decision]) -> Decision:
    """Return the first denial, or `ALLOWED`; later checks are not run."""
    return next((decision for decision in checks if not decision.allow), ALLOWED)


def verdict_of(error: BaseException) -> Decision:
    """Return the decision that an error amounts to: cause public, words private."""
    detail = getattr(error, "detail", "")
    reason = f"{type(error).__name__}: {error} {detail}".strip()
    if isinstance(error, RunError):
        return deny("task.stopped", reason, _STOPS.get(error.refusal, "stopped"))
    if isinstance(error, CodeError):
        return Decision(
            allow=False,
            rule="code.failed",
            reason=reason,
            cause="code",
            fault=error.fault,
        )
    for kind, named in _CAUSES:
        if isinstance(error, kind):
            return deny(f"task.{kind.__name__}", reason, named)
    return deny("task.failed", reason, "internal")
