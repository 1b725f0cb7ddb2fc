"""Checks of every call under a contract, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from fednb.errors import FednbError
from fednb.privacy.signatures import signature_holds
from fednb.records.assessment import AssessmentPlan
from fednb.records.base import canonical, sha256_hex
from fednb.records.heads import HeadPlan
from fednb.records.specs import SummedPlan
from fednb.records.tasks import (
    AnyPlan,
    EmbeddingPlan,
    EvaluationPlan,
    TrainingPlan,
    covers,
    names_of,
)
from fednb.site.verdicts import ALLOWED, deny, settle
from fednb.site.work import RunState
from fednb.strategies.registry import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fednb.records.arrays import Array
    from fednb.records.contracts import Contract
    from fednb.records.messages import Call
    from fednb.records.outputs import Decision, Place
    from fednb.site.approvals import Approvals
    from fednb.site.home import Home
    from fednb.site.work import Known, Work


# calls of the contract, its run, the run's other contract, and any later step
_BEFORE: Final = (
    "SELECT (SELECT COUNT(*) FROM calls WHERE contract = :contract), "
    "(SELECT run FROM calls WHERE contract = :contract LIMIT 1), "
    "(SELECT contract FROM runs WHERE run = :run AND contract != :contract LIMIT 1), "
    "EXISTS (SELECT 1 FROM runs WHERE run = :run AND step > :step)"
)


def route(plan: TrainingPlan, sites: tuple[str, ...]) -> tuple[str, ...]:
    """Return the itinerary of a relay strategy over all rounds."""
    strategy = resolve(plan.strategy)
    return tuple(
        site
        for round_ in range(plan.rounds)
        for group in strategy.visits(round_, sites)
        for site in group
    )


def check_call(
    call: Call, contract: Contract, known: Known, home: Home, approvals: Approvals
) -> Decision:
    """Say whether a call is the next thing that its contract allows.

    Parameters
    ----------
    call
        A new call: a repeated one was answered before this.
    contract
        In force.
    known
        What was found out of the call.
    home, approvals
        Of this site.
    """
    return settle(_call(call, contract, known, home, approvals))


def _call(
    call: Call, contract: Contract, known: Known, home: Home, approvals: Approvals
) -> Iterator[Decision]:
    place = call.place
    if not 0 <= place.step < len(contract.steps) or place.attempt < 0:
        yield deny("call.step", f"No step {place.step}.", "not-in-contract")
    used, *before = home.database.execute(
        _BEFORE, {"contract": place.contract, "run": place.run, "step": place.step}
    ).fetchone()
    if used >= contract.resources.calls:
        reason = f"All {contract.resources.calls} calls of the contract are used."
        yield deny("call.cap", reason, "limit")
    size = len(call.query) + call.nbytes
    if size > contract.resources.message_bytes:
        reason = (
            f"The call carries {size} bytes; the contract names at most "
            f"{contract.resources.message_bytes} a message."
        )
        yield deny("call.bytes", reason, "limit")
    if contract.standing:
        yield from _query(call, contract)
        yield _once(call, home)
        return
    yield from _run(place, *before)
    yield from _order(call, contract, known)
    yield from _inputs(call, contract, home, approvals)


def run_state(home: Home, run: str, step: int) -> RunState | None:
    """Return where a step of a run stands, or None where it has not begun."""
    row = home.database.execute(
        "SELECT state FROM runs WHERE run = ? AND step = ?", (run, step)
    ).fetchone()
    return msgspec.msgpack.decode(row[0], type=RunState) if row else None


def check_repeat(work: Work, home: Home) -> Decision:
    """Refuse a fit that was made before where its totals do not come again (rule 19).

    Who could make the same fit go another way would read its totals at coefficients of
    their own choice.

    Parameters
    ----------
    work
        A round of a fit, with the totals so far.
    home
        Of this site.
    """
    if not isinstance(work.plan, SummedPlan):
        return ALLOWED
    place = work.place
    earlier = home.database.execute(
        "SELECT other.run, runs.state FROM fits AS mine "
        "JOIN fits AS other ON other.fit = mine.fit AND other.run != mine.run "
        "JOIN runs ON runs.run = other.run AND runs.step = other.step "
        "WHERE mine.run = ? AND mine.step = ?",
        (place.run, place.step),
    )
    for run, state in earlier.fetchall():
        history = msgspec.msgpack.decode(state, type=RunState).history
        for mine, theirs in zip(work.history, history, strict=False):
            if bytes(mine.data) != bytes(theirs.data):
                reason = f"Run {run} made the same fit, and its totals were others."
                return deny("call.repeat", reason, "replayed")
    return ALLOWED


def next_state(call: Call, before: RunState | None, **changes: object) -> bytes:
    """Return the stored form of a run's state after a call, with `changes`."""
    base = before or RunState(0, 0)
    after = msgspec.structs.replace(
        base,
        round=call.place.round,
        attempt=call.place.attempt,
        **changes,
    )
    return msgspec.msgpack.encode(after)


