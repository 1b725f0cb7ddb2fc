from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from fednb.privacy import disclosure
from fednb.privacy.disclosure import RULES, STANDARD, Safe
from fednb.records.outputs import Decision

EXAMPLES = {
    1: (["a"], STANDARD),
    2: (12, STANDARD),
    3: (12, STANDARD),
    4: (12, STANDARD),
    5: (np.array([30, 0]), 30, STANDARD),
    6: (np.ones(12), STANDARD),
    7: (0.5, 40, STANDARD),
    8: (np.array([12]), 12, STANDARD),
    10: (np.array([0.0, 6.0]), np.array([40]), np.array([12]), STANDARD),
    11: ("abcd", ["abcd"], STANDARD),
    12: (10, STANDARD),
    14: (["a", "b"], 12, STANDARD),
}


def test_every_rule_decides_under_its_own_name_and_version():
    assert {n for n, enforced in RULES.items() if enforced.function} == set(EXAMPLES)
    for number, arguments in EXAMPLES.items():
        enforced = RULES[number]
        answer = enforced.function(*arguments)
        last = answer.decisions[-1] if isinstance(answer, Safe) else answer
        assert isinstance(last, Decision)
        assert last.allow
        assert last.rule == f"disclosure.{number}-{enforced.name}"
        assert last.version == enforced.version
        assert last.threshold == 10


def test_the_registry_says_of_every_rule_what_it_demands_and_where_it_acts():
    assert list(RULES) == sorted(RULES)
    assert set(RULES) <= set(range(1, 24))
    # no embedding components, no formulas yet
    assert not {22, 23} & set(RULES)
    for enforced in RULES.values():
        assert enforced.text.endswith(".")
        assert enforced.name == enforced.rule.label.split("-", 1)[1]
        assert find_spec(enforced.where) is not None


def test_exports_are_sorted_and_exist():
    assert sorted(disclosure.__all__) == sorted(set(disclosure.__all__))
    assert all(hasattr(disclosure, name) for name in disclosure.__all__)
