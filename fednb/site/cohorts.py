"""Answered cohorts of a site: what the differencing ledger keeps, and where (rule 12).

In the home's database (mode 0600) lie, for each answered cell: the patients as bits
over salted ids, the rounded value as it was before any mask, the threshold and the
time. They are written in the transaction of the release that answers them, or not at
all, and never leave. Datasets, requesters and contracts share them: a patient id names
one patient of the site, and a number column is the same statistic in every dataset that
declares it alike. To declare a column otherwise begins a new series; it is the owner's
act.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fednb.errors import HomeError
from fednb.privacy.differencing import Answer, Book, Series, check_participants
from fednb.privacy.fits import FitBook, Past
from fednb.privacy.parts import settled_parts
from fednb.records.assessment import AssessmentPlan
from fednb.records.base import canonical, sha256_hex
from fednb.records.curves import SurvivalPlan
from fednb.records.heads import CoxPlan, HeadPlan, LogisticPlan
from fednb.records.specs import SplitSpec, SummedPlan
from fednb.records.tasks import (
    AnyPlan,
    DescribePlan,
    EvaluationPlan,
    QueryPlan,
    TrainingPlan,
)
from fednb.site.verdicts import ALLOWED
from fednb.site.work import Page

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.contracts import Contract
    from fednb.records.outputs import Decision
    from fednb.site.home import Home
    from fednb.site.keys import SiteKeys
    from fednb.site.work import Work

    Places = NDArray[np.int64]

_ID_BYTES: Final = 16
_KEPT_TABLES: Final = 8


class Cohorts:
    """The answered cohorts of a home; one call is worked on at a time.

    Parameters
    ----------
    home, keys
        Of the site.
    """

    def __init__(self, home: Home, keys: SiteKeys) -> None:
        self._home = home
        self._keys = keys
        self._places: dict[bytes, int] = {}
        self._placed: dict[tuple[str, ...], Places] = {}
        self._series: dict[str, Series] = {}
        self._read = (0, 0)

    def check_sites(
        self, contract: Contract, plan: AnyPlan, profile: Profile
    ) -> Decision:
        """Rule 11: say whether a sum over the contract's sites may be answered.

        Parameters
        ----------
        contract
            Binds the sites, and whether their parts are hidden.
        plan
            Of the call.
        profile
            Of the contract.
        """
        names = summed_statistics(contract, plan)
        if not names:
            return ALLOWED
        found = self._home.database.execute(
            "SELECT DISTINCT sites FROM answered_sites WHERE statistic IN "
            "(SELECT value FROM json_each(?))",
            (msgspec.json.encode(names).decode(),),
        ).fetchall()
        answered = [msgspec.json.decode(sites, type=list[str]) for (sites,) in found]
        decision = check_participants(contract.sites(), answered, profile)
        return msgspec.structs.replace(decision, cause="participants")

    def opened(self, contract: Contract, work: Work, limit: int) -> Work | Decision:
        """Return a call's work on the patients that it may have, with its page.

        Parameters
        ----------
        contract, work, limit
            As for `page_of`.

        Returns
        -------
        work
            Or the denial of rule 12.
        """
        work = replace(work, page=self.page_of(contract, work, limit))
        if work.profile.exact or not _uses_network(work.plan):
            return work
        patients = work.manifest.patients
        new, places = self._places_of(patients)
        book = FitBook(work.profile, places, self._series, Past("", frozenset(), 0))
        parts = settled_parts(work.plan, work.split, len(patients), book)
        if parts.value is None:
            return next(d for d in parts.decisions if not d.allow)
        if book.added:
            # before anything is computed: training may take longer than other calls
            with self._home.transaction() as database:
                write_page(database, Page(book, new, self._read[1]))
        return replace(work, split=parts.value)

    def page_of(self, contract: Contract, work: Work, limit: int) -> Page | None:
        """Return what a call's answer may lean on; None where nothing is kept.

        Parameters
        ----------
        contract, work
            Of the call.
        limit
            Distinct fits of one outcome that the owner allows.
        """
        if isinstance(work.plan, SummedPlan):
            return self.fit_page(contract, work, limit)
        patients = work.manifest.patients
        return self.page(contract, work.plan, patients, work.profile)

    def page(
        self,
        contract: Contract,
        plan: AnyPlan,
        patients: tuple[str, ...],
        profile: Profile,
    ) -> Page | None:
        """Return what a call's tables may lean on; None where nothing is kept.

        Parameters
        ----------
        contract, plan, profile
            As for `check_sites`.
        patients
            Of the dataset, in the order of its table.
        """
        if profile.exact or not isinstance(plan, QueryPlan):
            return None
        new, places = self._places_of(patients)
        book = Book(profile, places, self._series)
        names = summed_statistics(contract, plan)
        return Page(book, new, self._read[1], names, contract.sites())

    def fit_page(self, contract: Contract, work: Work, limit: int) -> Page | None:
        """Return what a fit may lean on; None where nothing is kept.

        Parameters
        ----------
        contract, work
            Of the call.
        limit
            Distinct fits of one outcome that the owner allows.
        """
        plan = work.plan
        if work.profile.exact or not isinstance(plan, SummedPlan):
            return None
        new, places = self._places_of(work.manifest.patients)
        rows = self._home.database.execute(
            "SELECT DISTINCT fit FROM fits WHERE outcome = ?", (outcome_of(plan),)
        ).fetchall()
        known = frozenset(fit for (fit,) in rows)
        past = Past(_design_of(contract, plan), known, limit)
        book = FitBook(work.profile, places, self._series, past)
        names = summed_statistics(contract, plan)
        return Page(
            book,
            new,
            self._read[1],
            names,
            contract.sites(),
            work.place,
            outcome_of(plan),
        )

    def charge(self, page: Page | None) -> None:
        """Count a fit that was drawn and not released, as one that was.

        Parameters
        ----------
        page
            Of the call.
        """
        book = page.book if page is not None else None
        if page is None or not isinstance(book, FitBook) or not book.fit:
            return
        statement = "SELECT 1 FROM fits WHERE fit = ? LIMIT 1"
        if self._home.database.execute(statement, (book.fit,)).fetchone() is None:
            row = (f"refused {book.fit}", 0, book.fit, page.outcome, time.time())
            with self._home.transaction() as database:
                statement = "INSERT OR IGNORE INTO fits VALUES (?, ?, ?, ?, ?)"
                database.execute(statement, row)

    def _places_of(self, patients: tuple[str, ...]) -> tuple[bytes, Places]:
        """Return the salted ids that are new, and every patient's place in the sets."""
        self._catch_up()
        known = self._placed.get(patients)
        if known is not None:
            return b"", known
        salted = [self._keys.salted("cohort", p)[:_ID_BYTES] for p in patients]
        new = [one for one in salted if one not in self._places]
        after = {one: len(self._places) + i for i, one in enumerate(new)}
        places = [self._places.get(one, after.get(one, -1)) for one in salted]
        found = np.array(places, dtype=np.int64)
        if not new:
            # places never change once they are stored
            if len(self._placed) >= _KEPT_TABLES:
                self._placed.clear()
            self._placed[patients] = found
        return b"".join(new), found

    def _catch_up(self) -> None:
        """Read what was committed since the last call."""
        patients, last = self._read
        rows = self._home.database.execute(
            "SELECT id, salted FROM cohort_patients WHERE id > ? ORDER BY id",
            (patients,),
        )
        for number, salted in rows.fetchall():
            for start in range(0, len(salted), _ID_BYTES):
                one = salted[start : start + _ID_BYTES]
                self._places[one] = len(self._places)
            patients = number
        rows = self._home.database.execute(
            "SELECT id, statistic, cell, size, members, value, threshold, answered "
            "FROM cohorts WHERE id > ? ORDER BY id",
            (last,),
        )
        for number, statistic, cell, size, members, value, least, when in rows:
            words = _words(members)
            answer = Answer(statistic, cell, words, size, value, least, when)
            self._series.setdefault(statistic, Series()).add(answer)
            last = number
        self._read = (patients, last)