def released_after(
    call: Call, before: RunState | None, names: Iterable[str], home: Home
) -> dict[str, int]:
    """Return in how many rounds each output was released, with those of this call.

    Another attempt of a round gives its outputs once more, and is not counted.
    """
    place = call.place
    counts = dict(before.released) if before else {}
    answered = home.database.execute(
        "SELECT 1 FROM calls WHERE (contract, step, run, round) = (?, ?, ?, ?) LIMIT 1",
        (place.contract, place.step, place.run, place.round),
    ).fetchone()
    for name in names:
        counts[name] = counts.get(name, 0) + (answered is None)
    return counts


def artefact_of(plan: AnyPlan) -> str:
    """Return the hash of the weights that a plan uses, ``"step:N"``, or nothing."""
    if isinstance(plan, EvaluationPlan | EmbeddingPlan):
        return plan.model.sha256
    return ""


def _query(call: Call, contract: Contract) -> Iterator[Decision]:
    # the coordinator relays queries; only the requester's key can make one
    if (call.place.round, call.place.attempt) != (0, 0):
        reason = "A query has one round and one attempt."
        yield deny("call.order", reason, "replayed")
    signed = query_bytes(call)
    if not signature_holds(contract.requester_key, call.query_signature, signed):
        reason = f"The query is not signed by {contract.requester!r}."
        yield deny("call.signature", reason, "signature")
    try:
        plan = msgspec.json.decode(call.query, type=AnyPlan)
    except (msgspec.DecodeError, FednbError, UnicodeDecodeError) as error:
        yield deny("call.query", f"Not a plan: {error}", "malformed")
        return
    approved = contract.steps[call.place.step]
    if not covers(approved, plan) or canonical(plan) != call.query:
        beyond = sorted(" ".join(name) for name in names_of(plan) - names_of(approved))
        kinds = f"a {type(plan).__name__}; the step answers a {type(approved).__name__}"
        named = f"The contract names no {', '.join(beyond)}."
        reason = named if beyond else f"The query is {kinds}, as its canonical bytes."
        yield deny("call.query", reason, "not-in-contract")


def _once(call: Call, home: Home) -> Decision:
    """Refuse a second vector in one place: under one mask their difference shows."""
    place = call.place
    row = home.database.execute(
        "SELECT id FROM calls WHERE (contract, step, run, round, attempt) = "
        "(?, ?, ?, ?, ?)",
        (place.contract, place.step, place.run, place.round, place.attempt),
    ).fetchone()
    if row is None:
        return ALLOWED
    reason = f"Run {place.run} was answered before, as call {row[0]}."
    return deny("call.place", reason, "replayed")


def query_bytes(call: Call) -> bytes:
    """Return what a requester signs of a query: its contract, call id and plan."""
    parts = ("fednb-query", call.place.contract, call.place.run)
    return "\x1f".join(parts).encode() + b"\x1f" + call.query


