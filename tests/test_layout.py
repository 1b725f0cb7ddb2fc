"""The shape of the code: what a reader can rely on before reading a line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "fednb"
# an empty package file has nothing to document
MODULES = sorted(p for p in ROOT.rglob("*.py") if ast.parse(p.read_text()).body)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_short_documented_and_has_short_functions(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _lines(node) > 50
    ]
    assert not long


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines of code a function has, its docstring left out."""
    first = node.body[0]
    start = node.lineno
    count = (node.end_lineno or start) - start + 1
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        count -= (first.end_lineno or first.lineno) - first.lineno + 1
    return count


def test_nothing_evaluates_or_unpickles():
    banned = {"eval", "exec", "compile", "__import__"}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in banned
    ]
    assert not found


def test_no_broad_except():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (
                isinstance(node.type, ast.Name)
                and node.type.id in {"Exception", "BaseException"}
            )
        )
        # a clean-up that raises again hides nothing
        and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)
    ]
    assert not found


def test_every_error_has_its_place_in_the_tree():
    from fednb import errors

    drawn = errors.__doc__ or ""
    kinds = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.FednbError)
    ]
    assert len(kinds) > 10
    assert not [kind.__name__ for kind in kinds if kind.__name__ not in drawn]
    assert set(errors.CAUSES) == set(errors.CAUSE_TEXT)
    assert all(kind.cause in errors.CAUSES for kind in kinds)