def summed_statistics(contract: Contract, plan: AnyPlan) -> tuple[str, ...]:
    """Return the statistics that a call releases as sums with hidden parts.

    Parameters
    ----------
    contract
        Names the outputs and how they are protected.
    plan
        Of the call.
    """
    if not any(output.kind == "masked" for output in contract.outputs):
        return ()
    if isinstance(plan, SummedPlan):
        return (f"fit:{outcome_of(plan)}",)
    if not isinstance(plan, QueryPlan):
        return ()
    # how many have a value is part of a column's statistics, too
    found = {f"column:{name}" for name in plan.columns or ()}
    if isinstance(plan, DescribePlan):
        found.add("describe")
    return tuple(sorted(found))


def outcome_of(plan: SummedPlan) -> str:
    """Return the outcome of a fit: what its budget is counted by."""
    if isinstance(plan, CoxPlan):
        return f"cox:{plan.duration}:{plan.event}"
    if isinstance(plan, LogisticPlan):
        return f"logistic:{plan.target}"
    if isinstance(plan, SurvivalPlan):
        return f"curves:{plan.duration}:{plan.event}"
    if isinstance(plan, AssessmentPlan):
        # whatever else is named beside it: subgroups are no way to another budget
        return f"assessment:{plan.duration}:{plan.event}:{plan.target}"
    return f"{type(plan).__name__}:{','.join(plan.needs())}"


