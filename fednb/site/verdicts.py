"""Decisions of a site's checks, and how a series of checks is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.errors import Cause, CodeError, FednbError
from fednb.records.outputs import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOWED = Decision(allow=True, rule="admission", reason="All checks passed.")


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
    if not isinstance(error, FednbError):
        return deny("task.failed", f"{type(error).__name__}: {error}", "internal")
    kind = type(error).__name__
    return Decision(
        allow=False,
        rule=f"task.{kind}",
        reason=f"{kind}: {error} {error.detail}".strip(),
        cause=error.cause,
        fault=error.fault if isinstance(error, CodeError) else "",
    )
