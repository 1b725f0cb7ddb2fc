"""Totals over sites, read alike by the coordinator and by every site that checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import IntegrityError
from fednb.privacy.secure_sum import FixedPoint, totals, unmask_sum, updates
from fednb.records.arrays import unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fednb.records.outputs import Output


def fixed_point(name: str, parties: int, *, training: bool) -> FixedPoint:
    """Return how an output is encoded: 32 bits for updates, 64 for totals."""
    if training and name != "metrics":
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
    first = outputs[0]
    vectors = {site: unpack(by_site[site].data) for site in sites}
    if first.kind == "masked":
        encoding = fixed_point(first.name, len(sites), training=training)
        return encoding.decode(unmask_sum(vectors, tuple(sites)))
    result = np.zeros(first.data.shape, dtype=np.float64)
    for site in sites:
        # converts block by block: no second array of the whole size
        np.add(result, vectors[site], out=result)
    return result
