import numpy as np
import pytest
import samples
from matplotlib import pyplot as plt

from fednb.errors import InputError, UnknownNameError
from fednb.survival.kaplan_meier import kaplan_meier_from_counts


def result(**changes):
    given = {"by": "idh", "labels": ("1", "0"), "event": "death", "competing": "other"}
    return samples.survival(**{**given, **changes})


def test_curves_come_from_the_counts():
    found = result()
    assert found.groups == ("1",)
    curve = found["1"]
    expected = kaplan_meier_from_counts(
        [6, 12, 18, 24], [10] * 4, [10] * 4, [80, 60, 40, 20]
    )
    np.testing.assert_array_equal(curve.survival, expected.survival)
    assert curve.censored.tolist() == [10, 10, 10, 10]
    assert found.median_survival_time_.to_dict() == {"idh=1": 24}


def test_tables():
    found = result()
    frame = found.to_frame()
    assert frame.index.names == ["group", "months"]
    assert list(frame) == ["at_risk", "events", "survival", "se", "lower", "upper"]
    function = found.survival_function_
    assert function.index.tolist() == [0, 6, 12, 18, 24]
    assert function["idh=1"].tolist() == [1, *found["1"].survival]
    assert found.at([0, 7]).loc["idh=1", "survival"].tolist() == [1, 7 / 8]
    mean = found.rmst(12).loc["idh=1"]
    assert mean["rmst"] == pytest.approx(6 + 6 * 7 / 8)
    assert (mean["difference"], mean["p"]) == (0, 1)
    assert found.rmst().loc["idh=1", "rmst"] > mean["rmst"]


def test_differences_of_means():
    found = result()
    for name in ("patients", "at_risk"):
        getattr(found.tables, name)[1] = getattr(found.tables, name)[0]
    found.tables.exposed[:, 1] = found.tables.exposed[:, 0]
    found.tables.deaths[0, 1] = [20, 15, 10, 5]
    table = found.rmst(24)
    gap = table.loc["idh=0", "rmst"] - table.loc["idh=1", "rmst"]
    assert table.loc["idh=0", "difference"] == pytest.approx(gap)
    error = np.hypot(*table["se"])
    bound = table.loc["idh=0", "difference upper"]
    assert bound == pytest.approx(gap + 1.959963984540054 * error)
    assert 0 < table.loc["idh=0", "p"] < 0.05


def test_competing_risks():
    found = result().incidence("1")
    np.testing.assert_allclose(found.incidence[:, 0], [10 / 80, 5 / 80])
    np.testing.assert_allclose(found.incidence.sum(axis=0), 1 - found.survival)
    with pytest.raises(InputError, match="curve of 'idh=0': no site has 10"):
        result().cumulative_incidence("0")


def test_causes_that_were_rounded_apart_do_not_exceed_those_at_risk():
    found = result()
    found.tables.deaths[:, 0, 3] = 20, 10
    np.testing.assert_allclose(found.incidence("1").survival[-1], 0)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="Unknown group '2'"):
        result()["2"]
    with pytest.raises(UnknownNameError, match=r"Unknown cause 'deth'. Did you mean"):
        result().log_rank_test("deth")
    with pytest.raises(InputError, match="The confidence level is 2"):
        result().rmst(12, level=2)


def test_the_text_says_what_is_small_and_what_is_merged():
    shown = repr(result())
    assert "idh=0       <10       -" in shown
    assert "times:" in shown
    assert "merged intervals; counts are rounded" in shown
    assert "chi-squared" not in shown
    assert "nothing to compare" in shown
    assert "merged" not in repr(result(profile="open"))


def test_numbers_at_risk_stand_below_the_plot():
    axes = result().plot()
    axes.figure.canvas.draw()
    texts = [text.get_text() for text in axes.texts]
    assert texts[0] == "Number at risk, rounded"
    # a third of an inch a group, and the heading: none is cut off
    assert axes.figure.get_size_inches()[1] == pytest.approx(3.4 + 3 * 12 / 72)
    assert texts.count("<10") == len(axes.get_xticks())
    assert "80" in texts
    assert axes.get_legend_handles_labels()[1] == ["idh=1"]
    bare = plt.figure().subplots()
    assert result().plot(bare, at_risk=False) is bare
    assert not bare.texts


def test_numbers_at_risk_are_rounded_as_the_profile_says():
    times = [0, 6, 12, 18]
    assert result().at_risk_text("1", times) == ["80", "60", "40", "20"]
    rare = result(profile="rare-disease")
    # to the middle of each six: 79 to 84, 55 to 60, 37 to 42, 19 to 24
    assert rare.at_risk_text("1", times) == ["81", "57", "39", "21"]
    with pytest.raises(UnknownNameError, match="disclosure profile 'rare'"):
        result(profile="rare").at_risk_text("1", times)


def test_incidences_are_drawn_by_cause():
    axes = result().plot_incidence("1")
    assert axes.get_legend_handles_labels()[1] == ["death", "other"]
