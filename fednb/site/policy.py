"""What an owner allows: a small TOML file, and rules that answer with decisions."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from fednb.errors import HomeError, InputError
from fednb.privacy.profiles import PROFILES, at_least_as_strict
from fednb.records.carried import codes_in
from fednb.records.outputs import Decision
from fednb.records.tasks import QueryPlan, TrainingPlan
from fednb.site.walls import Demand, Terms

if TYPE_CHECKING:
    from collections.abc import Collection

    from fednb.records.contracts import Contract
    from fednb.site.home import Home

FILE = "policy.toml"

ROUNDING_OF_FITS: Final = 0.1
"""The finest step of totals of fits, in patient-SD (disclosure rule 20)."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner allows; a contract may ask for less, never for more.

    Attributes
    ----------
    profile
        Disclosure profile of the site.
    auto_approve
        Kinds of contract that need no decision by hand: ``"statistics"``, or ``"all"``
        for demonstrations and tests on synthetic data.
    carry_over
        ``"tightening"``: a contract that only tightens the last one that was decided
        of the same requester, purpose and dataset takes its approval over, where that
        one is approved and unused; ``"off"``: each is decided by itself.
    max_rounds, max_seconds, max_gpu_gib, max_message_bytes, max_calls
        Caps on a contract.
    devices
        Devices that a contract may name.
    custom_code
        ``"refuse"``: no contract may carry code of its requester's own; ``"ask"``: its
        owner reads it and decides, whatever `auto_approve` says.
    confinement
        ``"required"``: approved code runs only where this machine can confine it in
        full (`fednb.site.confinement`); ``"where-possible"``: also where a wall lacks.
    max_code_gib
        Address space of a process that runs such code; torch itself takes about .6.
    max_fits
        Distinct fits of one outcome, made or refused, of all requesters together
        (disclosure rule 19).
    require_dp
        Whether a contract may train under differential privacy only.
    max_epsilon, max_delta
        What one requester may spend on one dataset, over all contracts: epsilon at
        that delta, which no contract's may exceed.
    peers
        ``"pinned"``: contracts that name another site under a key that the owner did
        not confirm are refused; ``"shown"``: they wait for a decision by hand, which
        confirms the keys. Another key than the confirmed one is refused in any case.
    """

    profile: Literal["standard", "rare-disease", "open"] = "standard"
    auto_approve: tuple[Literal["statistics", "all"], ...] = ()
    carry_over: Literal["off", "tightening"] = "off"
    max_rounds: int = 1000
    max_seconds: int = 86_400
    max_gpu_gib: float = 80.0
    max_message_bytes: int = 2**30
    max_calls: int = 100_000
    devices: tuple[Literal["auto", "cpu", "cuda"], ...] = ("auto", "cpu", "cuda")
    custom_code: Literal["refuse", "ask"] = "refuse"
    confinement: Demand = "required"
    max_code_gib: float = 16.0
    max_fits: int = 100
    require_dp: bool = False
    max_epsilon: float = 10.0
    max_delta: float = 1e-5
    peers: Literal["shown", "pinned"] = "shown"


def read_policy(home: Home) -> Policy:
    """Return the policy of a home; the default where the owner wrote none.

    Raises
    ------
    HomeError
        The file is not a policy; the message says where.
    """
    path = os.path.join(home.path, FILE)
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return Policy()
    return _read(path, (seen.st_ino, seen.st_mtime_ns, seen.st_size))


@lru_cache(maxsize=64)
def _read(path: str, version: tuple[int, int, int]) -> Policy:
    """Return the policy in a file; each version of it is read once."""
    del version
    raw = Path(path).read_bytes()
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"{path}, line {line}: not text in UTF-8. {_STOPPED}"
        raise HomeError(message) from error
    try:
        values = tomllib.loads(text)
    except ValueError as error:
        what, line = _syntax(str(error), text)
        message = f"{path}, line {line}: not TOML: {what}. {_STOPPED}"
        raise HomeError(message) from error
    wrong = [
        f"{path}, line {_line_of(name, text)}: {problem}"
        for name, problem in policy_problems(values).items()
    ]
    if wrong:
        message = " ".join([*wrong, _STOPPED])
        raise HomeError(message)
    return msgspec.convert(values, Policy)


_STOPPED: Final = "Until it is corrected nothing runs."


def policy_problems(values: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with a policy's values, by rule.

    Parameters
    ----------
    values
        As read from TOML or given by an owner.

    Returns
    -------
    dict
        A sentence a rule: the value seen, and what is allowed. Empty: all is well.
    """
    kinds = get_type_hints(Policy)
    found = {}
    for name, value in values.items():
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            found[name] = (
                f"there is no rule {_shown(name)}.{hint} Rules: {', '.join(kinds)}."
            )
        elif not _fits(value, kinds[name]):
            allowed = _allowed(kinds[name])
            found[name] = f"{name} = {_shown(value)} is not allowed; write {allowed}."
    return found


