from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from fednb.errors import HomeError, InputError
from fednb.records.contracts import Contract, Privacy, Resources
from fednb.records.heads import CoxPlan
from fednb.records.studies import StudyPlan
from fednb.records.tasks import DescribePlan, StatisticsPlan, TrainingPlan
from fednb.site.home import Home
from fednb.site.policy import (
    Policy,
    approves_itself,
    change_policy,
    check_contract,
    read_policy,
    write_policy,
)

if TYPE_CHECKING:
    from pathlib import Path

TRAINING = TrainingPlan(model="small-cnn-3d", target="idh", rounds=10, device="cpu")


@pytest.fixture
def home(tmp_path: Path):
    home = Home(tmp_path / "home", create=True)
    yield home
    home.close()


def contract_of(*steps: object, **changes: object):
    fields: dict[str, object] = {
        "version": 1,
        "nonce": "0",
        "requester": "Ada",
        "requester_key": "",
        "purpose": "",
        "dataset": "glioma",
        "participants": (),
        "steps": steps or (DescribePlan((), ()),),
        "outputs": (),
        "privacy": Privacy(),
        "resources": Resources(),
        "created": 0,
        "expires": 0,
    }
    return Contract(**{**fields, **changes})


def test_without_a_file_the_policy_is_the_strict_one(home: Home):
    policy = read_policy(home)
    assert policy == Policy()
    assert (policy.profile, policy.auto_approve) == ("standard", ())


def test_a_policy_is_read_back_as_it_was_written(home: Home):
    policy = Policy(
        profile="rare-disease",
        auto_approve=("statistics",),
        max_rounds=7,
        max_seconds=60,
        max_gpu_gib=1.5,
        max_message_bytes=1000,
        max_calls=3,
        devices=("cpu",),
    )
    write_policy(home, policy)
    assert read_policy(home) == policy
    assert (home.path / "policy.toml").stat().st_mode & 0o777 == 0o600


def test_changing_one_rule_keeps_the_others(home: Home):
    change_policy(home, max_rounds=5)
    changed = change_policy(home, auto_approve=["all"], profile="open")
    assert changed == Policy(profile="open", auto_approve=("all",), max_rounds=5)
    assert read_policy(home) == changed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"profile": "lax"},
            'profile = "lax" is not allowed; write one of "standard", ',
        ),
        ({"auto_approve": ["training"]}, 'write a list of any of "statistics", "all".'),
        ({"max_rounds": "many"}, 'max_rounds = "many" is not allowed; write a whole'),
        ({"max_round": 3}, 'no rule "max_round". Did you mean max_rounds?'),
    ],
)
def test_a_change_that_is_not_allowed_changes_nothing(
    home: Home, changes: dict[str, object], says: str
):
    change_policy(home, max_rounds=5)
    with pytest.raises(InputError, match="The policy was not changed") as caught:
        change_policy(home, **changes)
    assert says in str(caught.value)
    assert read_policy(home) == Policy(max_rounds=5)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("profile = ", 1, "not TOML: Invalid value."),
        ('# mine\n\nprofile = "open', 3, "not TOML: Unterminated string."),
        ("max_calls = 1\nmax_calls = 2", 2, "not TOML: Cannot overwrite a value."),
        ("\x00", 1, "not TOML: Invalid statement."),
        (
            "max_calls = 3\nprofile = 'lax'",
            2,
            'profile = "lax" is not allowed; write one of "standard", "rare-disease", '
            '"open".',
        ),
        (
            "\n max_rounds = 'x'",
            2,
            'max_rounds = "x" is not allowed; write a whole number above 0.',
        ),
        ("max_rounds = 2.5", 1, "max_rounds = 2.5 is not allowed; write a whole"),
        ("max_calls = true", 1, "max_calls = true is not allowed; write a whole"),
        ("max_calls = -1", 1, "max_calls = -1 is not allowed; write a whole"),
        ("max_gpu_gib = nan", 1, "max_gpu_gib = NaN is not allowed; write a number"),
        (f"max_calls = {10**30}", 1, "is not allowed; write a whole number"),
        ("devices = 'cpu'", 1, 'devices = "cpu" is not allowed; write a list of any'),
        ("devices = [\n'cpu',\n'tpu']", 1, 'devices = ["cpu", "tpu"] is not allowed'),
        ("carry_over = 'all'", 1, 'write one of "off", "tightening".'),
        ("[profile]\nname = 1", 1, 'profile = {"name": 1} is not allowed'),
        ("\n\nmax_round = 1", 3, 'no rule "max_round". Did you mean max_rounds?'),
        ("\n'sur prise' = 1", 2, 'there is no rule "sur prise". Rules: profile, '),
    ],
)
def test_a_file_that_is_no_policy_stops_everything(
    home: Home, text: str, line: int, says: str
):
    path = home.path / "policy.toml"
    path.write_text(text)
    with pytest.raises(HomeError) as caught:
        read_policy(home)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: ")
    assert says in message
    assert message.endswith("Until it is corrected nothing runs.")


