"""Survival curves as tables of pandas."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError
from fednb.survival.rmst import restricted_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from fednb.survival.aalen_johansen import CumulativeIncidence
    from fednb.survival.kaplan_meier import SurvivalCurve

    Curves = Mapping[str, SurvivalCurve]


def survival_table(curves: Curves, ends: Sequence[float], time: str) -> pd.DataFrame:
    """Return survival by time and group; missing after the end of a curve.

    Parameters
    ----------
    curves
        By group.
    ends
        Of the intervals of the longest curve.
    time
        Name of the index.
    """
    import pandas as pd

    columns = {}
    for group, curve in curves.items():
        values = np.full(len(ends) + 1, np.nan)
        values[: curve.time.size + 1] = np.append(1.0, curve.survival)
        columns[group] = values
    return pd.DataFrame(columns, index=pd.Index([0.0, *ends], name=time))


def curves_table(curves: Curves, time: str, level: float) -> pd.DataFrame:
    """Return a row a group and interval; arguments as for `survival_table`."""
    import pandas as pd

    names = ["at_risk", "events", "survival", "se", "lower", "upper"]
    none = pd.DataFrame(columns=["group", time, *names], dtype=np.float64)
    frames = [none] if not curves else []
    for group, curve in curves.items():
        counts = (curve.at_risk, curve.deaths, curve.survival, curve.std_error)
        data = dict(zip(names, (*counts, *curve.band(level)), strict=True))
        frames.append(pd.DataFrame({"group": group, time: curve.time, **data}))
    return pd.concat(frames).set_index(["group", time])


def table_at(
    curves: Curves, times: Sequence[float], time: str, level: float
) -> pd.DataFrame:
    """Return survival with bounds at given times.

    Parameters
    ----------
    curves, time
        As for `survival_table`.
    times
        Within every curve.
    level
        Of the bounds.

    Raises
    ------
    InputError
        A curve does not reach a time.
    """
    import pandas as pd

    rows = []
    for group, curve in curves.items():
        bounds = curve.band(level)
        for asked in times:
            if not 0 <= asked <= curve.time[-1]:
                message = (
                    f"The curve of {group!r} runs from 0 to {curve.time[-1]:g}; got "
                    f"{asked:g}."
                )
                raise InputError(message)
            step = int(np.searchsorted(curve.time, asked, side="right"))
            values = (curve.survival, *bounds)
            found = [float(np.append(1.0, value)[step]) for value in values]
            rows.append((group, float(asked), *found))
    names = ["group", time, "survival", "lower", "upper"]
    return pd.DataFrame(rows, columns=names).set_index(["group", time])


def means_table(curves: Curves, horizon: float, level: float) -> pd.DataFrame:
    """Return restricted means and their differences to the first group's.

    Parameters
    ----------
    curves
        By group.
    horizon
        0: the end of the shortest curve.
    level
        Of the bounds.

    Raises
    ------
    InputError
        A curve does not reach the horizon, or the level lies outside (0, 1).
    """
    import pandas as pd

    if not 0 < level < 1:
        message = f"The confidence level is {level}; it lies between 0 and 1."
        raise InputError(message)
    shortest = min((float(c.time[-1]) for c in curves.values()), default=0.0)
    cut = horizon or shortest
    means = {group: restricted_mean(curve, cut) for group, curve in curves.items()}
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rows: list[tuple[object, ...]] = []
    for group, mean in means.items():
        first = next(iter(means.values()))
        gap = mean.value - first.value
        error = 0.0 if mean is first else math.hypot(mean.std_error, first.std_error)
        chance = math.erfc(abs(gap) / error / math.sqrt(2)) if error > 0 else 1.0
        half, apart = z * mean.std_error, z * error
        own = (mean.value, mean.std_error, mean.value - half, mean.value + half)
        rows.append((group, *own, gap, gap - apart, gap + apart, chance))
    names = ["group", "rmst", "se", "lower", "upper", "difference"]
    names += ["difference lower", "difference upper", "p"]
    return pd.DataFrame(rows, columns=names).set_index("group")


def incidence_table(
    found: CumulativeIncidence, causes: Sequence[str], time: str, level: float
) -> pd.DataFrame:
    """Return a row a cause and time, from time 0 on.

    Parameters
    ----------
    found
        Incidences of the causes.
    causes
        Their names.
    time
        Name of the index.
    level
        Of the bounds, normal and within 0 and 1.

    Raises
    ------
    InputError
        The level lies outside (0, 1).
    """
    import pandas as pd

    if not 0 < level < 1:
        message = f"The confidence level is {level}; it lies between 0 and 1."
        raise InputError(message)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    frames = []
    for place, cause in enumerate(causes):
        value = np.append(0.0, found.incidence[place])
        error = np.append(0.0, found.std_error[place])
        data = {
            "cause": cause,
            time: np.append(0.0, found.time),
            "incidence": value,
            "se": error,
            "lower": np.clip(value - z * error, 0, 1),
            "upper": np.clip(value + z * error, 0, 1),
        }
        frames.append(pd.DataFrame(data))
    return pd.concat(frames).set_index(["cause", time])
