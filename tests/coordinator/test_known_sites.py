"""Which keys of sites a scientist trusts, from one notebook to the next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fednb.coordinator.known_sites import KnownSites
from fednb.errors import HomeError, InputError, IntegrityError
from fednb.records.keys import site_fingerprint

ONE, TWO = (site_fingerprint(c * 64, "0" * 64) for c in "ab")


def test_the_first_that_is_seen_is_trusted_until_another_is_accepted(tmp_path):
    known = KnownSites(tmp_path / "known")
    assert known.first("ucsf", ONE) == ONE
    assert known.first("ucsf", TWO) == ONE
    assert known.first("mayo", TWO) == TWO
    later = KnownSites(tmp_path / "known")
    assert later.first("ucsf", TWO) == ONE
    later.accept("ucsf", TWO)
    assert known.first("ucsf", ONE) == TWO
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "known").iterdir()} == {0o600}


def test_of_many_that_come_at_once_one_is_first(tmp_path):
    marks = [site_fingerprint(f"{i:064x}", "0" * 64) for i in range(16)]
    with ThreadPoolExecutor(16) as threads:
        found = set(
            threads.map(lambda m: KnownSites(tmp_path / "k").first("a", m), marks)
        )
    assert len(found) == 1
    assert [p.name for p in (tmp_path / "k").iterdir()] == ["a"]


def test_a_fingerprint_may_be_written_by_hand(tmp_path):
    (tmp_path / "a").write_text(ONE.upper() + "\n")
    assert KnownSites(tmp_path).first("a", TWO) == ONE


@pytest.mark.parametrize("kept", ["", ONE[:-1], "g" * 32, "\xff"])
def test_what_is_damaged_is_never_taken_for_a_first_time(tmp_path, kept):
    (tmp_path / "a").write_text(kept)
    with pytest.raises(IntegrityError) as caught:
        KnownSites(tmp_path).first("a", ONE)
    assert str(caught.value) == (
        f"{tmp_path / 'a'} holds no fingerprint of the keys of a. Ask the site owner "
        "for it by telephone and write it there."
    )


def test_where_nothing_can_be_kept_nothing_is_trusted(tmp_path):
    (tmp_path / "known").write_text("in the way")
    known = KnownSites(tmp_path / "known")
    with pytest.raises(HomeError, match="could not be read or written"):
        known.first("a", ONE)
    with pytest.raises(HomeError, match="a changed key would pass unnoticed"):
        known.accept("a", ONE)


def test_no_name_leads_out_of_the_folder(tmp_path):
    with pytest.raises(InputError, match="The name of a site has 1 to 64"):
        KnownSites(tmp_path / "known").first("../scientist", ONE)


def test_both_keys_of_a_site_count():
    assert site_fingerprint("a" * 64, "0" * 64) != site_fingerprint("a" * 64, "1" * 64)
    assert site_fingerprint("A" * 64, "0" * 64) == site_fingerprint("a" * 64, "0" * 64)
