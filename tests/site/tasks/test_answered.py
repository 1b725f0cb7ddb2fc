"""A question that was answered before: the same answer, while nothing changed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fednb.embedded.federation import Federation
from fednb.site.tasks import answered

SITES = ("north", "south", "west")


def frames():
    rng = np.random.default_rng(3)
    return {
        site: pd.DataFrame(
            {
                "age": rng.normal(60, 10, 80).round().clip(30, 90),
                "sex": rng.integers(0, 2, 80),
            }
        )
        for site in SITES
    }


def test_a_repeated_question_is_answered_alike_and_entered_anew(monkeypatch):
    worked_out = []
    whole = answered.statistics

    def counted(job, *rest):
        worked_out.append(job.site)
        return whole(job, *rest)

    monkeypatch.setattr(answered, "statistics", counted)
    with Federation.from_frames(frames(), dataset="trial", approve="auto") as fed:
        first = fed.statistics("trial", ["age"]).to_frame()
        second = fed.statistics("trial", ["age"]).to_frame()
        counts = {site: worked_out.count(site) for site in SITES}
        third = fed.statistics("trial", ["age"]).to_frame()
        assert {site: worked_out.count(site) for site in SITES} == counts
        pd.testing.assert_frame_equal(first, second)
        pd.testing.assert_frame_equal(first, third)
        # another question adds to the book: what was kept is worked out again
        fed.statistics("trial", ["age"], by="sex")
        again = fed.statistics("trial", ["age"]).to_frame()
        assert worked_out.count("north") > counts["north"] + 1
        pd.testing.assert_frame_equal(first, again)
        for site in SITES:
            entries = fed.owner(site).ledger.entries
            assert sum(entry.kind == "release" for entry in entries) == 5
            assert fed.owner(site).ledger.verify().count == len(entries)
