"""The sites' keys that a scientist trusts, kept beside the scientist's own key.

Trust on first use, as SSH has it: the first keys seen of a site are the site's, in this
notebook and all later ones, until the scientist accepts others by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.errors import HomeError, IntegrityError
from fednb.records.base import check_name
from fednb.records.keys import digits_of, grouped, is_fingerprint
from fednb.storage import write_over, written_once

if TYPE_CHECKING:
    from pathlib import Path


class KnownSites:
    """Fingerprints of sites' keys, a file a site.

    Parameters
    ----------
    folder
        Made on first use, mode 0700.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def first(self, site: str, fingerprint: str) -> str:
        """Return the fingerprint that is trusted; that of a new site is now seen.

        Parameters
        ----------
        site
            Its name.
        fingerprint
            Of the keys that it has now, `fednb.records.keys.site_fingerprint`.

        Raises
        ------
        IntegrityError
            What is kept of the site is damaged.
        HomeError
            It could not be read or stored.
        """
        path = self._path(site)
        try:
            kept = written_once(path, fingerprint.encode()).decode("ascii", "replace")
        except OSError as error:
            raise _unkept(path, error) from error
        if not is_fingerprint(kept):
            message = (
                f"{path} holds no fingerprint of the keys of {site}. Ask the site "
                "owner for it by telephone and write it there."
            )
            raise IntegrityError(message)
        return grouped(digits_of(kept))

    def accept(self, site: str, fingerprint: str) -> None:
        """Trust other keys of a site from now on.

        Raises
        ------
        HomeError
            It could not be stored.
        """
        path = self._path(site)
        try:
            write_over(path, fingerprint.encode())
        except OSError as error:
            raise _unkept(path, error) from error

    def _path(self, site: str) -> Path:
        check_name("site", site)
        return self._folder / site


def _unkept(path: Path, error: OSError) -> HomeError:
    return HomeError(
        f"{path} could not be read or written ({error.strerror}). Without it a changed "
        "key would pass unnoticed: make the folder yours to write."
    )
