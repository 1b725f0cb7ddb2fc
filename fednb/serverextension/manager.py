"""What the routes do: ask the owners of the served homes, and decide nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

from fednb.display.text import visible
from fednb.errors import FednbError, UnknownNameError
from fednb.serverextension.failures import failure_of
from fednb.serverextension.homes import ServedHome
from fednb.serverextension.records import dataset_row, request_card, request_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fednb.owner.requests import OwnerRequest
    from fednb.serverextension.records import Row

MAX_SHOWN: Final = 200
"""Requests in a list, those that wait first; the rest is counted."""

NO_HOME: Final = (
    "This server has no site home. Start JupyterLab with FEDNB_SITE_HOME=… or run "
    "fednb site init …, then start JupyterLab with that home."
)

T = TypeVar("T")


class HomesManager:
    """The homes that a server serves, in one thread of their own.

    SQLite's connections belong to a thread, and its work blocks: the server's event
    loop hands everything over with `ask`.

    Parameters
    ----------
    paths
        Folders; empty ones and repetitions are left out.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        every = (ServedHome(path.strip()) for path in paths if path.strip())
        self._homes = {home.id: home for home in every}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fednb-homes")

    async def ask(self, work: Callable[..., T], *arguments: str) -> T:
        """Run a method of this manager in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work, *arguments)

    async def close(self) -> None:
        """Let go of the homes and of the thread."""
        await self.ask(self._close)
        self._thread.shutdown(wait=False)

    def homes(self) -> Row:
        """Return the homes, each with its datasets or with what is wrong with it."""
        rows = [self._row(home) for home in self._homes.values()]
        return {"homes": rows, "advice": "" if rows else NO_HOME}

    def home(self, home: str) -> Row:
        """Return where a home stands: its policy, its requests, and its ledger.

        Raises
        ------
        FednbError
            There is no such home, it cannot be used, or its ledger does not hold.
        """
        with self._reading(home) as served:
            check = served.owner().ledger.verify()
            standing = Counter(request.status for request in served.requests())
            return {
                **_facts(served),
                "requests": dict(standing),
                "ledger": {"entries": check.count, "head": check.head},
            }

    def requests(self) -> Row:
        """Return the requests of all homes that can be read."""
        rows: list[Row] = []
        unreadable: list[Row] = []
        for home in self._homes:
            # `homes` says what is wrong with one that cannot be read
            with suppress(FednbError):
                found = self._listed(home)
                rows += found[0]
                unreadable += found[1]
        return _bounded(rows, unreadable)

    def requests_of(self, home: str) -> Row:
        """Return the requests of one home."""
        return _bounded(*self._listed(home))

    def request(self, home: str, contract: str) -> Row:
        """Return a request in full."""
        with self._reading(home) as served:
            return _card(served, served.requests()[contract])

    def approve(self, home: str, contract: str, note: str) -> Row:
        """Let the owner approve, and return the request as it stands then.

        Raises
        ------
        FednbError
            It is not pending, or the decision could not be stored.
        """
        with self._reading(home) as served:
            return _card(served, served.owner().requests[contract].approve(note))

    def deny(self, home: str, contract: str, reason: str) -> Row:
        """Let the owner deny, and return the request as it stands then."""
        with self._reading(home) as served:
            return _card(served, served.owner().requests[contract].deny(reason))

    def revoke(self, home: str, contract: str, reason: str) -> Row:
        """Let the owner take an approval back, and return the request as it is then."""
        with self._reading(home) as served:
            return _card(served, served.owner().requests[contract].revoke(reason))

    @contextmanager
    def _reading(self, home: str) -> Iterator[ServedHome]:
        if home not in self._homes:
            kind = "home"
            raise UnknownNameError(kind, home, self._homes)
        with self._homes[home].reading():
            yield self._homes[home]

    def _listed(self, home: str) -> tuple[list[Row], list[Row]]:
        """Return the rows of a home, and those whose stored bytes are not theirs."""
        with self._reading(home) as served:
            found, site = served.requests(), served.owner().name
            rows = [request_row(home, site, request) for request in found]
            return rows, [{"home": home, "hash": h} for h in found.unreadable]

    def _row(self, home: ServedHome) -> Row:
        try:
            with home.reading():
                return _facts(home)
        except FednbError as error:
            place = {"id": home.id, "path": visible(home.path)}
            return {**place, **failure_of(error).body()}

    def _close(self) -> None:
        for home in self._homes.values():
            home.close()


def _facts(home: ServedHome) -> Row:
    owner = home.owner()
    datasets = owner.datasets
    rules = owner.policy.rules
    return {
        "id": home.id,
        "path": visible(home.path),
        "name": visible(owner.name),
        "fingerprint": owner.fingerprint,
        "profile": rules.profile,
        "auto_approve": list(rules.auto_approve),
        "datasets": [dataset_row(datasets[name]) for name in datasets],
    }


def _card(home: ServedHome, request: OwnerRequest) -> Row:
    return request_card(home.id, home.owner().name, request)


def _bounded(rows: list[Row], unreadable: list[Row]) -> Row:
    """Return the first of the rows: what waits, then as they came."""
    waiting = [row for row in rows if row["status"] == "pending"]
    others = [row for row in rows if row["status"] != "pending"]
    shown = [*waiting, *others][:MAX_SHOWN]
    return {
        "requests": shown,
        "pending": len(waiting),
        "rest": len(rows) - len(shown),
        "unreadable": unreadable[:MAX_SHOWN],
    }
