import numpy as np
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi

from fednb.errors import InputError
from fednb.survival.wald import wald_table


@pytest.mark.parametrize("level", [0.95, 0.9])
def test_the_table_equals_lifelines(level: float):
    oracle = CoxPHFitter(alpha=1 - level).fit(load_rossi(), "week", "arrest")
    table = wald_table(
        list(oracle.params_.index), oracle.params_, oracle.variance_matrix_, level
    )
    assert list(table.columns) == list(oracle.summary.columns)
    for name, values in table.columns.items():
        expected = oracle.summary[name].to_numpy()
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


def test_by_hand():
    table = wald_table(["age"], [0.2], [[0.01]])
    assert table.columns["z"][0] == pytest.approx(2.0)
    assert table.columns["p"][0] == pytest.approx(0.0455002638963584)
    assert table.columns["coef upper 95%"][0] == pytest.approx(0.2 + 0.1959963984540054)
    assert table.names == ("age",)


def test_a_very_small_p_stays_a_number():
    table = wald_table(["dose"], [50.0], [[1.0]])
    assert table.columns["p"][0] == 0
    assert table.columns["-log2(p)"][0] == 1074


def test_malformed_tables_are_refused():
    with pytest.raises(InputError, match=r"1 names do not fit .* shape \(2,\)"):
        wald_table(["a"], [1.0, 2.0], np.eye(2))
    with pytest.raises(InputError, match="confidence level is 95; it must be between"):
        wald_table(["a"], [1.0], [[1.0]], level=95)
    with pytest.raises(InputError, match="A coefficient has no positive variance"):
        wald_table(["a"], [1.0], [[0.0]])
