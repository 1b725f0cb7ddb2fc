from __future__ import annotations

import numpy as np

from fednb.privacy import disclosure
from fednb.privacy.disclosure import RULES, STANDARD, Safe
from fednb.records.outputs import Decision

EXAMPLES = {
    1: (["a"], STANDARD),
    2: (12, STANDARD),
    3: (12, STANDARD),
    4: (12, STANDARD),
    6: (np.ones(12), STANDARD),
    7: (0.5, 40, STANDARD),
    8: (np.array([12]), 12, STANDARD),
    14: (["a", "b"], 12, STANDARD),
}


def test_every_rule_decides_under_its_own_name_and_version():
    assert set(RULES) == set(EXAMPLES)
    for number, arguments in EXAMPLES.items():
        enforced = RULES[number]
        answer = enforced.function(*arguments)
        last = answer.decisions[-1] if isinstance(answer, Safe) else answer
        assert isinstance(last, Decision)
        assert last.allow
        assert last.rule == f"disclosure.{number}-{enforced.rule.name}"
        assert last.version == enforced.version
        assert last.threshold == 10
        assert enforced.text.endswith(".")


def test_exports_are_sorted_and_exist():
    assert sorted(disclosure.__all__) == sorted(set(disclosure.__all__))
    assert all(hasattr(disclosure, name) for name in disclosure.__all__)
