"""Totals over sites, read alike by the coordinator and by every site that checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fednb.errors import IntegrityError
from fednb.privacy.fixed_point import CHUNK
from fednb.privacy.secure_sum import FixedPoint, totals, unmask_sum, updates
from fednb.records.arrays import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fednb.records.outputs import Output

    Flat = NDArray[np.float32]


TOTALS: Final = frozenset({"metrics", "baseline"})
"""Outputs of a training step that are totals; others are shares of a mean."""


def fixed_point(name: str, parties: int, *, training: bool) -> FixedPoint:
    """Return how an output is encoded: 32 bits for updates, 64 for totals."""
    if training and name not in TOTALS:
        return updates(parties)
    return totals(parties)


def total(
    outputs: Sequence[Output], sites: Sequence[str], *, training: bool
) -> NDArray[np.float64]:
    """Return the sum of one output over all sites.

    Parameters
    ----------
    outputs
        The same output of each site, masked or in the clear.
    sites
        All participants in site-name order.
    training
        Whether the output belongs to a training step.

    Raises
    ------
    IntegrityError
        A site is missing or twice, or the outputs do not belong together.
    """
    vectors = _together(outputs, sites)
    first = outputs[0]
    if first.kind == "masked":
        encoding = fixed_point(first.name, len(sites), training=training)
        return encoding.decode(unmask_sum(vectors, tuple(sites)))
    result = np.zeros(first.data.shape, dtype=np.float64)
    for site in sites:
        # converts block by block: no second array of the whole size
        np.add(result, vectors[site], out=result)
    return result


def total_update(outputs: Sequence[Output], sites: Sequence[str]) -> Flat:
    """Return the sum of a vector of network weights over all sites, as float32.

    Each element is summed in float64 and rounded once, block by block, so that the
    total of a large network needs no float64 array of its size.

    Parameters
    ----------
    outputs, sites
        See `total`; the outputs are of a training step, and not its metrics.

    Raises
    ------
    IntegrityError
        As `total`.
    """
    vectors = _together(outputs, sites)
    first = outputs[0]
    result = np.empty(first.data.shape, dtype=np.float32)
    if first.kind == "masked":
        encoding = fixed_point(first.name, len(sites), training=True)
        ring = unmask_sum(vectors, tuple(sites))
        for part in _blocks(result):
            result[part] = encoding.decode(ring[part])
        return result
    for part in _blocks(result):
        wide = np.zeros(result[part].shape, dtype=np.float64)
        for site in sites:
            wide += vectors[site][part]  # type: ignore[arg-type]
        result[part] = wide
    return result


def total_state(
    outputs: Sequence[Output], sites: Sequence[str]
) -> NDArray[np.floating[Any]]:
    """Return the sum from which a strategy's state follows: float64 for totals.

    Parameters
    ----------
    outputs, sites
        See `total_update`.

    Raises
    ------
    IntegrityError
        As `total`.
    """
    if outputs and outputs[0].name in TOTALS:
        return total(outputs, sites, training=True)
    return total_update(outputs, sites)


def _blocks(vector: Flat) -> Iterator[slice]:
    """Yield slices that cover a vector, each small enough for a core's cache."""
    for start in range(0, len(vector), CHUNK):
        yield slice(start, start + CHUNK)


def _together(
    outputs: Sequence[Output], sites: Sequence[str]
) -> dict[str, NDArray[np.generic]]:
    """Return the vectors of one output by site, if they are all there and alike."""
    by_site = {output.site: output for output in outputs}
    if sorted(by_site) != sorted(sites) or len(outputs) != len(sites):
        message = (
            f"A sum over {', '.join(sites)} was given parts of "
            f"{', '.join(sorted(o.site for o in outputs)) or 'nobody'}."
        )
        raise IntegrityError(message)
    same = {(o.place, o.name, o.kind, o.data.shape) for o in outputs}
    if len(same) != 1:
        message = f"Parts of different rounds or outputs cannot be summed: {same}."
        raise IntegrityError(message)
    return {site: unpack(by_site[site].data) for site in sites}
