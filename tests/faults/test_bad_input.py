"""What people get wrong: one clear error each, before anything runs or leaves."""

from __future__ import annotations

import numpy as np
import pytest
from clinics import COLUMNS, clinic, federate
from counterparty import ledger, releases

from fednb.embedded.federation import Federation
from fednb.errors import (
    DatasetError,
    FednbError,
    FitError,
    InputError,
    PlanError,
    RefusedError,
    UnknownNameError,
)
from fednb.phantom.demo import DATASET
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import ModelSpec, SplitSpec, TransformSpec
from fednb.records.tasks import TrainingPlan

WHOLE = SplitSpec(1.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    with federate(folder, approve="auto", profile="open") as fed:
        yield fed


@pytest.fixture(scope="module")
def images(hospitals):
    from small_studies import serve

    with serve(hospitals) as fed:
        yield fed


def training(**changes: object) -> TrainingPlan:
    given = {"model": "small-cnn-3d", "target": "idh", "size": (16, 16, 16)}
    return TrainingPlan(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet11-3d"}, r"^Unknown .*'resnet11-3d'\. Did you mean 'resnet"),
        ({"target": "idhh"}, r"^Unknown column 'idhh'\. Did you mean 'idh'\?"),
        ({"target": "age"}, r"^The target must be binary \(0 and 1\); 'age' is number"),
        (
            {"strategy": "fedavgg"},
            r"^Unknown strategy 'fedavgg'\. Did you mean 'fedav",
        ),
        ({"modalities": ("T9",)}, r"^Unknown modality 'T9'\."),
        (
            {"transforms": (TransformSpec("ZScoreInMusk"),)},
            r"^Unknown transform 'ZScoreInMusk'\. Did you mean 'ZScoreInMask'\?",
        ),
        ({"transforms": (TransformSpec("Lambda", {"func": "os.system"}),)}, "Lambda"),
        ({"model": ModelSpec("small-cnn-3d", {"depht": 3})}, "depht"),
        ({"covariates": ("nothing",)}, r"^Unknown column 'nothing'"),
        (
            {"strategy": "scaffold", "optimiser": "adamw"},
            r"^Strategy 'scaffold' needs sgd; got 'adamw'\.$",
        ),
    ],
)
def test_a_plan_that_names_nothing_that_exists_is_refused(images, changes, message):
    before = len(images.requests)
    with pytest.raises(InputError, match=message):
        images.request(training(**changes), dataset=DATASET, purpose="a typo")
    assert len(images.requests) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1; got 0."),
        ({"batch_size": -4}, "batch_size must be at least 1; got -4."),
        ({"learning_rate": 0.0}, "learning_rate must lie in (0, 10); got 0.0."),
        ({"threads": 0}, "threads must be at least 1; got 0."),
    ],
)
def test_a_plan_out_of_range_says_the_value(changes, message):
    with pytest.raises(PlanError) as error:
        training(**changes)
    assert str(error.value) == message


def test_fractions_of_a_split_sum_to_one():
    with pytest.raises(PlanError) as error:
        SplitSpec(0.5, 0.2, 0.2)
    assert str(error.value) == (
        "Fractions of a split must sum to 1 and be >= 0; got (0.5, 0.2, 0.2)."
    )


def test_images_are_not_trained_on_where_there_are_none(public):
    with pytest.raises(PlanError, match=r"^The dataset has no images"):
        public.request(training(), dataset="clinic", purpose="wrong dataset")


def test_a_request_needs_a_purpose(public):
    plan = LogisticPlan(target="idh", covariates=["age"])
    with pytest.raises(PlanError) as error:
        public.request(plan, purpose="  ")
    assert str(error.value) == 'Say why: purpose="...". Site owners decide by it.'


def test_private_data_cannot_be_reached_and_the_error_says_what_to_do(public):
    dataset = public["a"].datasets["clinic"]
    with pytest.raises(InputError) as error:
        _ = dataset.data
    assert str(error.value) == (
        "The data of 'clinic' never leave a. Look at .mock and .card, ask "
        "fed.statistics(...), or request a plan."
    )
    assert not hasattr(dataset.mock, "data")


