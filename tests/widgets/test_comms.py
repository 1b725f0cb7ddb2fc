"""What a page says goes to the subshell that it chose."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

from ipykernel.comm.comm import BaseComm

from fednb.widgets.comms import hear_while_busy


def test_a_comm_hears_in_the_shell_that_the_page_chose():
    comm = SimpleNamespace(_reply_subshell_for=lambda _data, _default: None)
    hear_while_busy(SimpleNamespace(comm=comm))
    assert comm._reply_subshell_for({"method": "custom"}, "abc") == "abc"


def test_a_comm_without_a_choice_stays_as_it_is():
    comm = SimpleNamespace()
    hear_while_busy(SimpleNamespace(comm=comm))
    assert vars(comm) == {}


def test_ipykernel_asks_a_comm_as_is_relied_on():
    """Where this fails, look whether a page is heard while a cell runs."""
    asked = inspect.signature(BaseComm._reply_subshell_for)
    assert list(asked.parameters) == ["self", "data", "default"]