def _fits(value: Any, kind: Any) -> bool:  # noqa: ANN401  (anything TOML can hold)
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if get_origin(kind) is tuple:
        allowed = get_args(kind)[0]
        listed = isinstance(value, list | tuple)
        return listed and all(_fits(item, allowed) for item in value)
    if kind is bool:
        return isinstance(value, bool)
    number = isinstance(value, int | kind) and not isinstance(value, bool)
    return number and 0 < value < _LARGEST


def _allowed(kind: Any) -> str:  # noqa: ANN401  (a type hint)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{name}"' for name in get_args(kind))
    if get_origin(kind) is tuple:
        words = _allowed(get_args(kind)[0]).removeprefix("one of ")
        return f"a list of any of {words}"
    plain: dict[Any, str] = {bool: "true or false", int: "a whole number above 0"}
    return plain.get(kind, "a number above 0")


def _shown(value: object) -> str:
    """Return a value as TOML would have it, shortened."""
    words = json.dumps(value, default=str)
    return words if len(words) <= _WORDS else f"{words[:_WORDS]}..."


_WORDS: Final = 80
_LARGEST: Final = 2**63


def _line_of(name: str, text: str) -> int:
    """Return the line on which a rule is set, or its table begins."""
    key = re.escape(name)
    start = re.compile(rf"""\s*(\[+\s*)?["']?{key}["']?\s*[=.\]]""")
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if start.match(line)), 1)


def _syntax(words: str, text: str) -> tuple[str, int]:
    """Split what the parser says into what is wrong and the line."""
    what, _, place = words.partition(" (at ")
    number = re.match(r"line (\d+)", place)
    last = max(len(text.splitlines()), 1)
    return what, int(number[1]) if number else last


def write_policy(home: Home, policy: Policy) -> None:
    """Store a policy in a home, mode 0600."""
    lines = []
    for name, value in msgspec.to_builtins(policy).items():
        text = msgspec.json.encode(value).decode()
        lines.append(f"{name} = {text}\n")
    home.write_file(".", FILE, "".join(lines).encode())


def change_policy(home: Home, **changes: object) -> Policy:
    """Store a policy with some fields changed, and return it.

    Raises
    ------
    InputError
        A field is unknown or a value is not allowed.
    """
    wrong = policy_problems(changes)
    if wrong:
        message = f"The policy was not changed: {' '.join(wrong.values())}"
        raise InputError(message)
    current = msgspec.to_builtins(read_policy(home))
    policy = msgspec.convert({**current, **changes}, Policy)
    write_policy(home, policy)
    return policy


def check_contract(policy: Policy, contract: Contract) -> Decision:
    """Say whether the policy lets an owner consider a contract at all."""
    checks = (_check_privacy, _check_caps, _check_code, _training)
    found = (check(policy, contract) for check in checks)
    return next((decision for decision in found if not decision.allow), _WITHIN)


_WITHIN: Final = Decision(allow=True, rule="policy", reason="Within the site's policy.")


