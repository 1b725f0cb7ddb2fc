"""A reply that was lost: the same bytes again, and nothing is spent twice."""

from __future__ import annotations

import pytest
from clinics import federate
from counterparty import ledger, releases

from fednb.errors import SiteDownError
from fednb.records.heads import CoxPlan
from fednb.records.messages import Call, Release
from fednb.records.specs import SplitSpec
from fednb.wire.codec import decode_ask, decode_reply

COX = CoxPlan(
    covariates=("age",),
    duration="os_months",
    event="death",
    split=SplitSpec(1.0, 0.0, 0.0),
    fit_on="train",
    evaluate_on="train",
)


class LossyLine:
    """Between the coordinator and a site: drops the first answer to each call.

    The site has answered, recorded and released by then: only the bytes are lost.
    """

    def __init__(self, fed, site: str) -> None:
        self.site = site
        self.answers: dict[str, list[bytes]] = {}
        self._handle = fed.transport._handlers[site]
        fed.transport._handlers[site] = self

    def __call__(self, message: bytes) -> bytes:
        answer = self._handle(message)
        ask = decode_ask(message)
        if isinstance(ask, Call) and isinstance(decode_reply(answer), Release):
            seen = self.answers.setdefault(ask.id, [])
            seen.append(answer)
            if len(seen) == 1:
                raise SiteDownError(self.site, detail="the line broke")
        return answer


@pytest.fixture
def fed(tmp_path):
    with federate(tmp_path, approve="auto", profile="open") as served:
        yield served


def test_statistics_over_a_lossy_line_are_the_same_and_spent_once(fed):
    expected = fed.statistics("clinic", ["age"]).to_frame()
    before = releases(fed, "b")
    line = LossyLine(fed, "b")
    found = fed.statistics("clinic", ["age"]).to_frame()
    assert found.equals(expected)
    ((first, second),) = line.answers.values()
    assert first == second
    assert releases(fed, "b") == before + 1


def test_a_fit_over_a_lossy_line_is_the_same_and_spent_once(fed):
    expected = fed.request(COX, purpose="parity").start().result()
    before = releases(fed, "b")
    clean = before - releases(fed, "a")
    line = LossyLine(fed, "b")
    found = fed.request(COX, purpose="parity").start().result()
    assert (found.params_ == expected.params_).all()
    assert len(line.answers) > 3
    for answers in line.answers.values():
        assert len(answers) == 2
        assert answers[0] == answers[1]
    assert releases(fed, "b") - releases(fed, "a") == clean
    calls = [e.body["call"] for e in ledger(fed, "b") if e.kind == "release"]
    assert len(calls) == len(set(calls))
