"""The routes: who may ask, and in which shape; `HomesManager` does the rest."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from typing_extensions import override

from fednb.errors import FednbError, InputError
from fednb.serverextension.failures import Failure, failure_of, refusal, unexpected
from fednb.serverextension.records import MAX_WORDS, Approval, Refused

if TYPE_CHECKING:
    from types import TracebackType

    from fednb.serverextension.manager import HomesManager
    from fednb.serverextension.records import Row

_HOME: Final = r"fednb/homes/(?P<home>[0-9a-f]{16})"
_REQUEST: Final = _HOME + r"/requests/(?P<contract>[0-9a-f]{64})"

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


class HomesHandler(FednbHandler):
    """``GET fednb/homes``: the homes that this server serves."""

    @override
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer the homes."""
        self.reply(await self.manager.ask(self.manager.homes))


class HomeHandler(FednbHandler):
    """``GET fednb/homes/HOME``: where a home stands; its ledger is checked."""

    @override
    @web.authenticated
    @authorized
    async def get(self, home: str) -> None:
        """Answer one home."""
        self.reply(await self.manager.ask(self.manager.home, home))


class RequestsHandler(FednbHandler):
    """``GET fednb/requests``: those of all homes, what waits first."""

    @override
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer the requests."""
        self.reply(await self.manager.ask(self.manager.requests))


class HomeRequestsHandler(FednbHandler):
    """``GET fednb/homes/HOME/requests``: those of one home."""

    @override
    @web.authenticated
    @authorized
    async def get(self, home: str) -> None:
        """Answer the requests."""
        self.reply(await self.manager.ask(self.manager.requests_of, home))


class RequestHandler(FednbHandler):
    """``GET fednb/homes/HOME/requests/HASH``: a request in full."""

    @override
    @web.authenticated
    @authorized
    async def get(self, home: str, contract: str) -> None:
        """Answer one request."""
        self.reply(await self.manager.ask(self.manager.request, home, contract))


class ApproveHandler(FednbHandler):
    """``POST fednb/homes/HOME/requests/HASH/approve`` with ``{"note": ...}``."""

    @override
    @web.authenticated
    @authorized
    async def post(self, home: str, contract: str) -> None:
        """Have the owner approve."""
        note = self.sent(Approval).note
        manager = self.manager
        self.reply(await manager.ask(manager.approve, home, contract, note))


class DenyHandler(FednbHandler):
    """``POST fednb/homes/HOME/requests/HASH/deny`` with ``{"reason": ...}``."""

    @override
    @web.authenticated
    @authorized
    async def post(self, home: str, contract: str) -> None:
        """Have the owner deny."""
        reason = self.sent(Refused).reason
        manager = self.manager
        self.reply(await manager.ask(manager.deny, home, contract, reason))


class RevokeHandler(FednbHandler):
    """``POST fednb/homes/HOME/requests/HASH/revoke`` with ``{"reason": ...}``."""

    @override
    @web.authenticated
    @authorized
    async def post(self, home: str, contract: str) -> None:
        """Have the owner take an approval back."""
        reason = self.sent(Refused).reason
        manager = self.manager
        self.reply(await manager.ask(manager.revoke, home, contract, reason))


ROUTES: Final[tuple[tuple[str, type[FednbHandler]], ...]] = (
    (r"fednb/homes", HomesHandler),
    (_HOME, HomeHandler),
    (r"fednb/requests", RequestsHandler),
    (_HOME + r"/requests", HomeRequestsHandler),
    (_REQUEST, RequestHandler),
    (_REQUEST + r"/approve", ApproveHandler),
    (_REQUEST + r"/deny", DenyHandler),
    (_REQUEST + r"/revoke", RevokeHandler),
)
"""Addresses below the server's base URL, and what answers there."""
