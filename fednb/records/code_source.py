"""A class or function as one module's text that stands alone.

A notebook defines a network in one cell and imports torch in another. What a contract
carries must say everything: imports, constants and helpers that the code uses are found
and written in front of it, and nothing else runs at a site.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import symtable
import textwrap
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from fednb.errors import PlanError
from fednb.records.code_check import MODULES

if TYPE_CHECKING:
    from collections.abc import Iterator

_FUTURE: Final = "from __future__ import annotations"
_CONSTANTS: Final = (bool, int, float, str, tuple, list, dict, type(None))
_Definition = ast.ClassDef | ast.FunctionDef


def source_of(thing: Any) -> str:  # noqa: ANN401  (a class or a function)
    """Return the text of a module that defines `thing` and all that it uses.

    Parameters
    ----------
    thing
        A class or function, from a file or a notebook's cell.

    Raises
    ------
    PlanError
        It is neither, its text cannot be found, or it uses a name that cannot be
        written down: says which.
    """
    gathered = _Gathered()
    gathered.take(thing)
    if gathered.problems:
        listed = "\n".join(f"  - {problem}" for problem in gathered.problems)
        message = f"{thing.__name__} does not stand alone:\n{listed}"
        raise PlanError(message)
    return gathered.text()


@dataclass
class _Gathered:
    """What a module needs, in the order in which it is found."""

    imports: set[str] = field(default_factory=set)
    constants: dict[str, str] = field(default_factory=dict)
    definitions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _seen: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Return the module."""
        head = [_FUTURE, *([""] if self.imports else []), *sorted(self.imports)]
        values = [f"{name} = {value}" for name, value in self.constants.items()]
        parts = ["\n".join(head)]
        if values:
            parts.append("\n".join(values))
        return "\n\n\n".join([*parts, *self.definitions]) + "\n"

    def take(self, thing: Any) -> None:  # noqa: ANN401
        """Write down a class or function after all that it uses."""
        source, names = _definition(thing)
        self._seen[thing.__name__] = thing
        for name in free_names(source):
            self._name(thing.__name__, name, names)
        self.definitions.append(source)

    def _name(self, user: str, name: str, names: dict[str, Any]) -> None:
        if name not in names:
            self.problems.append(f"{user} uses {name}, which is not defined.")
            return
        value = names[name]
        if name in self._seen:
            if self._seen[name] is not value:
                self.problems.append(f"{name} means two different things.")
            return
        self._seen[name] = value
        self._value(user, name, value)

    def _value(self, user: str, name: str, value: Any) -> None:  # noqa: ANN401
        line = _import_of(name, value)
        if line:
            self.imports.add(line)
        elif isinstance(value, type | FunctionType):
            if value.__name__ != name:
                other = value.__name__
                self.problems.append(f"{user} calls {other} by another name, {name}.")
            else:
                self.take(value)
        elif _is_constant(value):
            self.constants[name] = repr(value)
        else:
            kind = type(value).__name__
            self.problems.append(
                f"{user} uses {name}, a {kind}: only imports of "
                f"{', '.join(sorted(MODULES))}, constants, classes and functions can "
                "be written down. Make it in the code itself."
            )


def _import_of(name: str, value: Any) -> str:  # noqa: ANN401
    """Return the import that gives a value its name; empty where none does."""
    if isinstance(value, ModuleType):
        module = value.__name__
        return "" if not _allowed(module) else _as("import", module, name)
    module = getattr(value, "__module__", "") or ""
    own = getattr(value, "__name__", name)
    if not _allowed(module) or not isinstance(own, str):
        return ""
    return _as(f"from {module} import", own, name)


def _allowed(module: str) -> bool:
    return module.split(".")[0] in MODULES


def _as(start: str, what: str, name: str) -> str:
    return f"{start} {what}" if what == name else f"{start} {what} as {name}"


def _is_constant(value: Any) -> bool:  # noqa: ANN401
    if not isinstance(value, _CONSTANTS):
        return False
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _definition(thing: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401
    """Return a definition's text, dedented, and the names that it sees.

    A class of a notebook has no file of its own, but its functions do.
    """
    inner = next(_functions(thing), None)
    if inner is None:
        message = (
            f"{getattr(thing, '__name__', thing)!r} is no class with methods and no "
            "function. Pass the class itself, not an object of it."
        )
        raise PlanError(message)
    code = inner.__code__
    lines = linecache.getlines(code.co_filename, inner.__globals__)
    node = _node(lines, thing.__name__, code.co_firstlineno)
    if node is None:
        message = (
            f"The text of {thing.__name__} cannot be found. Define it in a cell or a "
            "file, or pass it: fednb.Code(name, source)."
        )
        raise PlanError(message)
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    text = "".join(lines[first - 1 : node.end_lineno])
    return textwrap.dedent(text).rstrip(), inner.__globals__


def _functions(thing: Any) -> Iterator[FunctionType]:  # noqa: ANN401
    if isinstance(thing, FunctionType):
        yield thing
    elif isinstance(thing, type):
        found = [v for v in vars(thing).values() if isinstance(v, FunctionType)]
        prefix = f"{thing.__qualname__}."
        yield from (f for f in found if f.__qualname__.startswith(prefix))


def _node(lines: list[str], name: str, inside: int) -> _Definition | None:
    """Return the definition of a name that spans a line."""
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        # a cell with magics: IPython keeps it as it was transformed, others do not
        return None
    for node in ast.walk(tree):
        if isinstance(node, _Definition) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first <= inside <= (node.end_lineno or first):
                return node
    return None


def free_names(source: str) -> tuple[str, ...]:
    """Return the names that a module uses and does not define, annotations apart.

    Parameters
    ----------
    source
        A module's text.
    """
    plain = ast.unparse(_Plain().visit(ast.parse(source)))
    top = symtable.symtable(plain, "code", "exec")
    known = {s.get_name() for s in top.get_symbols() if _binds(s)}
    used = dict.fromkeys(_used(top))
    return tuple(n for n in used if n not in known and not hasattr(builtins, n))


def _binds(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def _used(table: symtable.SymbolTable) -> Iterator[str]:
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _used(child)


class _Plain(ast.NodeTransformer):
    """Takes annotations away: they are not evaluated."""

    @override
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    @override
    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    @override
    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        value = node.value or ast.Constant(value=None)
        plain = ast.Assign(targets=[node.target], value=value)
        return self.generic_visit(ast.copy_location(plain, node))
