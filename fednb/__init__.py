"""Federated training on medical images that never leave their hospitals.

::

    import fednb

    fed = fednb.demo()  # three synthetic hospitals, in this process
    fed.describe("glioma-mri")  # how many patients have what
    fed.statistics("glioma-mri", ["age", "idh"], by="sex")
    plan = fednb.TrainingPlan(model="small-cnn-3d", target="idh", rounds=10)
    request = fed.request(plan, dataset="glioma-mri", purpose="IDH from MRI")
    result = request.wait().start().result(progress=True)

Everything is imported on first use: ``import fednb`` loads no torch and no pandas.
Under a Jupyter kernel, federations, runs and requests show themselves as live widgets.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fednb import errors, strategies
    from fednb.embedded.federation import Federation
    from fednb.embedded.rehearse import rehearse
    from fednb.flare.session import connect
    from fednb.owner import SiteOwner
    from fednb.phantom.demo import DemoSize, demo
    from fednb.records.assessment import AssessmentPlan, FixedModel
    from fednb.records.code import Code
    from fednb.records.contracts import Contract, Resources
    from fednb.records.curves import SurvivalPlan
    from fednb.records.datasets import Column, DatasetCard
    from fednb.records.dp import DP
    from fednb.records.heads import CoxPlan, LogisticPlan
    from fednb.records.outcomes import Survival
    from fednb.records.specs import ModelSpec, SplitSpec, TransformSpec
    from fednb.records.studies import EMBEDDING, StudyPlan
    from fednb.records.tasks import (
        DescribePlan,
        EmbeddingPlan,
        EvaluationPlan,
        StatisticsPlan,
        TrainingPlan,
    )

__version__ = "0.1.0"

_WHERE = {
    "AssessmentPlan": "fednb.records.assessment",
    "Code": "fednb.records.code",
    "Column": "fednb.records.datasets",
    "Contract": "fednb.records.contracts",
    "CoxPlan": "fednb.records.heads",
    "DP": "fednb.records.dp",
    "DatasetCard": "fednb.records.datasets",
    "DemoSize": "fednb.phantom.demo",
    "DescribePlan": "fednb.records.tasks",
    "EMBEDDING": "fednb.records.studies",
    "EmbeddingPlan": "fednb.records.tasks",
    "EvaluationPlan": "fednb.records.tasks",
    "Federation": "fednb.embedded.federation",
    "FixedModel": "fednb.records.assessment",
    "LogisticPlan": "fednb.records.heads",
    "ModelSpec": "fednb.records.specs",
    "Resources": "fednb.records.contracts",
    "SiteOwner": "fednb.owner",
    "SplitSpec": "fednb.records.specs",
    "StatisticsPlan": "fednb.records.tasks",
    "StudyPlan": "fednb.records.studies",
    "Survival": "fednb.records.outcomes",
    "SurvivalPlan": "fednb.records.curves",
    "TrainingPlan": "fednb.records.tasks",
    "TransformSpec": "fednb.records.specs",
    "connect": "fednb.flare.session",
    "demo": "fednb.phantom.demo",
    "errors": "",
    "rehearse": "fednb.embedded.rehearse",
    "strategies": "",
}

__all__ = [
    "DP",
    "EMBEDDING",
    "AssessmentPlan",
    "Code",
    "Column",
    "Contract",
    "CoxPlan",
    "DatasetCard",
    "DemoSize",
    "DescribePlan",
    "EmbeddingPlan",
    "EvaluationPlan",
    "Federation",
    "FixedModel",
    "LogisticPlan",
    "ModelSpec",
    "Resources",
    "SiteOwner",
    "SplitSpec",
    "StatisticsPlan",
    "StudyPlan",
    "Survival",
    "SurvivalPlan",
    "TrainingPlan",
    "TransformSpec",
    "connect",
    "demo",
    "errors",
    "rehearse",
    "strategies",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import a public name on first use (PEP 562)."""
    where = _WHERE.get(name)
    if where is None:
        message = f"module 'fednb' has no attribute {name!r}"
        raise AttributeError(message)
    if not where:
        return importlib.import_module(f"fednb.{name}")
    value = getattr(importlib.import_module(where), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def _in_kernel() -> bool:
    """Return whether a Jupyter kernel runs this, which widgets can talk through."""
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return getattr(find_shell(), "kernel", None) is not None


if _in_kernel():
    importlib.import_module("fednb.display.hooks").register_front_end("fednb.widgets")
