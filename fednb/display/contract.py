"""A contract as a site owner reads it before approving.

Every word of a requester is escaped, in full up to `MAX_PURPOSE` characters, and every
field of the contract is somewhere on the page: what is approved is what is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fednb.display import html, text
from fednb.display.code import code_html, code_text
from fednb.display.egress import HEADERS, bounds, output_row
from fednb.display.plans import PlanWords, plan_words
from fednb.records.carried import codes_in
from fednb.records.keys import key_fingerprint
from fednb.records.tasks import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fednb.display.html import Html
    from fednb.records.contracts import Contract

MAX_PURPOSE: Final = 4000
"""Characters of the purpose and of an argument that are shown."""

WEAK_EPSILON: Final = 10.0
"""Beyond it a bound hardly bounds: exp(10) is more than 20,000."""

MAX_LINES: Final = 500
"""Outputs and participants shown; a contract with more is cautioned against."""


def cautions(contract: Contract) -> tuple[str, ...]:
    """Return what deserves a second look, in plain words; none for the usual."""
    found = []
    privacy = contract.privacy
    if privacy.profile == "open":
        found.append(
            "The profile is open: results leave without rounding or thresholds. It "
            "is meant for public or synthetic data."
        )
    if not privacy.secure_sum:
        found.append(
            "There is no secure sum: the coordinator sees this site's own part."
        )
    clear = sorted({o.name for o in contract.outputs if o.kind == "weights"})
    if clear:
        found.append(f"Network weights leave in the clear: {', '.join(clear)}.")
    costs = [
        p.dp.epsilon for p in contract.steps if isinstance(p, TrainingPlan) and p.dp
    ]
    if max(costs, default=0.0) > WEAK_EPSILON:
        found.append(
            f"Its differential privacy is weak: epsilon {max(costs):g} says little of "
            "what can be learnt of a patient."
        )
    if codes_in(contract):
        found.append(
            "It carries code of its requester's own, shown below. What leaves has the "
            "shape named, but the code decides what the numbers hold: read all of it."
        )
    if contract.standing:
        found.append("It is a standing contract: one approval answers many queries.")
    tables = (contract.outputs, contract.participants, contract.columns)
    if max(map(len, tables)) > MAX_LINES:
        found.append(f"It is too long to show: only {MAX_LINES} lines of each table.")
    return tuple(found)


def contract_text(contract: Contract, status: str = "unknown") -> str:
    """Return a contract as text; see `contract_html`."""
    lines = [f"Contract {contract.hash()} ({text.visible(status)})", ""]
    lines += [f"! {text.visible(c, MAX_PURPOSE)}" for c in cautions(contract)]
    lines += [_text_pairs(_facts(contract)), "", "Participants"]
    lines += [_text_table(*_participants(contract))]
    for index, words in enumerate(_steps(contract)):
        lines += ["", f"Step {index}: {words.title}"]
        lines += [f"  {text.visible(words.sentence, MAX_PURPOSE)}"]
        lines += [_text_pairs(words.arguments, indent="    ")]
    lines += ["", "What leaves, and nothing else"]
    lines += [_text_table(HEADERS, [output_row(spec) for spec in contract.outputs])]
    lines += [f"  {line}" for line in _bounds(contract)]
    lines += ["", "Columns used", _text_table(*_columns(contract))]
    for place, code in codes_in(contract).items():
        lines += ["", f"Code of {text.visible(place)}", code_text(code)]
    lines += ["", "Protection", _text_pairs(_privacy(contract), indent="  ")]
    lines += ["", "Limits", _text_pairs(_resources(contract), indent="  ")]
    return "\n".join(lines)


def contract_html(contract: Contract, status: str = "unknown") -> Html:
    """Return what a site owner reads before approving.

    Purpose, requester and key, dataset, participants, each step in plain words with
    all its arguments, every output by name, kind, largest size and how often, privacy,
    resources, expiry, and the hash that an approval signs.

    Parameters
    ----------
    contract
        Any contract; its words are another party's, and are escaped.
    status
        Where it stands, for example ``"pending"``.

    Returns
    -------
    Html
        Without stylesheet; `fednb.display.html.scoped` adds it.
    """
    heading = html.element(
        "h2", "Contract ", contract.hash()[:12], " ", html.badge(status)
    )
    warned = [
        html.element("p", html.badge("caution"), " ", html.escape(c, MAX_PURPOSE))
        for c in cautions(contract)
    ]
    outputs = _html_table(HEADERS, [output_row(spec) for spec in contract.outputs])
    totals = [html.element("p", line) for line in _bounds(contract)]
    steps = [_step(i, words) for i, words in enumerate(_steps(contract))]
    return html.element(
        "div",
        heading,
        *warned,
        _html_pairs(_facts(contract)),
        html.section("Steps", *steps),
        *(
            html.section(f"Code of {place}", code_html(code))
            for place, code in codes_in(contract).items()
        ),
        html.section("What leaves, and nothing else", outputs, *totals),
        html.section("Protection", _html_pairs(_privacy(contract))),
        html.section("Limits", _html_pairs(_resources(contract))),
        html.section("Columns used", _html_table(*_columns(contract))),
        html.section("Participants", _html_table(*_participants(contract))),
    )


def _step(index: int, words: PlanWords) -> Html:
    return html.element(
        "div",
        html.element("h4", f"Step {index}: {words.title}"),
        html.element("p", html.escape(words.sentence, MAX_PURPOSE)),
        html.details("All arguments", _html_pairs(words.arguments)),
    )


def _facts(contract: Contract) -> list[tuple[str, str]]:
    return [
        ("Purpose", contract.purpose),
        ("Requester", contract.requester),
        ("Key fingerprint", key_fingerprint(contract.requester_key)),
        ("Key", contract.requester_key),
        ("Dataset", contract.dataset),
        ("Sites", ", ".join(contract.sites())),
        ("Standing", "yes" if contract.standing else "no"),
        ("Created", text.utc(contract.created)),
        ("Expires", text.utc(contract.expires)),
        ("Hash to approve", contract.hash()),
        ("Version, nonce", f"{contract.version}, {contract.nonce}"),
    ]


def _participants(
    contract: Contract,
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    headers = ("site", "weight", "dataset fingerprint", "signing key", "agreement key")
    weights = [f"{w:.3g}" for w in contract.weights]
    weights += [text.DASH] * (len(contract.participants) - len(weights))
    rows = [
        (p.site, weight, p.fingerprint, p.signing_key, p.agreement_key)
        for p, weight in zip(contract.participants, weights, strict=False)
    ]
    return headers, rows


def _steps(contract: Contract) -> Iterable[PlanWords]:
    for index, plan in enumerate(contract.steps):
        words = plan_words(plan, contract.parameters.get(str(index), 0))
        initial = contract.initial.get(str(index))
        extra = (("initial weights", initial),) if initial else ()
        yield PlanWords(words.title, words.sentence, words.arguments + extra)


def _columns(
    contract: Contract,
) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    headers = ("column", "kind", "unit", "clipped to", "grid", "levels", "description")
    rows = [
        (
            column.name,
            column.kind,
            column.unit,
            f"{column.lower:g} to {column.upper:g}" if column.kind == "number" else "",
            f"{column.step:g}, recorded to {column.resolution:g}"
            if column.kind == "number"
            else "",
            ", ".join(column.levels),
            column.description,
        )
        for column in contract.columns
    ]
    return headers, rows


def _bounds(contract: Contract) -> tuple[str, ...]:
    """Return what leaves at most; of a contract too long to show, the total."""
    return bounds(contract)[-MAX_LINES:]


def _privacy(contract: Contract) -> list[tuple[str, str]]:
    privacy = contract.privacy
    step = f"{privacy.precision:g} patient-SD" if privacy.precision else "none"
    return [
        ("Profile", privacy.profile),
        ("Secure sum", "yes" if privacy.secure_sum else "no"),
        ("Rounding of fits", step),
        *(
            (f"Differential privacy, step {index}", _bound(plan))
            for index, plan in enumerate(contract.steps)
            if isinstance(plan, TrainingPlan)
        ),
    ]


def _bound(plan: TrainingPlan) -> str:
    """Return what training costs a patient at most, and by which figures."""
    dp = plan.dp
    if dp is None:
        return "none"
    return (
        f"epsilon {dp.epsilon:g} at delta {dp.delta:g}: noise multiplier "
        f"{dp.noise_multiplier:g}, clipping norm {dp.max_grad_norm:g}, sampling rate "
        f"{dp.sampling_rate:g}, {dp.steps} steps a round, {plan.rounds} rounds"
    )


def _resources(contract: Contract) -> list[tuple[str, str]]:
    caps = contract.resources
    return [
        ("Time a call", text.human_seconds(caps.seconds)),
        ("GPU memory", f"{caps.gpu_gib:g} GiB"),
        ("Size of a message", text.human_bytes(caps.message_bytes)),
        ("Calls", str(caps.calls)),
    ]


def _html_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    return html.table(headers, rows, max_rows=MAX_LINES, limit=MAX_PURPOSE)


def _text_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return text.table(headers, rows, max_rows=MAX_LINES, indent="  ", limit=MAX_PURPOSE)


def _html_pairs(pairs: Iterable[tuple[str, str]]) -> Html:
    return html.definition_list(
        (name, html.escape(value, MAX_PURPOSE)) for name, value in pairs
    )


def _text_pairs(pairs: Iterable[tuple[str, str]], indent: str = "") -> str:
    return text.fields(pairs, indent, limit=MAX_PURPOSE)
