"""Decisions of a site's checks, and how a series of checks is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.records.outputs import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fednb.errors import Cause

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
