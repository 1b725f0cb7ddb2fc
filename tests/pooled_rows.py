"""Rows dealt to sites, and rows as a time grid has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def split(frame: pd.DataFrame, *sites: str) -> dict[str, pd.DataFrame]:
    """Deal the rows of a table to sites, unevenly and in an order of their own."""
    order = np.random.default_rng(5).permutation(len(frame))
    cuts = np.cumsum([len(frame) // (i + 2) for i in range(len(sites) - 1)])
    parts = np.split(order, cuts)
    return {
        site: frame.iloc[np.sort(part)].reset_index(drop=True)
        for site, part in zip(sites, parts, strict=True)
    }


def gridded(table: pd.DataFrame, duration: str, event: str, ends, entry=None):
    """Return rows as the grid has them: times at ends, censored beyond the last."""
    edges = np.asarray(ends, float)
    cell = np.searchsorted(edges, table[duration], side="left")
    beyond = cell == edges.size
    out = table.assign(
        **{
            duration: edges[np.minimum(cell, edges.size - 1)],
            event: np.where(beyond, 0, table[event]),
        }
    )
    if entry:
        start = np.searchsorted(edges, table[entry], side="right")
        out[entry] = np.concatenate([[0.0], edges])[start]
        out = out[start < edges.size]
    return out
