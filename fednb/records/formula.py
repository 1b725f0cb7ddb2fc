"""Formulas: a small language of column names, read without evaluating anything.

::

    formula  = term, { "+", term }
    term     = product, { "*", product }         a * b is a + b + a:b
    product  = factor, { ":", factor }           an interaction
    factor   = name | "C(" name ")" | ("bs" | "ns") "(" name "," knots ")"
    knots    = ["knots", "="], ( numbers | "[" numbers "]" | "(" numbers ")" )

A name is a word, or any column between back quotes. Nothing else is a formula
(disclosure rule 23): no arithmetic, no calls, no attributes.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from fednb.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FactorKind = Literal["plain", "levels", "bs", "ns"]

MAX_LENGTH: Final = 2000
"""Characters of a formula."""

MAX_TERMS: Final = 60
"""Terms of a formula, products written out."""

MAX_ORDER: Final = 3
"""Factors of an interaction."""

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[^\W\d]\w*(?:\.\w+)*|`[^`]+`)"
    r"|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<symbol>[+:*(),=\[\]]))"
)


@dataclass(frozen=True)
class Factor:
    """One column of the table, as it is or expanded.

    Attributes
    ----------
    name
        The column.
    kind
        ``"plain"``: a number as it is, labels as one 0/1 column a level but the first;
        ``"levels"``: so in any case; ``"bs"``: cubic B-splines; ``"ns"``: natural
        cubic splines.
    knots
        Inner knots of a spline, increasing, in the column's unit.
    """

    name: str
    kind: FactorKind = "plain"
    knots: tuple[float, ...] = ()

    def text(self) -> str:
        """Return the factor as it is written in a formula."""
        quoted = self.name if _is_word(self.name) else f"`{self.name}`"
        if self.kind == "plain":
            return quoted
        if self.kind == "levels":
            return f"C({quoted})"
        numbers = ", ".join(f"{knot:.12g}" for knot in self.knots)
        return f"{self.kind}({quoted}, {numbers})"

    def width(self, levels: Mapping[str, tuple[str, ...]]) -> int:
        """Return the number of columns that it becomes.

        Parameters
        ----------
        levels
            Labels by column, the reference first; a column that is not there holds
            numbers.
        """
        if self.kind == "bs":
            return len(self.knots) + 3
        if self.kind == "ns":
            return len(self.knots) + 1
        return max(len(levels[self.name]) - 1, 0) if self.name in levels else 1


Term = tuple[Factor, ...]
"""Factors that are multiplied; one factor is a main effect."""


def terms_of(formula: str, covariates: Iterable[str]) -> tuple[Term, ...]:
    """Return the terms of a formula; of none, one main effect a covariate, as it is.

    Raises
    ------
    PlanError
        The formula cannot be read.
    """
    if formula:
        return parse(formula)
    return tuple((Factor(name),) for name in covariates)


def term_text(term: Term) -> str:
    """Return a term as it is written in a formula."""
    return ":".join(factor.text() for factor in term)


def term_width(term: Term, levels: Mapping[str, tuple[str, ...]]) -> int:
    """Return the number of columns that a term becomes; see `Factor.width`."""
    width = 1
    for factor in term:
        width *= factor.width(levels)
    return width


def parse(formula: str) -> tuple[Term, ...]:
    """Read a formula.

    Parameters
    ----------
    formula
        For example ``"age + C(grade) + age:sex + ns(volume, 10, 30)"``; at most 2000
        characters.

    Returns
    -------
    tuple of Term
        In the order written, each once; ``a * b`` as ``a``, ``b``, ``a:b``.

    Raises
    ------
    PlanError
        It is not a formula; the message says where.
    """
    if len(formula) > MAX_LENGTH:
        message = (
            f"The formula has {len(formula)} characters; at most {MAX_LENGTH} are read."
        )
        raise PlanError(message)
    terms = _Parser(formula).terms()
    if len(terms) > MAX_TERMS:
        message = f"The formula has {len(terms)} terms; at most {MAX_TERMS} are fitted."
        raise PlanError(message)
    return terms


class _Parser:
    """Recursive descent over the tokens, with their positions for messages."""

    def __init__(self, formula: str) -> None:
        self._formula = formula
        self._tokens = self._split()
        self._next = 0

    def terms(self) -> tuple[Term, ...]:
        found: dict[frozenset[Factor], Term] = {}
        while True:
            for term in self._products():
                found.setdefault(frozenset(term), term)
            if self._kind() == "end":
                return tuple(found.values())
            self._expect("+")

    def _split(self) -> list[tuple[str, str, int]]:
        tokens, place = [], 0
        end = len(self._formula.rstrip())
        while place < end:
            match = _TOKEN.match(self._formula, place)
            if match is None:
                start = (
                    place
                    + len(self._formula[place:])
                    - len(self._formula[place:].lstrip())
                )
                raise self._error(start, "names, numbers and + : * ( ) , = only")
            kind = str(match.lastgroup)
            tokens.append((kind, match[kind], match.start(kind)))
            place = match.end()
        return [*_signed(tokens), ("end", "", end)]

    def _products(self) -> list[Term]:
        """Read a term and write its products out: main effects first."""
        parts = [self._product()]
        while self._take("*"):
            parts.append(self._product())
        found = []
        for order in range(1, len(parts) + 1):
            for chosen in itertools.combinations(parts, order):
                factors = tuple(dict.fromkeys(itertools.chain(*chosen)))
                found.append(self._bounded(factors))
        return found

    def _product(self) -> Term:
        factors = [self._factor()]
        while self._take(":"):
            factors.append(self._factor())
        return self._bounded(tuple(dict.fromkeys(factors)))

    def _bounded(self, factors: Term) -> Term:
        if len(factors) > MAX_ORDER:
            what = f"at most {MAX_ORDER} factors in an interaction"
            raise self._error(self._place(), what)
        return factors

    def _factor(self) -> Factor:
        if self._kind() != "name":
            raise self._error(self._place(), "a column name")
        place = self._place()
        word = self._pop()
        if not self._take("("):
            return Factor(word.strip("`"))
        if word not in {"C", "bs", "ns"}:
            raise self._error(place, "C(name), bs(name, knots) or ns(name, knots)")
        if self._kind() != "name":
            raise self._error(self._place(), "a column name")
        name = self._pop().strip("`")
        factor = Factor(name, "levels")
        if word != "C":
            self._expect(",")
            knots = self._knots()
            factor = Factor(name, "bs" if word == "bs" else "ns", knots)
        self._expect(")")
        return factor

    def _knots(self) -> tuple[float, ...]:
        place = self._place()
        if self._token()[1] == "knots":
            self._pop()
            self._expect("=")
        closing = {"[": "]", "(": ")"}.get(self._token()[1], "")
        if closing:
            self._pop()
        knots = [self._number()]
        while self._take(","):
            knots.append(self._number())
        if closing:
            self._expect(closing)
        if any(b <= a for a, b in itertools.pairwise(knots)):
            raise self._error(place, "knots in increasing order")
        return tuple(knots)

    def _number(self) -> float:
        if self._kind() != "number":
            raise self._error(self._place(), "a knot (a number)")
        return float(self._pop())

    def _token(self) -> tuple[str, str, int]:
        return self._tokens[self._next]

    def _kind(self) -> str:
        return self._token()[0]

    def _place(self) -> int:
        return self._token()[2]

    def _pop(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][1]

    def _take(self, symbol: str) -> bool:
        kind, text, _ = self._token()
        found = kind == "symbol" and text == symbol
        self._next += found
        return found

    def _expect(self, symbol: str) -> None:
        if not self._take(symbol):
            raise self._error(self._place(), repr(symbol))

    def _error(self, place: int, wanted: str) -> PlanError:
        rest = self._formula[place:]
        seen = f"{rest[:20]!r}" if rest.strip() else "its end"
        return PlanError(
            f"The formula {self._formula[:200]!r} cannot be read at character "
            f"{place + 1}: {wanted} expected, {seen} found."
        )


def _signed(tokens: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Part the sign from a number that follows a name: ``age +5`` is a sum."""
    found: list[tuple[str, str, int]] = []
    for kind, text, place in tokens:
        before = found[-1] if found else ("", "", 0)
        joins = before[0] in {"name", "number"} or before[1] in {")", "]"}
        if kind == "number" and text[0] in "+-" and joins:
            found.append(("symbol", text[0], place))
            found.append((kind, text[1:], place + 1))
        else:
            found.append((kind, text, place))
    return found


def _is_word(name: str) -> bool:
    match = _TOKEN.fullmatch(name)
    return match is not None and match["name"] == name and name[0] != "`"
