"""Errors as the routes answer them: one shape, fixed text, and what to do.

What an unknown error says never leaves this server; it is in its log, under the id
that the answer names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fednb.display.text import visible
from fednb.errors import (
    FednbError,
    HomeError,
    InputError,
    IntegrityError,
    UnknownNameError,
)

_MAX_ADVICE: Final = 1000


@dataclass(frozen=True)
class Failure:
    """An error for the panel.

    Attributes
    ----------
    status
        Of HTTP.
    code
        For programs; one of a closed list.
    message
        Fixed text: what did not work.
    advice
        What to do; for an error of fednb its public message.
    """

    status: int
    code: str
    message: str
    advice: str

    def body(self) -> dict[str, dict[str, str]]:
        """Return the one shape in which errors are answered."""
        words = {"code": self.code, "message": self.message, "advice": self.advice}
        return {"error": words}


_KINDS: Final[tuple[tuple[type[FednbError], int, str, str], ...]] = (
    (UnknownNameError, 404, "unknown", "This server does not have what was asked for."),
    (InputError, 400, "input", "This cannot be done as asked; nothing was decided."),
    (HomeError, 503, "home", "The site's home cannot be used; nothing was decided."),
    (
        IntegrityError,
        500,
        "integrity",
        "A key or an entry of the site's home does not hold; nothing was decided.",
    ),
    (FednbError, 500, "fednb", "This did not work; nothing was decided."),
)
_REPLIES: Final = {
    401: ("login", "You are not logged in.", "Log in to this Jupyter server again."),
    403: (
        "forbidden",
        "This server does not let you do that.",
        "Log in to this Jupyter server again, and reload the page.",
    ),
    404: ("unknown", "There is nothing at this address.", "Reload the page."),
    405: ("method", "This address does not take that.", "Reload the page."),
}
_UNKNOWN: Final = "Something went wrong inside this server."


def failure_of(error: FednbError) -> Failure:
    """Return how an error of fednb is answered."""
    for kind, status, code, message in _KINDS:
        if isinstance(error, kind):
            return Failure(status, code, message, visible(error, _MAX_ADVICE))
    raise error


def refusal(status: int) -> Failure | None:
    """Return how a refusal of the server itself is answered; None: unexpected."""
    if status not in _REPLIES:
        return None
    return Failure(status, *_REPLIES[status])


def unexpected(correlation: str) -> Failure:
    """Return how an unknown error is answered.

    Parameters
    ----------
    correlation
        The id under which it is in this server's log.
    """
    advice = (
        f"Look for {correlation} in the log of this Jupyter server. Decide with `fednb "
        "site` meanwhile; look first at what was decided."
    )
    return Failure(500, "internal", _UNKNOWN, advice)
