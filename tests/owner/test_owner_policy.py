from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fednb.errors import HomeError, InputError
from fednb.records.keys import site_fingerprint

if TYPE_CHECKING:
    from conftest import Scientist

    from fednb.owner.site_owner import SiteOwner
    from fednb.site.server import SiteServer


def test_a_policy_shows_what_it_means(owner: SiteOwner):
    for shown in (repr(owner.policy), owner.policy._repr_html_()):
        assert "Profile standard: no value of fewer than 10 patients leaves" in shown
        assert "max_rounds" in shown
        assert "1000" in shown
        assert "auto_approve" in shown
    opened = owner.policy.set(profile="open")
    assert "exact values leave, without a threshold" in repr(opened)


def test_every_rule_has_a_meaning(owner: SiteOwner):
    rows = owner.policy._rows()
    assert [row[0] for row in rows] == list(owner.policy.rules.__struct_fields__)
    assert all(meaning for _, _, meaning in rows)


def test_a_change_holds_and_is_returned(owner: SiteOwner):
    before = owner.policy
    after = before.set(max_rounds=3, auto_approve=("statistics",))
    assert before.rules.max_rounds == 1000
    assert (after.rules.max_rounds, after.rules.auto_approve) == (3, ("statistics",))
    assert owner.policy.rules == after.rules


def test_no_change_is_no_entry(owner: SiteOwner):
    owner.policy.set(max_rounds=1000)
    assert len(owner.ledger.entries) == 1


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_cap_that_is_no_cap(owner: SiteOwner, value: float):
    with pytest.raises(InputError) as caught:
        owner.policy.set(max_gpu_gib=value)
    assert "is not allowed; write a number above 0." in str(caught.value)
    assert owner.policy.rules.max_gpu_gib == 80


def test_names_that_do_not_exist(owner: SiteOwner):
    with pytest.raises(InputError, match=r"Did you mean max_rounds\?"):
        owner.policy.set(max_round=3)
    with pytest.raises(InputError, match='profile = "lax" is not allowed; write one'):
        owner.policy.set(profile="lax")
    assert len(owner.ledger.entries) == 1


def test_a_broken_file_says_so(owner: SiteOwner):
    (owner.path / "policy.toml").write_text("profile = 'lax'\n")
    with pytest.raises(HomeError, match="Until it is corrected nothing runs"):
        _ = owner.policy


def test_the_server_beside_follows_the_policy(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    registered.policy.set(auto_approve=["statistics"])
    contract = ada.contract(registered)
    # whose keys nobody confirmed is never approved by itself
    assert ada.propose(server, contract).status == "pending"
    for other in contract.participants[:2]:
        mark = site_fingerprint(other.signing_key, other.agreement_key)
        registered.peers.confirm(other.site, mark)
    contract = ada.contract(registered, nonce="1")
    assert ada.propose(server, contract).status == "approved"
    request = registered.requests[contract.hash()]
    assert (request.status, request.note) == ("approved", "by the site's policy")
