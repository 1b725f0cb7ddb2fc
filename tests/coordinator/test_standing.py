"""When owners are asked for a standing contract, and when again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from filing import contract_of

from fednb.coordinator import evaluating
from fednb.coordinator.contracting import participants
from fednb.coordinator.standing import StandingRequests
from fednb.errors import InputError, RunError

if TYPE_CHECKING:
    from fednb.records.contracts import Contract


@dataclass
class Asked:
    """A request of which a test says how it stands."""

    contract: Contract
    status: dict[str, str]

    @property
    def hash(self) -> str:
        return self.contract.hash()


class Notebook:
    """Standing requests over a shelf of those that were made before."""

    def __init__(self, shelf: list[Asked], answer: str = "approved") -> None:
        self.shelf = shelf
        self.answer = answer
        self.standing = StandingRequests(self._draft, self._propose, self._earlier)

    def _draft(self, dataset: str, sites: tuple[str, ...]) -> Contract:
        del sites
        return contract_of(dataset=dataset, nonce=str(len(self.shelf)))

    def _propose(self, contract: Contract) -> Asked:
        self.shelf.append(Asked(contract, {"a": self.answer}))
        return self.shelf[-1]

    def _earlier(self) -> tuple[Asked, ...]:
        return tuple(reversed(self.shelf))

    def approved(self, dataset: str = "clinic") -> Asked:
        return self.standing.approved(dataset, ())


def test_owners_are_asked_once_over_notebooks():
    first = Notebook([])
    assert first.approved() is first.approved()
    second = Notebook(first.shelf)
    assert second.approved() is first.approved()
    assert second.approved("other") is not first.approved()
    assert len(first.shelf) == 2


def test_one_that_waits_is_not_asked_for_again():
    shelf: list[Asked] = []
    for _ in range(2):
        with pytest.raises(RunError, match="waits for the approval of a: request"):
            Notebook(shelf, "pending").approved()
    assert len(shelf) == 1
    shelf[0].status["a"] = "approved"
    assert Notebook(shelf).approved() is shelf[0]


@pytest.mark.parametrize("end", ["denied", "revoked", "expired"])
def test_one_that_ended_is_asked_for_anew_by_a_later_notebook(end):
    shelf: list[Asked] = []
    Notebook(shelf).approved()
    shelf[0].status["a"] = end
    assert Notebook(shelf).approved() is shelf[1]


def test_one_that_is_denied_now_is_told_once_and_then_asked_for_anew():
    notebook = Notebook([], "denied")
    with pytest.raises(RunError):
        notebook.approved()
    notebook.answer = "approved"
    assert notebook.approved() is notebook.shelf[1]


def test_one_that_a_site_refuses_is_used_no_more_though_it_is_approved():
    notebook = Notebook([])
    spent = notebook.approved()
    notebook.standing.forget(spent)
    assert notebook.approved() is not spent
    assert notebook.approved() is notebook.shelf[1]


def test_one_that_refused_a_question_is_looked_for_and_not_asked_for_again():
    notebook = Notebook([])
    first = notebook.approved()
    notebook.standing.forget(first, spent=False)
    assert notebook.approved() is first
    first.status["a"] = "revoked"
    notebook.standing.forget(first, spent=False)
    assert notebook.approved() is notebook.shelf[1]


def test_one_site_stands_for_itself_and_none_for_nobody():
    assert participants("aspen") == ("aspen",)
    assert participants(["a", "b"]) == ("a", "b")
    assert participants(None) is None
    assert evaluating.Asked.of("clinic", "aspen", {}).sites == ("aspen",)
    with pytest.raises(InputError, match=r"^sites=\[\] asks nobody\. Name a site"):
        participants([])


def test_what_says_something_else_is_no_standing_request_of_this():
    notebook = Notebook([])
    other = contract_of(dataset="clinic", purpose="another")
    notebook.shelf.append(Asked(other, {"a": "approved"}))
    assert notebook.approved() is notebook.shelf[1]
