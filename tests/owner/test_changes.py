"""What is new in a proposal, as its owner reads it; and the rule `carry_over`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fednb.records.contracts import Resources

if TYPE_CHECKING:
    from conftest import Scientist

    from fednb.owner.site_owner import SiteOwner
    from fednb.records.contracts import Contract
    from fednb.site.server import SiteServer


def shorter(contract: Contract, seconds: int, **changes: object) -> Contract:
    expires = contract.expires - seconds
    return msgspec.structs.replace(contract, nonce="1", expires=expires, **changes)


def test_the_first_of_its_kind_has_nothing_to_compare(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    ada.propose(server, ada.contract(registered))
    changes = registered.requests[0].changes
    assert (changes.all, changes.lines(), changes.earlier) == ((), (), "")
    assert "What is new" not in registered.requests[0]._repr_html_()
    assert repr(changes) == "No such contract was approved before."


def test_a_request_shows_what_is_new(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    first = ada.contract(registered)
    ada.propose(server, first)
    registered.requests[0].approve()
    fast = Resources(seconds=60)
    ada.propose(server, shorter(first, -7, requester="<b>", resources=fast))
    request = registered.requests[0]
    assert request.changes.earlier == first.hash()
    lines = request.changes.lines()
    assert lines[0] == (
        f"Against {first.hash()[:12]}, the last approved of its kind: loosens 1, "
        "changes 1, tightens 1."
    )
    assert lines[1:] == (
        f"loosens: expires: {first.expires} -> {first.expires + 7}",
        "changes: requester: Ada -> <b>",
        "tightens: seconds: 3600 -> 60",
    )
    assert all(f"~ {line}" in repr(request) for line in lines)
    page = request._repr_html_()
    assert "What is new" in page
    assert "changes: requester: Ada -&gt; &lt;b&gt;" in page
    # the rule is off unless its owner sets it
    assert request.status == "pending"


def test_under_the_owners_rule_a_tightened_proposal_is_approved(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    registered.policy.set(carry_over="tightening")
    first = ada.contract(registered)
    assert ada.propose(server, first).status == "pending"
    registered.requests[0].approve()
    later = shorter(first, 7)
    assert ada.propose(server, later).status == "approved"
    request = registered.requests[0]
    assert request.note == f"Only tightens {first.hash()}; approved by rule carry_over."
    assert request.changes.earlier == first.hash()
    assert f"{first.hash()[:12]}, the last approved of its kind (now revoked)" in repr(
        request
    )
    assert registered.requests[first.hash()].status == "revoked"
    assert ada.propose(server, shorter(later, -7)).status == "pending"
    assert registered.ledger.verify().count