def _run(
    place: Place, used_by: str | None, belongs_to: str | None, later: int
) -> Iterator[Decision]:
    # a contract is good for one run, and its steps go forward
    if used_by is not None and used_by != place.run:
        reason = f"The contract was used up by run {used_by}."
        yield deny("call.run", reason, "replayed")
    if belongs_to is not None:
        reason = f"Run {place.run} belongs to contract {belongs_to[:12]}."
        yield deny("call.run", reason, "replayed")
    if later:
        yield deny("call.order", "A later step has begun.", "replayed")


def _order(call: Call, contract: Contract, known: Known) -> Iterator[Decision]:
    # rounds come one after the other; only the newest may have another attempt
    place = call.place
    plan = contract.steps[place.step]
    if isinstance(plan, TrainingPlan) and resolve(plan.strategy).relay:
        stops = route(plan, contract.sites())
        if not 0 <= place.round < len(stops):
            yield deny("call.round", f"No visit {place.round}.", "not-in-contract")
        return
    state = known.before
    expected = 0 if state is None else state.round + 1
    again = (
        state is not None
        and place.round == state.round
        and place.attempt > state.attempt
    )
    if place.round != expected and not again:
        reason = f"Round {place.round} was asked; round {expected} is next."
        yield deny("call.order", reason, "replayed")
    if again and state is not None and state.inputs != known.inputs:
        # or a coordinator could ask one round at as many weights as it has calls
        reason = f"Round {place.round} was answered before for other inputs."
        yield deny("call.inputs", reason, "replayed")
    if place.round >= rounds_of(plan):
        yield deny("call.round", f"No round {place.round}.", "not-in-contract")


def rounds_of(plan: AnyPlan) -> int:
    """Return how many rounds a step has at most."""
    if isinstance(plan, TrainingPlan):
        return plan.rounds * plan.calls
    if isinstance(plan, SummedPlan):
        return plan.most_rounds()
    return 1


def _inputs(
    call: Call, contract: Contract, home: Home, approvals: Approvals
) -> Iterator[Decision]:
    # weights must be those that the contract, or an earlier step, names
    place = call.place
    plan = contract.steps[place.step]
    weights = call.arrays.get("weights")
    if isinstance(plan, TrainingPlan) and place.round == 0 and weights is not None:
        yield _same_hash(weights, contract.initial.get(str(place.step), ""))
    if isinstance(plan, HeadPlan | AssessmentPlan):
        yield _embedding(plan, contract, approvals)
    wanted = artefact_of(plan)
    if wanted and weights is None:
        yield deny("call.weights", "The weights are missing.", "not-in-contract")
    if wanted.startswith("step:"):
        wanted = pinned(home, place.run).get(wanted.removeprefix("step:"), "")
    if wanted and weights is not None:
        yield _same_hash(weights, wanted)


def pinned(home: Home, run: str) -> dict[str, str]:
    """Return the artefact hashes that a run's steps have pinned here."""
    found: dict[str, str] = {}
    rows = home.database.execute("SELECT state FROM runs WHERE run = ?", (run,))
    for (state,) in rows:
        found.update(msgspec.msgpack.decode(state, type=RunState).pinned)
    return found


def _embedding(
    plan: HeadPlan | AssessmentPlan, contract: Contract, approvals: Approvals
) -> Decision:
    """Check that embeddings belong to the requester whose contract made them."""
    if plan.embedding is None or plan.embedding.contract == "study":
        return ALLOWED
    made = approvals.find(plan.embedding.contract)
    same: Mapping[str, bool] = {
        "requester": made is not None
        and made.contract.requester_key == contract.requester_key,
        "dataset": made is not None and made.contract.dataset == contract.dataset,
    }
    if all(same.values()):
        return ALLOWED
    reason = f"The embeddings of {plan.embedding.contract[:12]} are not this study's."
    return deny("call.embedding", reason, "not-in-contract")


def _same_hash(weights: Array, wanted: str) -> Decision:
    found = sha256_hex(weights.data)
    if found == wanted:
        return ALLOWED
    reason = f"Weights {found[:12]} were sent; the contract names {wanted[:12]}."
    return deny("call.weights", reason, "not-in-contract")
