"""A requester's own code: carried in full by a contract, and named by its hash."""

from __future__ import annotations

from typing import Any

import msgspec

from fednb.errors import PlanError
from fednb.records.base import Name, Record, sha256_hex
from fednb.records.code_check import Problem, arguments_of, problems_of
from fednb.records.code_source import source_of
from fednb.records.specs import Parameter

_SHOWN = 20


class Code(Record, frozen=True):
    """A network, loss or transform of one's own; a site owner reads every line of it.

    It runs at a site only after its owner approved the contract that carries it, in a
    process of its own without network, on the CPU (`fednb.site.confinement`).

    Attributes
    ----------
    name
        Class or function that `source` defines.
    source
        Text of a module that stands alone.
    sha256
        Of the text in UTF-8; empty: computed. Another one than the text's is refused.
    params
        What the class or function is called with, beside what fednb passes: a network
        is called with ``channels`` and ``embedding`` and returns a module from (n,
        channels, X, Y, Z) to (n, embedding); a loss with ``logits`` and ``labels``,
        both (n,), and returns (n,) losses; a transform with ``volume`` (channels, X, Y,
        Z), float32 in numpy, and returns the same shape. A transform that takes ``rng``
        (a numpy generator) too is random, and applies in training only.

    Raises
    ------
    PlanError
        The hash is not the text's.
    """

    name: Name
    source: str
    sha256: str = ""
    params: dict[str, Parameter] = {}

    def __post_init__(self) -> None:
        """Name the text by its hash."""
        digest = sha256_hex(self.source.encode())
        if self.sha256 and self.sha256 != digest:
            message = (
                f"The code of {self.name} has the SHA-256 {digest[:12]}; "
                f"{self.sha256[:12]} was named. One of them was changed."
            )
            raise PlanError(message)
        msgspec.structs.force_setattr(self, "sha256", digest)

    @classmethod
    def of(cls, thing: Any, /, **params: Any) -> Code:  # noqa: ANN401
        """Return the code of a class or function, with all that it uses.

        Imports, constants and helpers are found where `thing` was defined, for example
        in other cells of a notebook, and are written in front of it.

        Parameters
        ----------
        thing
            A subclass of ``torch.nn.Module``, or a function.
        **params
            See the attribute; tuples become lists. ``embedding`` is the number of a
            network's bottleneck units, 8 where it is left out.

        Raises
        ------
        PlanError
            The code does not stand alone, or has problems; each is told by its line.
        """
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in params.items()}
        code = cls(getattr(thing, "__name__", ""), source_of(thing), params=plain)
        code.check()
        return code

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the check finds, by line; see `fednb.records.code_check`."""
        return problems_of(self.name, self.source)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of a function's arguments; empty for a class and for no Python."""
        return arguments_of(self.name, self.source)

    @property
    def lines(self) -> int:
        """Number of lines."""
        return self.source.rstrip("\n").count("\n") + 1

    def check(self) -> None:
        """Refuse code that has problems.

        Raises
        ------
        PlanError
            Lists them by line.
        """
        found = self.problems
        if not found:
            return
        listed = "\n".join(f"  - {problem}" for problem in found[:_SHOWN])
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        noun = "problem" if len(found) == 1 else "problems"
        message = f"The code of {self.name} has {len(found)} {noun}:\n{listed}{more}"
        raise PlanError(message)
