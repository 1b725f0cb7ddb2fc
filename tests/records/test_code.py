"""Code that a contract carries: gathered whole, checked by line, named by its hash."""

from __future__ import annotations

import hashlib
import linecache

import msgspec
import own_code
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import PlanError
from fednb.records.base import canonical
from fednb.records.code import Code
from fednb.records.code_check import MAX_LINES, MAX_SOURCE, arguments_of, problems_of
from fednb.records.code_source import free_names

PLAIN = "def f(x):\n    return x\n"


def run(source: str, name: str):
    """Return what the text alone defines: nothing of this module is there."""
    names: dict = {"__name__": "alone"}
    exec(compile(source, "alone", "exec"), names)  # noqa: S102
    return names[name]


def lines(source: str, name: str = "f") -> list[int]:
    return [problem.line for problem in problems_of(name, source)]


def test_the_text_stands_alone_and_is_the_same_network():
    code = Code.of(own_code.Net, factor=2)
    torch.manual_seed(0)
    copy = run(code.source, "Net")(channels=2, embedding=3, factor=2)
    torch.manual_seed(0)
    own = own_code.Net(2, 3, 2)
    x = torch.randn(2, 2, 8, 8, 8)
    assert torch.equal(copy(x), own(x))
    head = "from __future__ import annotations\n\nimport itertools\nimport math\n"
    assert code.source.startswith(head)
    order = [code.source.index(f"{word}(") for word in ("def block", "class Net")]
    assert order == sorted(order)
    assert {"WIDTHS = (4, 8)", "SLOPE = 0.5"} <= set(code.source.splitlines())


def test_it_is_named_by_the_hash_of_its_text_and_travels_as_it_is():
    code = Code.of(own_code.mirrored, axis=1)
    assert code.sha256 == hashlib.sha256(code.source.encode()).hexdigest()
    assert (code.params, code.arguments) == ({"axis": 1}, ("volume", "rng", "axis"))
    assert msgspec.json.decode(canonical(code), type=Code) == code
    edited = canonical(code).replace(b"0.5", b"0.6")
    with pytest.raises(msgspec.ValidationError, match="One of them was changed"):
        msgspec.json.decode(edited, type=Code)


def test_tuples_become_lists():
    assert Code.of(own_code.Net, widths=(1, 2)).params == {"widths": [1, 2]}


def test_helpers_that_call_each_other_are_written_once():
    source = Code.of(own_code.recursive).source
    assert source.count("def recursive") == source.count("def helper") == 1
    assert run(source, "recursive")(2) == own_code.recursive(2)


def test_a_class_of_a_notebook_s_cell_is_found(monkeypatch):
    cell = (
        "class Cell(nn.Module):\n    def forward(self, x):\n        return x + LEVEL\n"
    )
    file = "<cell 1>"
    monkeypatch.setitem(
        linecache.cache, file, (len(cell), None, cell.splitlines(True), file)
    )
    names = {"nn": torch.nn, "LEVEL": 2.0, "__name__": "__main__"}
    exec(compile(cell, file, "exec"), names)  # noqa: S102
    source = Code.of(names["Cell"]).source
    assert "import torch.nn as nn" in source
    assert "LEVEL = 2.0" in source
    assert run(source, "Cell")()(1.0) == 3.0


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (own_code.borrows, "borrows uses SHARED, a object: only imports of"),
        (own_code.unknown, "unknown uses missing, which is not defined."),
        (own_code.wrapped, "'wrapped' is no class with methods and no function."),
        (3, "3 is no class with methods and no function."),
    ],
)
def test_what_does_not_stand_alone_is_told_by_name(thing, says):
    with pytest.raises(PlanError) as error:
        Code.of(thing)
    assert str(error.value).startswith(says) or says in str(error.value)


def test_names_in_annotations_are_not_needed():
    source = "def f(x: Tensor, y: Rows = 3) -> Out:\n    z: Kind = g(x)\n    return z"
    assert free_names(source) == ("g",)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("import os\n" + PLAIN, [1]),
        ("from subprocess import run\n" + PLAIN, [1]),
        ("from . import x\n" + PLAIN, [1]),
        ("from numpy import *\n" + PLAIN, [1]),
        ("from torch import load\n" + PLAIN, [1]),
        ("import torch.hub\n" + PLAIN, [1]),
        ("def f(x):\n    return eval(x)\n", [2]),
        ("def f(x):\n    return x.__class__.__subclasses__()\n", [2]),
        ("def f(x):\n    return torch.load(x)\n", [2]),
        ("def f(x):\n    return getattr(x, 'y')\n", [2]),
        ("def f(x):\n    return open(x)\n", [2]),
        ("def f(x):\n    return __builtins__\n", [2]),
        (PLAIN + "f(1)\n", [3]),
        ("A = print(1)\n" + PLAIN, [1]),
        ("def g(x):\n    return x\n", [1]),
        (PLAIN + PLAIN, [1]),
        ("def f(x:\n", [1]),
        ("def f(x):\n    pass  # \u202e tfel\n", [2]),
        ("def f(x):\n    return x\r\n", [2]),
        ("def f(x):\n\treturn x\n", [2]),
        ("def f(\u0445):\n    return 1\n", [1]),
        ("def f(x):\n    return \u0445\n", [2]),
        (f"def f(x):\n    return {'1' * MAX_SOURCE}\n", [1]),
        (PLAIN + "\n" * MAX_LINES, [MAX_LINES]),
        ("import os\ndef f(x):\n    return eval(x)\n", [1, 3]),
        ("class f:\n    async def g(self):\n        pass\n", [2]),
    ],
)
def test_problems_are_told_by_line(source, wrong):
    assert lines(source) == wrong


def test_usual_code_has_no_problems():
    assert Code.of(own_code.Net).problems == ()
    text = '"""Mine."""\nimport math\nfrom monai.networks import nets\nRATE = -1e-3\n'
    assert problems_of("f", text + PLAIN) == ()


def test_all_problems_are_listed_before_anybody_is_asked():
    code = Code("f", "import os\ndef f(x):\n    return eval(x)\n")
    with pytest.raises(PlanError) as error:
        code.check()
    assert str(error.value) == (
        "The code of f has 2 problems:\n"
        "  - line 1: 'os' is not imported here; allowed: abc, collections, "
        "dataclasses, enum, functools, itertools, math, monai, numpy, torch, typing, "
        "typing_extensions.\n"
        "  - line 3: 'eval' reaches further than a network needs."
    )


@given(st.text(max_size=200))
def test_the_check_never_fails_and_names_lines_that_are_there(source):
    found = problems_of("f", source)
    assert all(1 <= problem.line <= source.count("\n") + 1 for problem in found)
    assert found or arguments_of("f", source) or "class f" in source
