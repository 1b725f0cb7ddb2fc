"""Aggregate statistics as a scientist asks for them, under two profiles."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
from clinics import COLUMNS, clinic, federate

from fednb.embedded.federation import Federation
from fednb.errors import (
    InputError,
    PlanError,
    RefusedError,
    RunError,
    SiteDownError,
    UnknownNameError,
)
from fednb.records.tasks import StatisticsPlan

SITES = ("a", "b", "c")


@pytest.fixture(scope="module")
def pooled() -> pd.DataFrame:
    return pd.concat([clinic(site) for site in SITES])


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    with federate(folder, *SITES, profile="open", approve="auto") as fed:
        yield fed


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    with federate(folder, *SITES, approve="auto") as fed:
        yield fed


def test_open_statistics_are_those_of_pooled_rows(public, pooled):
    result = public.statistics("clinic", ["age", "idh"], by="sex")
    for summary in result.of("age"):
        values = pooled.loc[pooled["sex"] == summary.group, "age"]
        assert summary.n == len(values)
        assert summary.mean == pytest.approx(values.mean(), abs=1e-6)
        assert summary.std == pytest.approx(values.std(), abs=1e-6)
        for q, found in summary.quantiles.items():
            # quantiles come from a histogram on the owner's grid of 5 years
            assert abs(found - values.quantile(q)) < 5
    for summary in result.of("idh"):
        values = pooled.loc[pooled["sex"] == summary.group, "idh"]
        assert summary.levels == {"0": (values == 0).sum(), "1": (values == 1).sum()}
    assert "open profile" in str(result).lower()


def test_an_open_histogram_counts_every_patient_once(public, pooled):
    (age,) = public.statistics("clinic", ["age"]).of("age")
    found, _ = np.histogram(pooled["age"], bins=np.asarray(age.edges))
    assert sum(age.counts) == pytest.approx(len(pooled))
    np.testing.assert_allclose(age.counts, found, atol=8)


def test_standard_statistics_are_rounded_and_near(private, pooled):
    result = private.statistics("clinic", ["age", "idh"], by="sex")
    for summary in result.of("age"):
        values = pooled.loc[pooled["sex"] == summary.group, "age"]
        assert summary.n % 10 == 0
        assert abs(summary.n - len(values)) <= 15
        assert summary.mean == pytest.approx(values.mean(), abs=1.0)
        assert set(summary.quantiles) == {0.25, 0.5, 0.75}
    for summary in result.of("idh"):
        assert all(count % 10 == 0 for count in summary.levels.values())


def test_standard_statistics_show_no_value_that_a_patient_has(private, pooled):
    text = private.statistics("clinic", ["age", "os_months"]).to_frame().to_csv()
    for name in ("age", "os_months"):
        extremes = (pooled[name].min(), pooled[name].max())
        assert not any(f"{value:.3f}" in text for value in extremes)


def test_the_same_question_gives_the_same_answer(private):
    """Noise or rounding that is drawn anew could be averaged away."""
    first = private.statistics("clinic", ["age", "os_months"], by="sex")
    frames = [
        private.statistics("clinic", ["age", "os_months"], by="sex").to_frame()
        for _ in range(3)
    ]
    for frame in frames:
        pd.testing.assert_frame_equal(frame, first.to_frame())


def test_one_site_alone_answers_in_rounded_tables(private):
    own = clinic("b")
    result = private.statistics("clinic", ["age"], sites=["b"])
    assert result.sites == ("b",)
    (age,) = result.of("age")
    assert age.n == 60
    assert age.mean == pytest.approx(own["age"].mean(), abs=0.2)
    assert {line.kind for line in result.releases} == {"table"}


def test_all_sites_together_answer_through_a_secure_sum(private):
    result = private.statistics("clinic", ["age"])
    assert {line.kind for line in result.releases} == {"masked"}
    assert {line.site for line in result.releases} == set(SITES)


def test_small_groups_look_like_empty_ones(tmp_path):
    frames = {site: clinic(site) for site in SITES}
    for frame in frames.values():
        frame["sex"] = ["X"] * 4 + ["F"] * 56
    columns = tuple(
        msgspec.structs.replace(c, levels=("F", "M", "X")) if c.name == "sex" else c
        for c in COLUMNS
    )
    with Federation.from_frames(
        frames,
        dataset="clinic",
        approve="auto",
        columns=columns,
        folder=tmp_path,
    ) as fed:
        result = fed.statistics("clinic", ["age"], by="sex")
        shown = {c.group: (c.n, str(c.mean)) for c in result.of("age")}
        assert shown["X"] == shown["M"] == (0, "nan")
        assert shown["F"][0] == 180


def test_unknown_names_are_named_with_a_suggestion(private):
    with pytest.raises(UnknownNameError) as error:
        private.statistics("clinic", ["agee"])
    assert str(error.value) == (
        "Unknown column 'agee'. Did you mean 'age'? "
        "Known: age, death, idh, os_months, sex."
    )
    with pytest.raises(UnknownNameError) as error:
        private.statistics("clinik", ["age"])
    assert str(error.value) == (
        "Unknown dataset 'clinik'. Did you mean 'clinic'? Known: clinic."
    )
    with pytest.raises(UnknownNameError, match=r"^Unknown site 'd'\. Known: a, b, c\."):
        private.statistics("clinic", ["age"], sites=["d"])
    with pytest.raises(PlanError, match=r"^Quantiles must lie within \.05 and \.95"):
        private.statistics("clinic", ["age"], quantiles=[0.0])
    with pytest.raises(
        PlanError, match=r"^A statistics plan needs at least one column"
    ):
        private.statistics("clinic", [])
    numbers = r"category or binary column; 'age' is a number\. There are: .*sex"
    with pytest.raises(InputError, match=numbers):
        private.statistics("clinic", ["os_months"], by="age")
    with pytest.raises(InputError, match=numbers):
        private.request(StatisticsPlan(["os_months"], by="age"), purpose="To see.")


def test_statistics_wait_for_every_owner(tmp_path):
    with federate(tmp_path) as fed:
        with pytest.raises(RunError) as error:
            fed.statistics("clinic", ["age"])
        (request,) = fed.requests
        assert str(error.value) == (
            "The standing contract of 'clinic' waits for the approval of a, b, c: "
            f"request {request.hash[:12]}, asked once. Ask again when they have "
            "decided."
        )
        for site in SITES:
            fed.owner(site).requests[0].approve(note="aggregates only")
        assert fed.statistics("clinic", ["age"]).sites == SITES
        assert len(fed.requests) == 1


def test_statistics_that_an_owner_denied_say_so(tmp_path):
    with federate(tmp_path) as fed:
        with pytest.raises(RunError, match="asked once"):
            fed.statistics("clinic", ["age"])
        fed.owner("b").requests[0].deny("not these columns")
        with pytest.raises(RunError, match=r"^Not approved: b \(denied\)\. That is"):
            fed.statistics("clinic", ["age"])
        assert len(fed.requests) == 1


def test_a_notebook_that_starts_anew_asks_nobody_anew(tmp_path):
    homes = {site: tmp_path / site for site in SITES}
    with federate(tmp_path) as fed, pytest.raises(RunError, match="asked once"):
        fed.statistics("clinic", ["age"])
    with Federation(homes, tmp_path / "coordinator") as fed:
        (request,) = fed.requests
        for site in SITES:
            fed.owner(site).requests[request.hash].approve()
        found = fed.statistics("clinic", ["age"], by="sex").to_frame()
    with Federation(homes, tmp_path / "coordinator") as fed:
        again = fed.statistics("clinic", ["age"], by="sex").to_frame()
        pd.testing.assert_frame_equal(again, found)
        assert [r.hash for r in fed.requests] == [request.hash]
        # a decision against it is final: the next question asks for another
        fed.owner("b").requests[request.hash].revoke("enough")
        with pytest.raises(RefusedError):
            fed.statistics("clinic", ["age"])
        with pytest.raises(RunError, match="waits for the approval of a, b, c"):
            fed.statistics("clinic", ["age"])
        assert len(fed.requests) == 2


def test_a_site_that_goes_down_is_named_and_nothing_is_spent(tmp_path):
    with federate(tmp_path, approve="auto") as fed:
        fed.statistics("clinic", ["age"])
        fed.transport.take_down("b")
        with pytest.raises(SiteDownError) as error:
            fed.statistics("clinic", ["age"])
        assert error.value.site == "b"
        fed.transport.bring_up("b")
        assert fed.statistics("clinic", ["age"]).sites == SITES
        for site in SITES:
            fed.owner(site).ledger.verify()


def test_a_federation_is_found_and_searched(private):
    assert list(private.datasites) == list(SITES)
    found = private.datasets.search("clinic os_months", min_subjects=60)
    assert [d.card.site for d in found] == list(SITES)
    assert len(private.datasets.search(modality="MR")) == 0
    assert len(private.datasets.search(min_subjects=61)) == 0


def test_a_standing_contract_has_no_run(private):
    private.statistics("clinic", ["age"])
    standing = next(r for r in private.requests if r.contract.standing)
    with pytest.raises(PlanError) as caught:
        standing.start()
    assert str(caught.value) == (
        "A standing contract has no run: ask fed.statistics('clinic', columns) or "
        "fed.describe('clinic')."
    )


def test_a_request_of_statistics_is_one_run(private):
    """What was asked for by hand is answered as asked, once, with a result."""
    plan = StatisticsPlan(("age", "idh"), "sex", bins=4)
    request = private.request(plan, purpose="ages", dataset="clinic")
    assert not request.contract.standing
    assert [o.times for o in request.contract.outputs] == [1]
    result = request.start().result()
    asked = private.statistics("clinic", ["age", "idh"], by="sex")
    assert [c.levels for c in result.of("idh")] == [c.levels for c in asked.of("idh")]
    assert all(len(c.counts) <= 4 for c in result.of("age"))
    with pytest.raises(RunError, match="was run already"):
        request.start()


def test_one_name_stands_for_itself_and_no_site_is_nobody(private):
    assert private.statistics("clinic", "age").of("age")[0].n == 180
    with pytest.raises(InputError, match=r"^sites=\[\] asks nobody\. Name a site"):
        private.statistics("clinic", ["age"], sites=[])


def test_sites_that_have_a_dataset_are_asked_and_no_others(tmp_path):
    with federate(tmp_path, "a", "b", "c", "d", approve="auto") as fed:
        for name in ("a", "b", "d"):
            fed.owner(name).create_dataset(
                "second", table=clinic(name), columns=COLUMNS
            )
        assert "second" not in fed["c"].datasets
        assert fed.statistics("second", ["age"]).sites == ("a", "b", "d")
        with pytest.raises(InputError) as caught:
            fed.statistics("second", ["age"], sites=("a", "b", "c"))
        assert str(caught.value) == "c has no dataset 'second'."