def _check_caps(policy: Policy, contract: Contract) -> Decision:
    """Refuse what exceeds a cap."""
    asked = contract.resources
    caps = (
        ("seconds", asked.seconds, policy.max_seconds),
        ("gpu_gib", asked.gpu_gib, policy.max_gpu_gib),
        ("message_bytes", asked.message_bytes, policy.max_message_bytes),
        ("calls", asked.calls, policy.max_calls),
    )
    for name, value, cap in caps:
        if value > cap:
            return _over(name, value, cap)
    return _WITHIN


def _check_code(policy: Policy, contract: Contract) -> Decision:
    """Refuse code of the requester's own where the owner wants none."""
    if codes_in(contract) and policy.custom_code == "refuse":
        reason = (
            "The contract carries code of its requester's own; the policy has "
            'custom_code = "refuse". To be asked about each, set custom_code = "ask".'
        )
        return Decision(
            allow=False, rule="policy.custom_code", reason=reason, cause="no-code"
        )
    return _WITHIN


def _training(policy: Policy, contract: Contract) -> Decision:
    for plan in contract.steps:
        if isinstance(plan, TrainingPlan):
            private = _check_private(policy, plan)
            if not private.allow:
                return private
            if plan.rounds > policy.max_rounds:
                return _over("rounds", plan.rounds, policy.max_rounds)
            if plan.device not in policy.devices:
                reason = f"Device {plan.device!r} is not among {policy.devices}."
                return Decision(
                    allow=False, rule="policy.device", reason=reason, cause="device"
                )
    return _WITHIN


def _check_privacy(policy: Policy, contract: Contract) -> Decision:
    """Refuse a profile, or a step of rounding, that is looser than the site's."""
    profile, step = contract.privacy.profile, contract.privacy.precision
    if not at_least_as_strict(PROFILES[profile], PROFILES[policy.profile]):
        reason = (
            f"The contract asks for the {profile} profile; this site's is "
            f"{policy.profile}. A job may tighten, never loosen."
        )
        return Decision(allow=False, rule="policy.profile", reason=reason)
    if profile != "open" and not step >= ROUNDING_OF_FITS:
        reason = (
            f"The contract rounds totals of fits to {step:g} patient-SD; the {profile} "
            f"profile rounds them to {ROUNDING_OF_FITS:g}. A job may tighten, never "
            "loosen."
        )
        return Decision(allow=False, rule="policy.precision", reason=reason)
    return _WITHIN


def approves_itself(
    policy: Policy, contract: Contract, strangers: Collection[str] = ()
) -> bool:
    """Whether the policy approves such a contract without a decision by hand.

    Parameters
    ----------
    policy, contract
        What is allowed, and what is asked.
    strangers
        Participants whose keys nobody confirmed.
    """
    # nobody has read the code, and nobody has compared the keys
    if codes_in(contract) or strangers:
        return False
    if "all" in policy.auto_approve:
        return True
    harmless = all(isinstance(p, QueryPlan) for p in contract.steps)
    return harmless and "statistics" in policy.auto_approve


def confinement_of(policy: Policy) -> Terms:
    """Return what a process may have that runs a requester's own code."""
    return Terms(policy.confinement, policy.max_code_gib)


def _check_private(policy: Policy, plan: TrainingPlan) -> Decision:
    """Say whether a training's differential privacy is within the owner's caps."""
    if plan.dp is None and policy.require_dp:
        reason = "Training without differential privacy; require_dp = True."
        return Decision(allow=False, rule="policy.require_dp", reason=reason)
    if plan.dp is None:
        return _WITHIN
    for name, value, cap in (
        ("epsilon", plan.dp.epsilon, policy.max_epsilon),
        ("delta", plan.dp.delta, policy.max_delta),
    ):
        if value > cap:
            return _over(name, value, cap)
    return _WITHIN


def _over(name: str, value: float, cap: float) -> Decision:
    reason = f"{name} = {value} exceeds the site's cap of {cap}; raise it in {FILE}."
    return Decision(allow=False, rule=f"policy.{name}", reason=reason, cause="limit")
