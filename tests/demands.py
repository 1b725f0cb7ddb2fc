"""Contracts as a requester may write them who wants more than is allowed."""

from __future__ import annotations

import secrets

import msgspec
from demanded_plans import DECLARED, PLAIN, PLANS
from hypothesis import strategies as st

from fednb.errors import FednbError
from fednb.privacy.egress import outputs_of
from fednb.privacy.profiles import PROFILES
from fednb.records.contracts import Contract, Participant, Privacy, Resources
from fednb.records.tasks import DescribePlan, StatisticsPlan, columns_of
from fednb.site.policy import Policy
from fednb.site.proposals import strategy_vectors

replace = msgspec.structs.replace
SITES = ("a", "b", "c")
QUERIES = DescribePlan | StatisticsPlan
CAPS = {
    "max_rounds": 20,
    "max_seconds": 600,
    "max_gpu_gib": 4.0,
    "max_message_bytes": 2**24,
    "max_calls": 1000,
    "devices": ("auto", "cpu"),
    "max_fits": 10**6,
    "max_epsilon": 8.0,
    "max_delta": 1e-5,
}
HONEST = Resources(600, 4.0, 2**24, 1000)


def resources():
    def near(cap: int):
        return st.sampled_from([1, cap // 2, cap, cap, cap, cap + 1, -1, 0, 2**62])

    return st.builds(
        Resources,
        seconds=near(CAPS["max_seconds"]),
        gpu_gib=st.sampled_from([0.5, 4.0, 4.0, 4.01, -1.0]),
        message_bytes=near(CAPS["max_message_bytes"]),
        calls=near(CAPS["max_calls"]),
    )


STEPS = st.sampled_from([0.1, 0.1, 0.1, 0.25, 10.0, 1e9, 0.0999, 0.05, 1e-300, 0.0, -1])


def privacies():
    return st.builds(
        Privacy,
        profile=st.sampled_from(sorted(PROFILES)),
        secure_sum=st.booleans(),
        precision=STEPS,
    )


FINER = {"step": 0.5, "resolution": 0.001, "lower": -5.0, "upper": 300.0}


@st.composite
def column_changes(draw, columns):
    """Return declarations that are finer or wider than the owners', or left out."""
    found = list(columns)
    if not found:
        return columns
    place = draw(st.integers(0, len(found) - 1))
    how = draw(st.sampled_from([*FINER, "kind", "levels", "missing", "twice"]))
    if how in FINER:
        found[place] = replace(found[place], **{how: FINER[how]})
    elif how == "kind":
        found[place] = replace(found[place], kind="category", levels=("0", "1"))
    elif how == "levels":
        found[place] = replace(found[place], levels=(*found[place].levels, "4", "9"))
    elif how == "missing":
        del found[place]
    else:
        found.append(replace(found[place], step=found[place].step / 10))
    return tuple(found)


@st.composite
def output_changes(draw, outputs):
    """Return outputs of another kind, larger, more frequent, or one more."""
    found = list(outputs)
    if not found:
        return outputs
    place = draw(st.integers(0, len(found) - 1))
    change = draw(
        st.sampled_from(
            [
                {"kind": "table"},
                {"kind": "weights"},
                {"kind": "receipt"},
                {"elements": 10**9},
                {"bytes": 10**9},
                {"times": 10**6},
                {"name": "rows"},
                {"step": 1},
            ]
        )
    )
    changed = replace(found[place], **change)
    if draw(st.booleans()):
        found[place] = changed
    else:
        found.append(changed)
    return tuple(found)


def plain_job(base, kind):
    """Return a contract that no site has a reason to refuse."""
    plan = PLAIN[kind]
    plan = replace(plan, evaluate_on="none") if kind in {"cox", "logistic"} else plan
    return contract_of(base, (plan,), SITES, base.privacy, base.resources)


@st.composite
def jobs(draw, base, kind):
    """Return a contract as a requester who wants more than is allowed may write it."""
    steps = (draw(PLANS[kind]),)
    if draw(st.integers(0, 9)) == 0:
        steps = (*steps, draw(PLANS[draw(st.sampled_from(sorted(PLANS)))]))
    sites = draw(st.sampled_from([SITES] * 6 + [SITES[:2], SITES[:1]]))
    honest = draw(st.sampled_from([True, True, False]))
    privacy = base.privacy if honest else draw(privacies())
    asked = base.resources if honest else draw(resources())
    contract = contract_of(base, steps, sites, privacy, asked)
    return draw(tampered(contract)) if draw(st.integers(0, 3)) == 0 else contract


def contract_of(base, steps, sites, privacy, resources):
    """Return a contract over some sites, with what its steps use and need."""
    used = {name for plan in steps for name in columns_of(plan)}
    steps = tuple(settled(plan, used) for plan in steps)
    contract = replace(
        base,
        nonce=secrets.token_hex(8),
        participants=tuple(p for p in base.participants if p.site in sites),
        weights=(1 / len(sites),) * len(sites),
        steps=steps,
        columns=tuple(c for c in DECLARED if c.name in used),
        privacy=privacy,
        resources=resources,
        parameters={"0": 1000, "1": 1000},
        initial={"0": "0" * 64, "1": "0" * 64},
        standing=all(isinstance(step, QUERIES) for step in steps),
    )
    return replace(contract, outputs=derived(contract) or base.outputs)


@st.composite
def tampered(draw, contract):
    """Return the contract with one field changed that its owner would not see."""
    heavy = (1 - 2e-9, 1e-9, 1e-9)[: len(contract.weights)]
    change = draw(
        st.sampled_from(["columns", "outputs", "weights", "standing", "parameters"])
    )
    values = {
        "columns": column_changes(contract.columns),
        "outputs": output_changes(contract.outputs),
        "weights": st.just(tuple(w / sum(heavy) for w in heavy)),
        "standing": st.just(not contract.standing),
        "parameters": st.just({"0": 10**9}),
    }
    return replace(contract, **{change: draw(values[change])})


def settled(plan, used):
    shared = [column for column in DECLARED if column.name in used]
    try:
        return plan.settled(shared) if hasattr(plan, "settled") else plan
    except FednbError:
        return plan


def derived(contract):
    """Return what the steps need, or nothing where the rules have no way out."""
    try:
        return outputs_of(
            contract.steps,
            parameters=contract.parameters,
            privacy=contract.privacy,
            sites=len(contract.participants),
            calls=contract.resources.calls if contract.standing else 1,
            vectors_of=strategy_vectors,
        )
    except FednbError:
        return ()


def policies():
    return st.builds(
        Policy,
        profile=st.sampled_from(sorted(PROFILES)),
        max_rounds=st.sampled_from([1, 20, 21]),
        max_seconds=st.sampled_from([1, 300, 601]),
        max_gpu_gib=st.sampled_from([0.5, 4.0]),
        max_message_bytes=st.sampled_from([1, 2**24]),
        max_calls=st.sampled_from([1, 1000]),
        devices=st.sampled_from([("cpu",), ("auto", "cpu"), ("cuda",)]),
        custom_code=st.sampled_from(["refuse"]),
        require_dp=st.booleans(),
        max_epsilon=st.sampled_from([1.0, 8.0]),
        max_delta=st.sampled_from([1e-6, 1e-5]),
    )


def on_paper():
    """Return a contract of three sites that nobody serves."""
    made = (Participant(site, site * 64, site * 64, "") for site in SITES)
    return Contract(
        version=1,
        nonce="",
        requester="Ada",
        requester_key="",
        purpose="",
        dataset="clinic",
        participants=tuple(made),
        steps=(),
        outputs=(),
        privacy=Privacy(),
        resources=HONEST,
        created=0,
        expires=0,
    )
