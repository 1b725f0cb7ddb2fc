"""The routes: who may ask, and in which shape; `HomesManager` does the rest."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from typing_extensions import override

from fednb.errors import FednbError, InputError
from fednb.serverextension.failures import Failure, failure_of, refusal, unexpected
from fednb.serverextension.manager import HomesManager
from fednb.serverextension.records import MAX_WORDS, Approval, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from fednb.serverextension.records import Row

_HOME: Final = r"fednb/homes/([0-9a-f]{16})"
_REQUEST: Final = _HOME + r"/requests/([0-9a-f]{64})"

S = TypeVar("S", bound=msgspec.Struct)


class FednbHandler(APIHandler):
    """Answers JSON to users of this server; errors have one shape.

    A request needs the server's token or cookie, and one with a cookie an XSRF token:
    Jupyter Server checks both.
    """

    auth_resource = "fednb"
    # a panel that looks every two seconds must not keep an idle server alive
    _track_activity = False

    @property
    def manager(self) -> HomesManager:
        """The homes of this server."""
        manager: HomesManager = self.settings["fednb_manager"]
        return manager

    def reply(self, row: Row) -> None:
        """Answer with a value as JSON; browsers keep no copy."""
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode(row))

    def sent(self, kind: type[S]) -> S:
        """Return what the panel sent.

        Raises
        ------
        InputError
            It is not what this route takes.
        """
        try:
            return msgspec.json.decode(self.request.body or b"{}", type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            message = (
                f"The note or reason cannot be read: text of at most {MAX_WORDS} "
                "characters is taken. Shorten it, or reload the page."
            )
            raise InputError(message) from error

    @override
    def write_error(self, status_code: int, **details: Any) -> None:
        """Answer an error: nothing of what an unknown one says."""
        error = (details.get("exc_info") or (None, None, None))[1]
        failure = self._failure(status_code, error)
        self.set_status(failure.status)
        self.reply(failure.body())

    @override
    def log_exception(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Log an expected error without its traceback."""
        if isinstance(error, FednbError):
            self.log.info("fednb: %s", failure_of(error).advice)
            return
        super().log_exception(kind, error, traceback)

    def _failure(self, status: int, error: BaseException | None) -> Failure:
        if isinstance(error, FednbError):
            return failure_of(error)
        known = refusal(status)
        if known is not None:
            return known
        correlation = secrets.token_hex(4)
        self.log.error("fednb: the error above is %s", correlation)
        return unexpected(correlation)


class QuestionHandler(FednbHandler):
    """``GET``: answers with what a method of the manager returns."""

    @override
    def initialize(self, question: Callable[..., Row]) -> None:
        """Take what the route asks; the groups of its pattern are the arguments."""
        self._question = question

    @override
    @web.authenticated
    @authorized
    async def get(self, *place: str) -> None:
        """Answer the question."""
        question = partial(self._question, self.manager)
        self.reply(await self.manager.ask(question, *place))


class DecisionHandler(FednbHandler):
    """``POST``: has the owner decide, and answers with the request as it is then."""

    @override
    def initialize(
        self, decide: Callable[..., Row], words: type[Approval | Refused]
    ) -> None:
        """Take what the route decides, and what is sent to it."""
        self._decide = decide
        self._words = words

    @override
    @web.authenticated
    @authorized
    async def post(self, *place: str) -> None:
        """Have the owner decide."""
        words = msgspec.structs.astuple(self.sent(self._words))
        decide = partial(self._decide, self.manager)
        self.reply(await self.manager.ask(decide, *place, *words))


Route = tuple[str, type[FednbHandler], dict[str, object]]


def _asks(pattern: str, question: Callable[..., Row]) -> Route:
    return pattern, QuestionHandler, {"question": question}


def _decides(
    verb: str, decide: Callable[..., Row], words: type[Approval | Refused]
) -> Route:
    return f"{_REQUEST}/{verb}", DecisionHandler, {"decide": decide, "words": words}


ROUTES: Final[tuple[Route, ...]] = (
    _asks(r"fednb/homes", HomesManager.homes),
    _asks(_HOME, HomesManager.home),
    _asks(r"fednb/requests", HomesManager.requests),
    _asks(_HOME + r"/requests", HomesManager.requests_of),
    _asks(_REQUEST, HomesManager.request),
    _decides("approve", HomesManager.approve, Approval),
    _decides("deny", HomesManager.deny, Refused),
    _decides("revoke", HomesManager.revoke, Refused),
)
"""Addresses below the server's base URL, and what answers there."""