def _uses_network(plan: AnyPlan) -> bool:
    """Whether a step's patients have to do with a network's; embeddings stay here."""
    if isinstance(plan, TrainingPlan):
        return plan.dp is None
    made = getattr(plan, "embedding", None) is not None
    return made or isinstance(plan, EvaluationPlan)


def _design_of(contract: Contract, plan: SummedPlan) -> str:
    """Return a digest of all that decides about a fit's totals besides its patients.

    Other sites' data are in it: what is summed with theirs goes on from their totals.
    """
    made = ""
    if isinstance(plan, HeadPlan) and plan.embedding is None:
        plan = msgspec.structs.replace(plan, split=SplitSpec())
    elif isinstance(plan, HeadPlan | AssessmentPlan) and plan.embedding is not None:
        # another study's network makes other embeddings of the same name
        made = contract.hash() if plan.embedding.contract == "study" else ""
    sites = [[p.site, p.fingerprint, p.signing_key] for p in contract.participants]
    shape = [made, sites, contract.columns, contract.privacy]
    return sha256_hex(canonical(plan) + msgspec.json.encode(shape))


def write_page(database: sqlite3.Connection, page: Page) -> None:
    """Store a call's new answers inside the transaction of its release.

    Parameters
    ----------
    database
        A connection inside ``home.transaction()``.
    page
        Of the call.

    Raises
    ------
    HomeError
        Answers were stored since the page was opened: it was not compared with them.
    """
    (last,) = database.execute("SELECT COALESCE(MAX(id), 0) FROM cohorts").fetchone()
    if last != page.last:
        message = (
            f"Cohorts up to {page.last} were compared, and {last} are stored: another "
            "call was released meanwhile. Ask again."
        )
        raise HomeError(message)
    if page.patients:
        statement = "INSERT INTO cohort_patients (salted) VALUES (?)"
        database.execute(statement, (page.patients,))
    now = time.time()
    for answer in page.book.added:
        database.execute(
            "INSERT INTO cohorts (statistic, cell, size, members, value, threshold, "
            "answered) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                answer.statistic,
                answer.cell,
                answer.size,
                answer.members.tobytes().rstrip(b"\0"),
                answer.value,
                answer.threshold,
                now,
            ),
        )
    if isinstance(page.book, FitBook) and page.book.fit and page.place is not None:
        database.execute(
            "INSERT OR IGNORE INTO fits VALUES (?, ?, ?, ?, ?)",
            (page.place.run, page.place.step, page.book.fit, page.outcome, now),
        )
    sites = msgspec.json.encode(sorted(page.sites)).decode()
    for name in page.summed:
        statement = "INSERT OR IGNORE INTO answered_sites VALUES (?, ?)"
        database.execute(statement, (name, sites))


def _words(members: bytes) -> NDArray[np.uint64]:
    """Return stored bits, whose trailing zeros were left out, in words of 64."""
    return np.frombuffer(members + bytes(-len(members) % 8), dtype="<u8")
