"""Where errors end."""

from __future__ import annotations

import pytest

from fednb.wire.boundary import bounded


def failing(error: BaseException):
    def work() -> str:
        raise error

    return work


def test_a_result_is_handed_on():
    assert bounded(lambda: None, lambda error: error) is None


@pytest.mark.parametrize("error", [ValueError("a"), KeyError("b"), RecursionError()])
def test_every_error_ends_in_its_answer(error: Exception):
    assert bounded(failing(error), repr) == repr(error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_what_ends_the_process_goes_on_unless_it_is_to_end_here(error: BaseException):
    with pytest.raises(type(error)):
        bounded(failing(error), repr)
    assert bounded(failing(error), repr, ends=BaseException) == repr(error)


def test_what_passes_goes_on():
    with pytest.raises(BrokenPipeError):
        bounded(failing(BrokenPipeError()), repr, passes=(BrokenPipeError,))


def test_an_error_of_the_answer_goes_on():
    def answer(error: BaseException) -> str:
        raise OSError(str(error))

    with pytest.raises(OSError, match="first"):
        bounded(failing(ValueError("first")), answer)
