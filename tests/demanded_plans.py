"""Plans as a requester may write them: fields drawn apart, at the edge of the rules."""

from __future__ import annotations

from clinics import COLUMNS
from hypothesis import strategies as st

from fednb.errors import PlanError
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.code import Code
from fednb.records.curves import SurvivalPlan
from fednb.records.datasets import Column
from fednb.records.dp import DP
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import SplitSpec, StrategySpec
from fednb.records.tasks import DescribePlan, StatisticsPlan, TrainingPlan

DECLARED = (
    *COLUMNS,
    Column(name="marker", kind="number", lower=0, upper=10, step=1),
    Column(name="mutation", kind="binary"),
    Column(name="grade", kind="category", levels=("1", "2", "3")),
)
OUTCOMES = st.sampled_from(["death", "death", "idh", "mutation"])
NAMES = ("age", "marker", "os_months", "idh", "mutation", "sex", "grade")
LABELS = ("sex", "grade", "idh")
FRACTIONS = st.sampled_from([0.0, 0.02, 0.1, 0.2, 0.5, 0.8, 1.0])
SMALL = st.floats(-4, 4).map(lambda x: round(x, 3))
PARTS = st.sampled_from(["all", "all", "all", "train", "validation", "test"])


@st.composite
def splits(draw):
    train = draw(FRACTIONS)
    test = draw(FRACTIONS.map(lambda share: share * (1 - train)))
    column = draw(st.sampled_from(["", "", "", "", "", "", "sex"]))
    key = draw(st.sampled_from(["default", "other"]))
    return SplitSpec(train, 1 - train - test, test, key, column)


def grids(most: float, size: int):
    ends = st.floats(1e-3, most, allow_subnormal=False)
    return st.lists(ends, max_size=size, unique=True).map(lambda e: tuple(sorted(e)))


def plans(kind, **fields):
    """Return plans of fields drawn apart, but for those that nobody can write."""

    def made(values):
        try:
            return kind(**values)
        except PlanError:
            return None

    return st.fixed_dictionaries(fields).map(made).filter(bool)


def statistics():
    return plans(
        StatisticsPlan,
        columns=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)
        .map(dict.fromkeys)
        .map(tuple),
        by=st.sampled_from(["", *LABELS]),
        quantiles=st.lists(st.floats(0.05, 0.95), max_size=5).map(tuple),
        bins=st.integers(1, 20),
    )


TERMS = st.sampled_from(
    [
        "age",
        "idh + age",
        "age",
        "idh",
        "mutation",
        "marker",
        "age * idh",
        "C(grade) + age",
        "C(grade):mutation",
        "ns(age, 40, 41) + sex",
        "bs(age, 59.9, 60)",
    ]
)
HEADS = {
    "formula": TERMS,
    "penalizer": st.sampled_from([0.0, 0.1, 5.0]),
    "l1_ratio": st.sampled_from([0.0, 0.5]),
    "split": splits(),
    "fit_on": PARTS,
    "evaluate_on": PARTS | st.just("none"),
    "tolerance": st.sampled_from([1e-9, 0.1, -1.0]),
    "max_evaluations": st.integers(1, 12),
    "levels": st.just({}) | st.just({"grade": ("2", "3")}) | st.just({"sex": ("M",)}),
}


def cox():
    return plans(
        CoxPlan,
        duration=st.just("os_months"),
        event=st.sampled_from(["death", "death", "mutation"]),
        strata=st.sampled_from([("site",), ("site",), ("site", "sex"), ("grade",), ()]),
        ties=st.sampled_from(["efron", "breslow"]),
        grid=st.just(()) | st.just(()) | grids(120, 6),
        weights=st.sampled_from(["", "", "", "age", "marker"]),
        entry=st.sampled_from(["", "", "", "", "marker"]),
        robust=st.booleans(),
        ph_test=st.sampled_from(["none", "none", "none", "log", "identity"]),
        **HEADS,
    )


def logistic():
    return plans(LogisticPlan, target=OUTCOMES, **HEADS)


