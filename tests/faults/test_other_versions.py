"""A site that runs another version of fednb: told by name; the others go on."""

from __future__ import annotations

import pytest
from clinics import COLUMNS, federate

from fednb.config import PROTOCOL_VERSION
from fednb.errors import VersionError
from fednb.records.tasks import StatisticsPlan

VERSION_AT = 3
"""Where a frame says its version: after the magic."""

NEWER = PROTOCOL_VERSION + 1
TOLD = (
    rf"^b runs another version of fednb\. The message has protocol version {NEWER}; "
    rf"this fednb speaks {PROTOCOL_VERSION}\. Update the older side\."
)


def of_version(frame: bytes, version: int) -> bytes:
    return frame[:VERSION_AT] + bytes([version]) + frame[VERSION_AT + 1 :]


@pytest.fixture
def fed(tmp_path):
    """Three sites, of which b is updated to a newer fednb: it reads no older frame."""
    with federate(tmp_path) as found:
        handlers = found.transport._handlers
        current = handlers["b"]

        def newer(frame: bytes) -> bytes:
            # what this site takes for another version is what it does not speak
            assert frame[VERSION_AT] == PROTOCOL_VERSION
            return of_version(current(of_version(frame, NEWER)), NEWER)

        handlers["b"] = newer
        yield found


def test_it_is_told_by_name_with_both_versions(fed):
    for ask in (fed["b"].ping, fed["b"].cards, lambda: fed["b"].datasets):
        with pytest.raises(VersionError, match=TOLD):
            ask()
    assert fed["a"].ping().status == "ready"


def test_the_table_of_sites_says_so(fed):
    states = {line.site: line.state for line in fed._client.sites().sites}
    assert states == {"a": "ready", "b": "version", "c": "ready"}


def test_nothing_is_asked_of_it_and_nothing_runs(fed):
    plan = StatisticsPlan(("age",))
    with pytest.raises(VersionError, match=TOLD):
        fed.request(plan, purpose="how old they are")
    with pytest.raises(VersionError, match=TOLD):
        fed.statistics("clinic", [COLUMNS[0].name])
    assert len(fed.requests) == 0
    assert len(fed.runs) == 0
    # at the site the message was not read, and its ledger says so
    refused = [e for e in fed.owner("b").ledger.entries if e.kind == "refusal"]
    assert refused
    assert all(e.body["bytes"] == "unreadable" for e in refused)


def test_the_others_go_on_without_it(fed):
    for name in ("a", "c"):
        fed.owner(name).policy.set(auto_approve=("statistics",))
    found = fed.statistics("clinic", ["age"], sites=("a", "c"))
    assert [summary.n for summary in found.of("age")] == [120]
