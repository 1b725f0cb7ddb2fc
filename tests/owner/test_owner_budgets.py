from __future__ import annotations

from fednb.owner.budgets import OwnerBudgets
from fednb.site.home import Home

ROW = (
    "INSERT INTO charges VALUES (?, 'glioma', ?, 'c', 0, 'run', ?, 'i', 1.0, 0.5, 4, 1,"
    " 0.0)"
)


def test_an_owner_reads_who_spent_what(tmp_path):
    home = Home(tmp_path / "home", create=True)
    empty = OwnerBudgets(home)
    assert len(empty) == 0
    assert repr(empty).startswith("Nothing has been spent")
    with home.transaction() as database:
        database.execute(ROW, ("a", "ab", 0))
        database.execute(ROW, ("b", "cd", 1))
    found = OwnerBudgets(home)
    together, first, second = found
    assert (together.requester, first.requester, second.requester) == ("", "ab", "cd")
    assert first.epsilon == second.epsilon < together.epsilon < 2 * first.epsilon
    assert f"{together.epsilon:.3f}" in repr(found)
    assert "together" in found._repr_html_()
    home.close()