def test_unknown_sites_and_datasets_are_suggested(public):
    with pytest.raises(UnknownNameError, match=r"^Unknown site 'aa'\. Did you mean 'a"):
        _ = public["aa"]
    with pytest.raises(UnknownNameError, match=r"^Unknown dataset 'clinics'\. Did you"):
        _ = public["a"].datasets["clinics"]


def test_no_tables_at_all():
    with pytest.raises(InputError) as error:
        Federation.from_frames({})
    assert str(error.value) == "from_frames needs at least one table."


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda f: f.iloc[:0], "the table has no rows"),
        (lambda f: f.assign(age=f["age"].where(f.index > 0, 500)), "outside [20, 90]"),
        (lambda f: f.assign(idh=f["idh"].where(f.index > 0, 2)), "outside 0 and 1"),
        (lambda f: f.assign(sex="other"), "other not among the levels F, M"),
        (lambda f: f.drop(columns="death"), "death: declared, but not in the table"),
        (lambda f: f.assign(patient_id="same"), "duplicate patients: same"),
        (
            lambda f: f.assign(age=f["age"].astype(object).where(f.index > 0, "old")),
            "old is no number",
        ),
    ],
)
def test_a_damaged_table_is_refused_with_what_is_wrong(tmp_path, damage, problem):
    frames = {"a": damage(clinic("a"))}
    with pytest.raises(DatasetError) as error:
        Federation.from_frames(
            frames, dataset="clinic", columns=COLUMNS, folder=tmp_path
        )
    assert str(error.value).startswith("The dataset has ")
    assert problem in str(error.value)


def test_one_class_and_empty_labels_are_refused_and_nothing_is_lost(tmp_path):
    frames = {s: clinic(s) for s in ("a", "b", "c")}
    for frame in frames.values():
        frame["idh"] = 1
        frame["death"] = 0
    with Federation.from_frames(
        frames,
        dataset="clinic",
        columns=COLUMNS,
        approve="auto",
        profile="open",
        folder=tmp_path,
    ) as fed:
        logistic = LogisticPlan(
            target="idh",
            covariates=["age"],
            split=WHOLE,
            fit_on="train",
            evaluate_on="none",
        )
        with pytest.raises(FitError) as error:
            fed.request(logistic, purpose="one class").start().result()
        assert "nan" not in str(error.value).lower()
        cox = CoxPlan(
            duration="os_months",
            event="death",
            covariates=["age"],
            split=WHOLE,
            fit_on="train",
            evaluate_on="none",
        )
        with pytest.raises(FitError, match=r"180 patients and 0 events"):
            fed.request(cox, purpose="nobody died").start().result()
        assert all(releases(fed, s) for s in frames)


def test_patients_without_a_label_are_left_out_and_not_guessed(tmp_path):
    frames = {s: clinic(s) for s in ("a", "b", "c")}
    for frame in frames.values():
        frame.loc[::4, "idh"] = np.nan
    with Federation.from_frames(
        frames,
        dataset="clinic",
        columns=COLUMNS,
        approve="auto",
        profile="open",
        folder=tmp_path,
    ) as fed:
        plan = LogisticPlan(
            target="idh",
            covariates=["age"],
            split=WHOLE,
            fit_on="train",
            evaluate_on="train",
        )
        result = fed.request(plan, purpose="missing labels").start().result()
        assert result.estimate.n == 135
        assert np.isfinite(result.params_).all()


def test_a_split_column_that_is_none_stops_the_run_without_its_words(tmp_path):
    with federate(tmp_path, approve="auto", profile="open") as fed:
        plan = LogisticPlan(
            target="idh",
            covariates=["age"],
            split=SplitSpec(column="sex"),
            fit_on="train",
            evaluate_on="none",
        )
        with pytest.raises(RefusedError) as error:
            fed.request(plan, purpose="a wrong split").start().result()
        assert error.value.cause == "data"
        entry = fed.owner(error.value.site).ledger.find(error.value.correlation)
        assert "Column 'sex' holds " in entry.reason
        for site in ("a", "b", "c"):
            assert ledger(fed, site)


def test_a_service_that_gets_nonsense_answers_with_an_error(public):
    with pytest.raises(FednbError, match=r"^Unknown run 'nothing'\."):
        public.run("nothing")
    with pytest.raises(FednbError, match=r"^Unknown weights '\.\./\.\./keys'"):
        public._client.weights("../../keys")