def test_every_problem_of_a_policy_is_told_with_its_line(home: Home):
    path = home.path / "policy.toml"
    path.write_text("profile = 1\n# a remark\nmax_calls = 0\n")
    with pytest.raises(HomeError) as caught:
        read_policy(home)
    assert f"{path}, line 1: profile = 1 is not" in str(caught.value)
    assert f"{path}, line 3: max_calls = 0 is not" in str(caught.value)


def test_a_policy_in_another_encoding_is_named(home: Home):
    (home.path / "policy.toml").write_bytes("# ok\n# für".encode("latin-1"))
    with pytest.raises(HomeError, match=r"policy.toml, line 2: not text in UTF-8\."):
        read_policy(home)


@pytest.mark.parametrize(
    ("site", "asked", "allowed"),
    [
        ("standard", "standard", True),
        ("standard", "rare-disease", False),
        ("standard", "open", False),
        ("rare-disease", "open", False),
        ("open", "open", True),
        ("open", "standard", True),
        ("open", "rare-disease", True),
    ],
)
def test_a_job_may_tighten_and_never_loosen(site: str, asked: str, allowed: bool):
    contract = contract_of(privacy=Privacy(profile=asked))
    decision = check_contract(Policy(profile=site), contract)
    assert decision.allow is allowed
    if not allowed:
        assert (decision.rule, decision.cause) == ("policy.profile", "disclosure")
        assert asked in decision.reason
        assert site in decision.reason


@pytest.mark.parametrize("name", ["seconds", "gpu_gib", "message_bytes", "calls"])
def test_a_cap_holds_at_its_value_and_not_above(name: str):
    at, above = (contract_of(resources=Resources(**{name: v})) for v in (100, 101))
    caps = {f"max_{n}": 2**40 for n in ("seconds", "gpu_gib", "message_bytes", "calls")}
    policy = Policy(**{**caps, f"max_{name}": 100})
    assert check_contract(policy, at).allow
    decision = check_contract(policy, above)
    assert (decision.allow, decision.cause) == (False, "limit")
    assert decision.rule == f"policy.{name}"
    assert decision.reason == (
        f"{name} = 101 exceeds the site's cap of 100; raise it in policy.toml."
    )


def test_rounds_are_capped_in_every_step():
    long = msgspec.structs.replace(TRAINING, rounds=11)
    policy = Policy(max_rounds=10)
    assert check_contract(policy, contract_of(TRAINING)).allow
    decision = check_contract(policy, contract_of(TRAINING, long))
    assert (decision.rule, decision.cause) == ("policy.rounds", "limit")


def test_a_device_that_the_owner_does_not_lend():
    policy = Policy(devices=("cpu",))
    assert check_contract(policy, contract_of(TRAINING)).allow
    cuda = msgspec.structs.replace(TRAINING, device="cuda")
    decision = check_contract(policy, contract_of(cuda))
    assert (decision.rule, decision.cause) == ("policy.device", "device")


QUERY = StatisticsPlan(("age",))
STUDY = CoxPlan(StudyPlan.embedding_of(1), duration="os_months", event="death")


@pytest.mark.parametrize(
    ("auto", "steps", "approved"),
    [
        ((), (DescribePlan((), ()),), False),
        (("statistics",), (DescribePlan((), ()),), True),
        (("statistics",), (QUERY,), True),
        (("statistics",), (QUERY, DescribePlan((), ())), True),
        (("statistics",), (TRAINING,), False),
        (("statistics",), (QUERY, TRAINING), False),
        (("statistics",), (QUERY, STUDY), False),
        (("all",), (TRAINING, STUDY), True),
    ],
)
def test_only_what_the_owner_named_approves_itself(
    auto: tuple[str, ...], steps: tuple[object, ...], approved: bool
):
    policy = Policy(auto_approve=auto)
    assert approves_itself(policy, contract_of(*steps)) is approved
