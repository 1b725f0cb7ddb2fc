from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import samples

from fednb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

STAY = r"^Embeddings stay at the sites \(ucsf, b\); there is nothing to read here\."


@pytest.mark.parametrize(
    "read",
    [
        lambda result: result.data,
        np.asarray,
        lambda result: result[0],
        list,
    ],
)
def test_the_values_stay_at_the_sites(read: Callable[[object], object]):
    with pytest.raises(InputError, match=STAY):
        read(samples.embedding("ucsf"))


def test_what_is_known_is_where_they_are():
    result = samples.embedding("ucsf")
    frame = result.to_frame()
    assert frame.to_dict("list") == {"site": ["ucsf", "b"], "width": [8, 8]}
    assert "300" in repr(result)
