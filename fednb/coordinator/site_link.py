"""The coordinator's end of one site: a message out, the site's own answer back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fednb.errors import RefusedError, VersionError, WireError
from fednb.records.messages import (
    Ask,
    AskStatus,
    Ping,
    Propose,
    Refusal,
    Reply,
    Standing,
    State,
)
from fednb.wire.codec import decode_reply, encode

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R", bound=Reply)


@dataclass(repr=False)
class SiteLink:
    """Speaks with one site.

    Attributes
    ----------
    name
        Name of the site.
    send
        Carries a frame to the site and its answer back.
    seen
        Unix time of the last answer; 0: never.
    """

    name: str
    send: Callable[[bytes], bytes]
    seen: float = 0.0

    def ask(self, ask: Ask) -> Reply:
        """Send a message and return the site's answer.

        Raises
        ------
        RefusedError
            The site said no.
        SiteDownError
            The site cannot be reached.
        WireError
            The answer could not be read, or is another site's.
        VersionError
            The site runs another version of fednb.
        """
        try:
            reply = decode_reply(self.send(encode(ask)))
        except VersionError as error:
            message = f"{self.name} runs another version of fednb. {error}"
            raise VersionError(message, self.name) from error
        self.seen = time.time()
        if reply.site != self.name:
            message = f"The answer of {self.name} bears the name {reply.site!r}."
            raise WireError(message, self.name)
        if isinstance(reply, Refusal):
            told = (reply.cause, reply.correlation, reply.fault)
            raise RefusedError(self.name, *told)
        return reply

    def answer(self, ask: Ask, kind: type[R]) -> R:
        """Send a message that is answered by one kind of reply.

        Raises
        ------
        FednbError
            See `ask`; the answer is of another kind.
        """
        reply = self.ask(ask)
        if isinstance(reply, kind):
            return reply
        message = (
            f"{self.name} answered a {type(reply).__name__} for a {kind.__name__}."
        )
        raise WireError(message, self.name)

    def ping(self) -> State:
        """Return a heartbeat."""
        return self.answer(Ping(), State)

    def propose(self, body: bytes, signature: bytes) -> Standing:
        """Hand in a contract and return where it stands."""
        return self.answer(Propose(body, signature), State).status

    def status(self, contract: str) -> Standing:
        """Return where a contract stands at the site."""
        return self.answer(AskStatus(contract), State).status
