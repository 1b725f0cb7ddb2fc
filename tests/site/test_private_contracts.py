"""What a site's policy and its checks say of differential privacy in a contract."""

from __future__ import annotations

import msgspec
import pytest
from filing import contract_of

from fednb.errors import FednbError, HomeError, InputError
from fednb.privacy.contract_diff import contract_diff
from fednb.privacy.dp import settle_dp
from fednb.privacy.egress import outputs_of
from fednb.records.contracts import Privacy
from fednb.records.datasets import Column, Manifest
from fednb.records.dp import DP
from fednb.records.specs import StrategySpec
from fednb.records.tasks import TrainingPlan
from fednb.site.home import Home
from fednb.site.policy import Policy, change_policy, check_contract, read_policy
from fednb.site.proposals import check_plan, strategy_vectors

replace = msgspec.structs.replace
PLAIN = TrainingPlan(model="small-cnn-3d", target="idh", rounds=3, modalities=("T1c",))
PLAN = settle_dp(replace(PLAIN, dp=DP(epsilon=8)), (100, 140, 120))
MANIFEST = Manifest("glioma", (Column("idh", "binary"),), ("T1c",), (), "", ())


def test_an_owner_may_demand_differential_privacy():
    demanding = Policy(require_dp=True)
    denied = check_contract(demanding, contract_of(steps=(PLAIN,)))
    assert (denied.allow, denied.rule) == (False, "policy.require_dp")
    assert check_contract(demanding, contract_of(steps=(PLAN,))).allow
    assert check_contract(Policy(), contract_of(steps=(PLAIN,))).allow


@pytest.mark.parametrize(
    ("cap", "rule"),
    [({"max_epsilon": 7.0}, "policy.epsilon"), ({"max_delta": 1e-6}, "policy.delta")],
)
def test_a_contract_beyond_the_owner_s_caps_is_refused(cap, rule):
    denied = check_contract(Policy(**cap), contract_of(steps=(PLAN,)))
    assert (denied.allow, denied.rule, denied.cause) == (False, rule, "limit")


def test_the_policy_file_takes_the_rules(tmp_path):
    home = Home(tmp_path / "home", create=True)
    change_policy(home, require_dp=True, max_epsilon=3.5)
    policy = read_policy(home)
    assert (policy.require_dp, policy.max_epsilon) == (True, 3.5)
    with pytest.raises(InputError, match="require_dp = 1 is not allowed; write true"):
        change_policy(home, require_dp=1)
    (home.path / "policy.toml").write_text("max_epsilon = true\n")
    with pytest.raises(HomeError, match="max_epsilon = true is not allowed; write a n"):
        read_policy(home)
    home.close()


def test_a_site_derives_the_cost_again():
    check_plan(PLAN, MANIFEST)
    for wrong, message in (
        (replace(PLAN, dp=replace(PLAN.dp, epsilon=1.0)), "names epsilon 1; its"),
        (replace(PLAN, rounds=30), "its 30 rounds cost"),
        (replace(PLAIN, dp=DP(epsilon=8)), "must be settled"),
    ):
        with pytest.raises(FednbError, match=message):
            check_plan(wrong, MANIFEST)
    lwms = StrategySpec("cyclic", {"lwms": True})
    with pytest.raises(FednbError, match="cannot use lwms under"):
        check_plan(replace(PLAN, strategy=lwms), MANIFEST)


def test_less_epsilon_tightens_and_more_or_none_loosens():
    def effect(before: DP | None, after: DP | None) -> str:
        one, two = (contract_of(steps=(replace(PLAIN, dp=d),)) for d in (before, after))
        (change,) = contract_diff(one, two)
        return change.effect

    lower = replace(PLAN.dp, epsilon=2.0)
    assert effect(None, PLAN.dp) == "tightens"
    assert effect(PLAN.dp, None) == "loosens"
    assert effect(PLAN.dp, lower) == "tightens"
    assert effect(lower, PLAN.dp) == "loosens"
    assert effect(PLAN.dp, replace(lower, delta=1e-3)) == "loosens"


def outputs(plan: TrainingPlan, *, sites: int, secure_sum: bool):
    return outputs_of(
        (plan,),
        parameters={"0": 100},
        privacy=Privacy(secure_sum=secure_sum),
        sites=sites,
        calls=10,
        vectors_of=strategy_vectors,
    )


def test_the_control_of_an_update_names_the_bound():
    update, metrics = outputs(PLAN, sites=3, secure_sum=True)
    assert update.kind == "masked"
    assert update.control.startswith("differential privacy: epsilon 7.9")
    assert "differential" not in metrics.control


def test_differential_privacy_alone_lets_two_sites_train_without_figures():
    with pytest.raises(FednbError, match="Set validate_every=0, or use at least"):
        outputs(PLAN, sites=2, secure_sum=False)
    with pytest.raises(FednbError, match="Without the secure sum"):
        outputs(replace(PLAIN, validate_every=0), sites=2, secure_sum=False)
    update, metrics = outputs(
        replace(PLAN, validate_every=0), sites=2, secure_sum=False
    )
    assert (update.name, update.kind) == ("update", "weights")
    assert update.control.startswith("differential privacy: epsilon 7.9")
    assert (metrics.kind, metrics.control) == (
        "table",
        "nothing: zeros in place of figures",
    )


def test_a_relay_says_its_bound_too():
    cyclic = replace(PLAN, strategy=StrategySpec("cyclic"))
    for output in outputs(cyclic, sites=3, secure_sum=True):
        assert output.control.startswith("differential privacy: epsilon")
