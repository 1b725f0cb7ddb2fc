"""Where errors end: none passes, whatever it is, and something else is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")


def bounded(
    work: Callable[[], T],
    answer: Callable[[BaseException], T],
    *,
    ends: type[BaseException] = Exception,
    passes: tuple[type[BaseException], ...] = (),
) -> T:
    """Return what some work returns, or what is answered to its error.

    Parameters
    ----------
    work
        What may fail.
    answer
        Called with the error; returns what takes the place of a result.
    ends
        Errors that end here.
    passes
        Errors of these that go on all the same.
    """
    boundary = _Boundary(answer, ends, passes)
    with boundary:
        boundary.results.append(work())
    return boundary.results[0]


class _Boundary(Generic[T]):
    """A context manager rather than an ``except``.

    It must hold for every error there is, including those of libraries that nobody
    foresaw, and it is the one place where that may be.
    """

    def __init__(
        self,
        answer: Callable[[BaseException], T],
        ends: type[BaseException],
        passes: tuple[type[BaseException], ...],
    ) -> None:
        self._answer = answer
        self._ends = ends
        self._passes = passes
        self.results: list[T] = []

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, self._ends) or isinstance(error, self._passes):
            return False
        self.results.append(self._answer(error))
        return True
