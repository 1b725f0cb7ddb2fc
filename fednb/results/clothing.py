"""The clothing of a Cox result: the attributes of lifelines' fitter."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def lifelines_attributes(result: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what ``SemiParametricPHFitter.fit`` would have set.

    lifelines fits from rows and has no constructor from estimates. No value here stands
    for a patient: the two weighted rows carry the numbers of events and of censored.
    """
    import pandas as pd
    from lifelines.utils import CensoringType, CovariateParameterMappings

    fit = result.estimate
    names = list(fit.names)
    columns = pd.DataFrame(columns=names)
    means = pd.Series(fit.center, index=names)
    return {
        **_curves(result),
        "duration_col": result.duration,
        "event_col": result.event,
        "weights_col": None,
        "entry_col": None,
        "cluster_col": None,
        "entries": None,
        "formula": None,
        "robust": result.robust,
        "regressors": CovariateParameterMappings(
            {"beta_": None}, columns, force_no_intercept=True
        ),
        "params_": result.params_,
        "variance_matrix_": result.variance_matrix_,
        "standard_errors_": result.standard_errors_,
        "confidence_intervals_": result.confidence_intervals_,
        "log_likelihood_": result.log_likelihood_,
        "event_observed": pd.Series([1, 0]),
        "weights": pd.Series([float(fit.events), float(fit.n - fit.events)]),
        "_n_examples": fit.n,
        "_norm_mean": means,
        "_central_values": means.to_frame().T,
        "_ll_null_": fit.log_likelihood_null,
        "_concordance_index_": result.concordance_index_,
        "_censoring_type": CensoringType.RIGHT,
        "_time_fit_was_called": "at the sites, by fednb",
    }


def _curves(result: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the baseline of all sites pooled, under lifelines' names."""
    import pandas as pd

    known = result.baseline
    if known is None:
        return {"timeline": np.empty(0)}
    ends = pd.Index(known.ends)
    keys = list(itertools.product(*known.levels))
    single = [key[0] if len(key) == 1 else key for key in keys]

    def frame(values: Floats, name: str) -> pd.DataFrame:
        columns = single if known.strata else [name]
        return pd.DataFrame(values.T, index=ends, columns=columns)

    hazard = known.hazard("breslow")
    return {
        "timeline": np.asarray(known.ends),
        "baseline_hazard_": frame(known.steps("breslow"), "baseline hazard"),
        "baseline_cumulative_hazard_": frame(hazard, "baseline cumulative hazard"),
        "baseline_survival_": frame(np.exp(-hazard), "baseline survival"),
    }
