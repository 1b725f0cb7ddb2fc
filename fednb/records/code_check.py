"""What is wrong with a requester's code, by line, before anybody is asked to read it.

The check helps whoever reads the code: an import that nobody expects, a name that is
looked up by force or a character that does not show is told with its line. It is no
wall. The wall is the process that the code runs in (`fednb.site.confinement`).
"""

from __future__ import annotations

import ast
import io
import tokenize
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES: Final = frozenset(
    {
        "__future__",
        "abc",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "itertools",
        "math",
        "monai",
        "numpy",
        "torch",
        "typing",
        "typing_extensions",
    }
)
"""What custom code may import, with the modules inside."""

MAX_SOURCE: Final = 65_536
"""Characters of custom code: more than that nobody reads."""

MAX_LINES: Final = 2_000
"""Lines of custom code."""

_NAMES: Final = frozenset(
    {
        *("__import__", "breakpoint", "compile", "delattr", "eval", "exec", "exit"),
        *("getattr", "globals", "input", "locals", "open", "quit", "setattr", "vars"),
    }
)
_DUNDERS: Final = frozenset({"__init__", "__call__", "__class__", "__name__"})
_REACHES: Final = frozenset(
    {
        *("_C", "compile", "cpp_extension", "ctypeslib", "distributed", "f2py"),
        *("fromfile", "fromregex", "genfromtxt", "hub", "jit", "load", "load_library"),
        *("loadtxt", "memmap", "multiprocessing", "ops", "package", "save", "savetxt"),
        *("savez", "savez_compressed", "storage", "tofile", "bundle", "apps", "dump"),
    }
)
"""Parts of libraries that read, write, load or run; a network has no use for them."""

_TOP: Final = (
    ast.Import,
    ast.ImportFrom,
    ast.ClassDef,
    ast.FunctionDef,
    ast.Assign,
    ast.AnnAssign,
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with some source.

    Attributes
    ----------
    line
        Line in the source, from 1.
    what
        What is wrong, and what is allowed.
    """

    line: int
    what: str

    @override
    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"


def problems_of(name: str, source: str) -> tuple[Problem, ...]:
    """Return what is wrong with custom code, in the order of its lines.

    Parameters
    ----------
    name
        Class or function that the code must define.
    source
        A module's text.

    Returns
    -------
    tuple of Problem
        Empty: nothing that the check knows of.
    """
    found = [*_size(source), *_characters(source)]
    if found:
        return tuple(found)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        return (Problem(line, f"not Python: {getattr(error, 'msg', 'too deep')}."),)
    found += [*_top(name, tree), *_look_alikes(source)]
    for node in ast.walk(tree):
        found += _node(node)
    return tuple(sorted(found, key=lambda problem: problem.line))


def arguments_of(name: str, source: str) -> tuple[str, ...]:
    """Return the names of a function's arguments, read and not run.

    Parameters
    ----------
    name
        A function that the source defines.
    source
        A module's text.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            inner = node.args
            every = (*inner.posonlyargs, *inner.args, *inner.kwonlyargs)
            return tuple(argument.arg for argument in every)
    return ()


def _size(source: str) -> Iterator[Problem]:
    if len(source) > MAX_SOURCE:
        yield Problem(1, f"{len(source)} characters; at most {MAX_SOURCE} are read.")
    lines = source.count("\n") + 1
    if lines > MAX_LINES:
        yield Problem(MAX_LINES, f"{lines} lines; at most {MAX_LINES} are read.")


def _characters(source: str) -> Iterator[Problem]:
    """Yield lines that look other than they are (Boucher and Anderson, 2023)."""
    for number, line in enumerate(source.split("\n"), 1):
        for character in line:
            hidden = unicodedata.category(character) in _HIDDEN
            if hidden or (character.isspace() and character not in " "):
                code = f"U+{ord(character):04X}"
                yield Problem(number, f"the character {code} does not show as it is.")
                break


_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _look_alikes(source: str) -> Iterator[Problem]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and not token.string.isascii():
            what = f"the name {token.string!r} is not ASCII; another may look alike."
            yield Problem(token.start[0], what)


def _top(name: str, tree: ast.Module) -> Iterator[Problem]:
    """Yield statements that would run as the code is read, and a missing definition."""
    for node in tree.body:
        words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not words and not isinstance(node, _TOP):
            what = "only imports, classes, functions and constants stand at the top."
            yield Problem(node.lineno, what)
        if isinstance(node, ast.Assign | ast.AnnAssign) and not _constant(node.value):
            what = "a name at the top holds a number, a text, or a list of such."
            yield Problem(node.lineno, what)
    kinds = ast.ClassDef | ast.FunctionDef
    defined = [node.name for node in tree.body if isinstance(node, kinds)]
    if defined.count(name) != 1:
        yield Problem(1, f"it must define {name!r} once; it defines {defined}.")


def _constant(value: ast.expr | None) -> bool:
    if value is None:
        return True
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _node(node: ast.AST) -> Iterator[Problem]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _import(node)
    elif isinstance(node, ast.Name):
        yield from _word(node.lineno, node.id, _NAMES)
    elif isinstance(node, ast.Attribute):
        yield from _word(node.lineno, node.attr, _REACHES)
    elif isinstance(node, ast.Global | ast.Nonlocal | ast.AsyncFunctionDef | ast.Await):
        yield Problem(node.lineno, "global, nonlocal, async and await have no use.")


def _import(node: ast.Import | ast.ImportFrom) -> Iterator[Problem]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _module(node.lineno, alias.name)
        return
    yield from _module(node.lineno, "." * node.level + (node.module or ""))
    for alias in node.names:
        if alias.name == "*":
            yield Problem(node.lineno, "name what is imported; * hides it.")
        else:
            yield from _word(node.lineno, alias.name, _REACHES)


def _module(line: int, module: str) -> Iterator[Problem]:
    top = module.split(".")[0]
    if top not in MODULES:
        allowed = ", ".join(sorted(MODULES - {"__future__"}))
        yield Problem(line, f"{module!r} is not imported here; allowed: {allowed}.")
    for part in module.split(".")[1:]:
        yield from _word(line, part, _REACHES)


def _word(line: int, name: str, refused: frozenset[str]) -> Iterator[Problem]:
    dunder = name.startswith("__") and name.endswith("__")
    if name in refused or (dunder and name not in _DUNDERS):
        yield Problem(line, f"{name!r} reaches further than a network needs.")
