"""A datasite whose key changed: the scientist is told, and decides."""

from __future__ import annotations

import shutil

import pytest
from clinics import COLUMNS, clinic, federate

from fednb.embedded.federation import Federation
from fednb.errors import IntegrityError
from fednb.owner import SiteOwner
from fednb.records.keys import site_fingerprint
from fednb.records.tasks import StatisticsPlan


def test_a_changed_key_is_noticed_and_accepted_by_its_fingerprint(tmp_path):
    with federate(tmp_path) as fed:
        site = fed["a"]
        assert site.datasets["clinic"]
        old = fed.owner("a").fingerprint
        # the scientist keeps the handle while the site is stopped and rotated
        fed._servers["a"].close()
        with SiteOwner(tmp_path / "a").rotate_keys() as owner:
            new = owner.fingerprint
        with Federation({"a": tmp_path / "a"}, tmp_path / "second") as again:
            site.send = again["a"].send
            with pytest.raises(IntegrityError) as caught:
                _ = site.datasets
            assert caught.value.site == "a"
            assert str(caught.value) == (
                f"The keys of a changed: they were {old}, they are {new}. Ask the site "
                "owner by telephone. If they changed them, call "
                f"fed['a'].accept_key(\"{new}\") and request contracts anew: earlier "
                "ones name the old keys."
            )
            with pytest.raises(IntegrityError, match="Nothing was accepted"):
                site.accept_key(old)
            with pytest.raises(IntegrityError, match="The keys of a changed"):
                _ = site.datasets
            site.accept_key(new.upper())
            assert site.datasets["clinic"].card.signing_key


def impersonated(folder):
    """Let an attacker set up a site a with keys of their own; return a's card too."""
    with federate(folder) as fed:
        before = fed["a"].datasets["clinic"].card
        assert not fed.datasets.away
    shutil.rmtree(folder / "a")
    federate(folder / "attacker").close()
    shutil.move(folder / "attacker" / "a", folder / "a")
    return {name: folder / name for name in "abc"}, before


def test_the_other_sites_are_listed_all_the_same(tmp_path):
    homes, _ = impersonated(tmp_path)
    with Federation(homes, tmp_path / "coordinator") as fed:
        for found in (fed.datasets, fed.datasets.search("clinic")):
            assert [d.card.site for d in found] == ["b", "c"]
            assert list(found.away) == ["a"]
            for words in (repr(found), found._repr_html_()):
                assert "Not listed: a. The keys of a changed: they were " in words
                assert "earlier ones name the old keys." in words
        with pytest.raises(IntegrityError, match="The keys of a changed"):
            _ = fed["a"].datasets


def test_keys_that_one_notebook_saw_are_asked_for_in_all_later_ones(tmp_path):
    homes, before = impersonated(tmp_path)
    asked = {"purpose": "to be tricked", "dataset": "clinic"}
    with Federation(homes, tmp_path / "coordinator") as fed:
        theirs = fed.owner("a").fingerprint
        with pytest.raises(IntegrityError, match=f"they are {theirs}"):
            fed.request(StatisticsPlan(("age",)), **asked)
        with pytest.raises(IntegrityError, match="The keys of a changed"):
            fed.statistics("clinic", ["age"])
        with pytest.raises(IntegrityError, match="The keys of a changed"):
            fed.describe("clinic")
        with pytest.raises(IntegrityError, match="The keys of a changed"):
            fed["a"].mock_files("clinic")
        assert not fed.requests
        # the owner, on the telephone, reads out what they always had
        own = site_fingerprint(before.signing_key, before.agreement_key)
        with pytest.raises(IntegrityError, match="Nothing was accepted"):
            fed["a"].accept_key(own)
        assert len(fed["b"].datasets) == 1
    with Federation(homes, tmp_path / "coordinator") as fed:
        with pytest.raises(IntegrityError, match=f"they were {own}"):
            _ = fed["a"].datasets
        fed["a"].accept_key(theirs)
    with Federation(homes, tmp_path / "coordinator") as fed:
        assert fed["a"].datasets["clinic"].card.signing_key != before.signing_key


def test_after_a_rotation_earlier_requests_are_final_and_new_ones_pass(tmp_path):
    frames = {name: clinic(name) for name in "abc"}
    options = {"dataset": "clinic", "columns": COLUMNS, "folder": tmp_path}
    plan = StatisticsPlan(("age",))
    with Federation.from_frames(frames, **options) as fed:
        earlier = fed.request(plan, purpose="before", dataset="clinic").hash
    with SiteOwner(tmp_path / "a") as owner:
        owner.rotate_keys()
    homes = {name: tmp_path / name for name in "abc"}
    with Federation(homes, tmp_path / "coordinator") as fed:
        (known,) = [r for r in fed.requests if r.hash == earlier]
        assert known.status == {"a": "denied", "b": "pending", "c": "pending"}
        # the other sites' owners hear of it by telephone too
        for name in "bc":
            fed.owner(name).peers.confirm("a", fed.owner("a").fingerprint)
        fed["a"].accept_key(fed.owner("a").fingerprint)
        later = fed.request(plan, purpose="after", dataset="clinic")
        assert set(later.status.values()) == {"pending"}
