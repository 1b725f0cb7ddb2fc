"""What a coordinator takes for a site's release: only what that site signed for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from clinics import federate

from fednb.errors import IntegrityError, WireError
from fednb.records.arrays import pack, unpack
from fednb.records.curves import SurvivalPlan
from fednb.records.messages import Release
from fednb.site.keys import SiteKeys
from fednb.wire.codec import decode_reply, encode

CURVE = SurvivalPlan("os_months", "death", (20.0, 40.0))
Forge = Callable[[Release, SiteKeys], Release]
replace = msgspec.structs.replace


def _with_data(release: Release, change: Callable) -> Release:
    outputs = [replace(o, data=pack(change(unpack(o.data)))) for o in release.outputs]
    return replace(release, outputs=tuple(outputs))


def another_number(release: Release, _: SiteKeys) -> Release:
    return _with_data(release, lambda data: np.asarray(data) + 1)


def another_signer(release: Release, stranger: SiteKeys) -> Release:
    forged = another_number(release, stranger)
    leaves = tuple(output.leaf() for output in forged.outputs)
    return replace(forged, attestation=stranger.attest(release.head, leaves))


def another_head(release: Release, _: SiteKeys) -> Release:
    attestation = replace(release.attestation, head=bytes(32))
    return replace(release, attestation=attestation)


def another_round(release: Release, _: SiteKeys) -> Release:
    outputs = [
        replace(o, place=replace(o.place, round=o.place.round + 1))
        for o in release.outputs
    ]
    return replace(release, outputs=tuple(outputs))


def another_site(release: Release, _: SiteKeys) -> Release:
    outputs = [replace(output, site="a") for output in release.outputs]
    return replace(release, outputs=tuple(outputs))


def nothing(release: Release, stranger: SiteKeys) -> Release:
    del stranger
    return replace(release, outputs=())


@pytest.fixture
def fed(tmp_path):
    with federate(tmp_path / "fed", approve="auto") as found:
        yield found


def forge(fed, how: Forge, stranger: SiteKeys) -> None:
    """Have the transport change what site b releases."""
    handlers = fed.transport._handlers
    own = handlers["b"]

    def changed(frame: bytes) -> bytes:
        answer = own(frame)
        reply = decode_reply(answer)
        if isinstance(reply, Release):
            return encode(how(reply, stranger))
        return answer

    handlers["b"] = changed


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (another_number, "A release of b does not bear its signature."),
        (another_signer, "A release of b does not bear its signature."),
        (another_head, "A release of b does not bear its signature."),
        (nothing, "A release of b does not bear its signature."),
        (another_round, "An output of b belongs to another round."),
        (another_site, "An output of b belongs to another round."),
    ],
)
def test_what_a_site_did_not_sign_is_in_no_result(fed, tmp_path, how, told):
    stranger = SiteKeys(tmp_path)
    forge(fed, how, stranger)
    run = fed.request(CURVE, purpose="survival").start()
    for asked in (lambda: fed.statistics("clinic", ["age"]), run.result):
        with pytest.raises(IntegrityError) as caught:
            asked()
        assert (str(caught.value), caught.value.site) == (told, "b")
    assert run.status == "failed"


def test_an_answer_of_another_kind_names_the_site(fed):
    fed.transport._handlers["b"] = fed.transport._handlers["a"]
    with pytest.raises(WireError) as caught:
        fed["b"].ping()
    assert str(caught.value) == "The answer of b bears the name 'a'."
    assert caught.value.site == "b"
