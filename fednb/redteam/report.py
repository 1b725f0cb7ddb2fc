"""What the red team found, as text, HTML and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from fednb.display import html, text
from fednb.redteam.outcome import CLOSE, CONFIDENCE, FALSE_POSITIVES, FEDNB

if TYPE_CHECKING:
    from fednb.display.html import Html
    from fednb.redteam.outcome import Attack, Outcome

HEADERS: Final = ("attack", "system", "recovered", "of", "unit", "rate", "note")
WIDTH: Final = 400

NOTES: Final = (
    f"Recovered: a patient of whom the attacker holds two attributes, or one that is "
    f"theirs alone, within {CLOSE:.0%} of a standard deviation, beyond what he gets "
    f"without them. Rates with their {CONFIDENCE:.0%} Clopper-Pearson interval; "
    f"members at {FALSE_POSITIVES:.0%} false positives.",
    "fednb: sites under the standard profile whose owners approve whatever the rules "
    "let pass, attacked over the wire. Others: their default rules, implemented again.",
)


@dataclass(frozen=True)
class Finding:
    """A line of the report.

    Attributes
    ----------
    attack, system, tries
        As in `Attack`.
    recovered, tried, unit, note
        As in `Outcome`.
    low, high
        Clopper-Pearson bounds of the rate.
    """

    attack: str
    system: str
    tries: str
    recovered: int
    tried: int
    unit: str
    low: float
    high: float
    note: str

    @classmethod
    def of(cls, attack: Attack, outcome: Outcome) -> Finding:
        """Return the line of an attack's outcome."""
        low, high = outcome.bounds()
        return cls(
            attack.name,
            attack.system,
            attack.tries,
            int(outcome.recovered),
            int(outcome.tried),
            outcome.unit,
            round(low, 4),
            round(high, 4),
            outcome.note,
        )

    def cells(self) -> tuple[object, ...]:
        """Return the line's cells."""
        rate = f"{self.low:.3f}-{self.high:.3f}"
        return (
            self.attack,
            self.system,
            self.recovered,
            self.tried,
            self.unit,
            rate,
            self.note,
        )


@dataclass(frozen=True)
class Report:
    """All findings.

    Attributes
    ----------
    findings
        In the order of the attacks.
    """

    findings: tuple[Finding, ...]

    def breaches(self) -> tuple[Finding, ...]:
        """Return the attacks that got something out of fednb."""
        return tuple(f for f in self.findings if f.system == FEDNB and f.recovered)

    def verdict(self) -> str:
        """Return what a reader must know first."""
        tried = [f for f in self.findings if f.system == FEDNB]
        found = self.breaches()
        if not found:
            return f"fednb: nothing recovered in {len(tried)} attacks."
        names = "; ".join(f"{f.attack} ({f.recovered} of {f.tried})" for f in found)
        return f"fednb: {len(found)} of {len(tried)} attacks succeeded: {names}."

    def to_text(self) -> str:
        """Return the report as plain text."""
        rows = [f.cells() for f in self.findings]
        lines = text.table(HEADERS, rows, max_rows=len(rows))
        return "\n".join((lines, "", self.verdict(), *NOTES))

    def to_html(self) -> Html:
        """Return the report as one HTML fragment, escaped, with its style."""
        rows = [f.cells() for f in self.findings]
        grid = html.table(HEADERS, rows, max_rows=len(rows), limit=WIDTH)
        seen = {f.attack: f.tries for f in self.findings}
        return html.scoped(
            html.element("h2", "fednb redteam"),
            html.element("p", html.element("strong", self.verdict())),
            grid,
            html.section("Attacks", html.definition_list(seen.items())),
            *(
                html.element("p", html.escape(n, WIDTH * 2), class_="muted")
                for n in NOTES
            ),
        )

    def to_json(self) -> bytes:
        """Return findings, verdict and notes as indented JSON."""
        body = {"findings": self.findings, "verdict": self.verdict(), "notes": NOTES}
        return msgspec.json.format(msgspec.json.encode(body), indent=2)
