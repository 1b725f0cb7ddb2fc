"""What the routes answer, as plain values; every word in it is made visible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from fednb.display.contract import MAX_PURPOSE
from fednb.display.text import utc, visible
from fednb.records.keys import key_fingerprint
from fednb.serverextension.tree import tree_of

if TYPE_CHECKING:
    from fednb.owner.datasets import OwnerDataset
    from fednb.owner.requests import OwnerRequest

MAX_WORDS: Final = 2000
"""Longest note or reason that is taken."""

Words = Annotated[str, msgspec.Meta(max_length=MAX_WORDS)]
Row = dict[str, Any]


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent to approve: a note for the site's own records."""

    note: Words = ""


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent to deny or to revoke: the reason, which stays at the site."""

    reason: Words


def request_row(home: str, site: str, request: OwnerRequest) -> Row:
    """Return a request as a line of a list.

    Parameters
    ----------
    home
        Id of the home, for the next question.
    site
        Its name.
    request
        As its owner sees it.
    """
    return {
        "home": home,
        "site": visible(site),
        "hash": request.hash,
        "status": request.status,
        "requester": visible(request.requester),
        "purpose": visible(request.purpose),
        "dataset": visible(request.contract.dataset),
        "received": utc(int(request.received)),
        "expires": utc(request.contract.expires),
        "look": len(request.notes),
    }


def request_card(home: str, site: str, request: OwnerRequest) -> Row:
    """Return a request in full: what an owner reads before deciding.

    ``page`` is the contract as `fednb.display` shows it everywhere: every field of it,
    and what the site's past tells about the requester's key.
    """
    return {
        **request_row(home, site, request),
        "purpose": visible(request.purpose, MAX_PURPOSE),
        "fingerprint": key_fingerprint(request.contract.requester_key),
        "note": visible(request.note, MAX_PURPOSE),
        "changes": list(request.changes.lines()),
        "page": tree_of(request._repr_html_()),
    }


def dataset_row(dataset: OwnerDataset) -> Row:
    """Return a dataset as its owner sees it: the number of patients is exact."""
    return {
        "name": visible(dataset.name),
        "patients": dataset.patients,
        "modalities": [visible(m) for m in dataset.card.modalities],
        "synthetic": dataset.card.synthetic,
    }