def curves():
    return plans(
        SurvivalPlan,
        duration=st.just("os_months"),
        event=st.just("death"),
        grid=grids(200, 30).filter(bool),
        by=st.sampled_from(["", "sex", "grade", "mutation"]),
        entry=st.sampled_from(["", "", "", "marker"]),
        competing=st.sampled_from(["", "", "idh"]),
    )


SPREAD = {"age": 20, "marker": 4, "idh": 1, "mutation": 1}
SWEEP = tuple(i / 200 for i in range(1, 200))


@st.composite
def assessments(draw):
    family = draw(st.sampled_from(["cox", "logistic"]))
    names = draw(
        st.sampled_from([("age",), ("idh", "age"), ("mutation",), ("marker",)])
    )
    numbers = tuple(round(draw(SMALL) / SPREAD[name], 3) for name in names)
    model = FixedModel(family, numbers, names, intercept=draw(SMALL))
    outcome = {"target": draw(OUTCOMES)}
    if family == "cox":
        outcome = {
            "duration": "os_months",
            "event": "death",
            "times": draw(grids(150, 8)),
        }
    return AssessmentPlan(
        model,
        **outcome,
        on=draw(PARTS),
        split=draw(splits()),
        bins=draw(st.sampled_from([2, 10, 20, 40])),
        subgroups=draw(st.sampled_from([(), ("grade",), ("sex", "mutation")])),
        thresholds=draw(
            st.sampled_from([(), (0.5,), tuple(i / 200 for i in range(1, 200))])
        ),
    )


OWN = Code("Own", "import torch\n\nclass Own(torch.nn.Module):\n    pass\n")


def trainings():
    private = st.builds(
        DP,
        epsilon=st.sampled_from([0.5, 8.0, 8.01, 100.0]),
        noise_multiplier=st.sampled_from([0.3, 1.0, 4.0]),
        delta=st.sampled_from([1e-6, 1e-5, 1e-3]),
        sampling_rate=st.sampled_from([0.01, 0.3, 1.0]),
        steps=st.integers(1, 20),
        patients=st.sampled_from([1.0, 100.0]),
    )
    names = ["fedavg", "fedprox", "cyclic", "scaffold", "fedadam", "nobody"]
    return plans(
        TrainingPlan,
        model=st.sampled_from(["small-cnn-3d"] * 9 + [OWN]),
        target=st.sampled_from(["idh", "age"]),
        strategy=st.sampled_from(names).map(StrategySpec),
        rounds=st.sampled_from([1, 2, 20, 21]),
        local_epochs=st.integers(1, 3),
        batch_size=st.integers(1, 4),
        covariates=st.sampled_from([(), ("age",)]),
        split=splits(),
        device=st.sampled_from(["cpu", "auto", "auto", "auto", "cuda"]),
        validate_every=st.integers(0, 1),
        dp=st.none() | st.none() | private,
    )


PLANS = {
    "describe": plans(
        DescribePlan,
        columns=st.none() | st.lists(st.sampled_from(NAMES), max_size=4).map(tuple),
        modalities=st.just(()) | st.just(("PET",)) | st.none(),
    ),
    "statistics": statistics(),
    "cox": cox(),
    "logistic": logistic(),
    "curves": curves(),
    "assessment": assessments(),
    "training": trainings(),
}


EVERYBODY = {"split": SplitSpec(1.0, 0.0, 0.0), "fit_on": "train"}
PLAIN = {
    "describe": DescribePlan(("age", "grade"), ()),
    "statistics": StatisticsPlan(("age", "grade"), "sex"),
    "cox": CoxPlan(
        covariates=("age",), duration="os_months", event="death", **EVERYBODY
    ),
    "logistic": LogisticPlan(target="death", covariates=("age",), **EVERYBODY),
    "curves": SurvivalPlan("os_months", "death", (12, 24, 60), "sex"),
    "assessment": AssessmentPlan(
        FixedModel("logistic", (0.05,), ("age",)), target="death", on="all"
    ),
    "training": TrainingPlan("small-cnn-3d", "idh", rounds=2, device="cpu"),
}
"""What an honest requester would ask for."""
