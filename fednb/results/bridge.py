"""A federated Cox fit in the clothing of lifelines.

lifelines fits from rows and has no constructor from estimates, so the attributes that
its methods read are set here. Nothing in it stands for a patient: the two weighted
rows below only carry the numbers of events and of censored patients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fednb.results.survival import CoxResult


def to_lifelines(result: CoxResult) -> Any:  # noqa: ANN401
    """Return a ``lifelines.CoxPHFitter`` that holds the fit.

    Parameters
    ----------
    result
        A Cox fit.

    Returns
    -------
    lifelines.CoxPHFitter
        See `CoxResult.to_lifelines`.
    """
    from lifelines import CoxPHFitter
    from lifelines.fitters.coxph_fitter import SemiParametricPHFitter

    given = {
        "penalizer": result.penalizer,
        "strata": result.strata or None,
        "alpha": 1 - result.level,
    }
    fitter = CoxPHFitter(**given)
    model = SemiParametricPHFitter(**given)
    vars(model).update(_fitted(result))
    described = {
        "duration_col": result.duration,
        "event_col": result.event,
        "_model": model,
    }
    vars(fitter).update(described)
    return fitter


def _fitted(result: CoxResult) -> dict[str, Any]:
    """Return the attributes that ``SemiParametricPHFitter.fit`` would have set."""
    import pandas as pd
    from lifelines.utils import CensoringType, CovariateParameterMappings

    fit = result.estimate
    names = list(fit.names)
    columns = pd.DataFrame(columns=names)
    means = pd.Series(fit.center, index=names)
    return {
        "duration_col": result.duration,
        "event_col": result.event,
        "weights_col": None,
        "entry_col": None,
        "cluster_col": None,
        "entries": None,
        "formula": None,
        "robust": False,
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
        "timeline": np.empty(0),
    }
