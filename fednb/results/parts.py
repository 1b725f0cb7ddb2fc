"""What results share: where they come from, how that is shown, axes to draw on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.privacy.profiles import profile_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from fednb.display.html import Html
    from fednb.records.service import ReleaseLine

OPEN_PROFILE: Final = (
    "Open profile: exact values, without rounding or thresholds; for public or "
    "synthetic data only."
)
"""What a result of the open profile says about itself."""

MAX_LABEL: Final = 28
MAX_TITLE: Final = 60
"""Longest label in a plot."""

MAX_HEADING: Final = 1000
"""Characters of a heading, which names all sites."""

_HEADERS: Final = ("site", "step", "round", "output", "kind", "size")


class Origin(TypedDict):
    """The fields of `PooledResult`, to make one."""

    sites: tuple[str, ...]
    profile: str
    releases: tuple[ReleaseLine, ...]


@dataclass(frozen=True, repr=False, kw_only=True)
class PooledResult(Shown):
    """What is summed over sites, and says where it comes from.

    Attributes
    ----------
    sites
        Sites that took part.
    profile
        Disclosure profile under which they answered.
    releases
        What the numbers are made of.
    """

    sites: tuple[str, ...] = ()
    profile: str = "standard"
    releases: tuple[ReleaseLine, ...] = ()

    def _page_text(self, heading: str, *body: str) -> str:
        """Return lines below a heading, with what the profile must say."""
        last = releases_line(self.releases)
        return "\n".join([heading, *profile_lines(self.profile), *body, last])

    def _page_html(self, heading: Html, *body: object) -> Html:
        """Return the same as HTML."""
        says = [
            html.element("p", html.badge("caution", line))
            for line in profile_lines(self.profile)
        ]
        last = releases_html(self.releases)
        return html.element("div", heading, *says, *body, last)


def dataset_heading(what: str, dataset: str, result: PooledResult) -> str:
    """Return what of a dataset is shown, from which sites, under which profile."""
    count = text.counted(len(result.sites), "site")
    names = ", ".join(map(text.visible, result.sites))
    return (
        f"{what} of {text.visible(dataset)} from {count} ({names}), "
        f"profile {text.visible(result.profile)}"
    )


def sites_line(what: str, sites: Sequence[str]) -> str:
    """Return what a result is of, and at which sites."""
    return f"{what} at {', '.join(map(text.visible, sites))}"


def releases_html(releases: Sequence[ReleaseLine]) -> Html:
    """Return the releases behind a result, folded."""
    rows = [
        (
            r.site,
            r.step,
            r.round,
            r.name,
            r.kind,
            text.Digits(text.human_bytes(r.bytes)),
        )
        for r in releases
    ]
    return html.details(releases_line(releases), html.table(_HEADERS, rows))


def releases_line(releases: Sequence[ReleaseLine]) -> str:
    """Return how many releases there are, of which outputs and what size."""
    if not releases:
        return "no releases"
    names = ", ".join(sorted({text.visible(r.name) for r in releases}))
    total = text.human_bytes(sum(r.bytes for r in releases))
    return f"{text.counted(len(releases), 'release')} of {names}, {total} in all"


def new_axes(ax: Axes | None, lines: int = 0) -> Axes:
    """Return `ax`, or the axes of a new figure of pyplot; nothing is shown.

    Parameters
    ----------
    ax
        Axes that the caller gave, or None.
    lines
        Labelled lines that must fit above each other.
    """
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    size = (5.4, min(max(3.4, 1.0 + 0.3 * lines), 20.0))
    return plt.subplots(figsize=size, layout="constrained")[1]


def plain(label: object, limit: int = MAX_LABEL) -> str:
    """Return a label for a plot: visible, short, without matplotlib's mathematics."""
    shown = text.visible(label)
    short = shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
    return short.replace("$", r"\$")


def count_text(count: int, profile: str) -> str:
    """Return a count, or what stands for one below the profile's threshold.

    Zero and small look the same (disclosure rule 3).

    Raises
    ------
    UnknownNameError
        There is no such profile.
    """
    rules = profile_named(profile)
    return str(count) if count or rules.exact else f"<{rules.threshold}"


def profile_lines(profile: str) -> tuple[str, ...]:
    """Return what a result must say about its profile; nothing for the usual ones."""
    return (OPEN_PROFILE,) if profile == "open" else ()
