"""Cells of notebooks that more than one test runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OPENING = """
import fednb

size = fednb.DemoSize(train=16, validation=16, test=12, voxels=16)
fed = fednb.demo({folder!r}, size=size)
owner = fed.owner("aspen")
training = fednb.TrainingPlan(
    model="small-cnn-3d", target="idh", rounds=8, size=(16, 16, 16), batch_size=8,
    split=fednb.SplitSpec(column="split"),
)
fed["aspen"].datasets["glioma-mri"].mock.view(0, "FLAIR")
"""

REQUEST = """
request = fed.request(training, purpose="IDH from small volumes", profile="open")
for name in ("birch", "dune"):
    fed.owner(name).requests[request.hash].approve()
"""

RUN = "run = request.wait(60).start()\nrun"
RESULT = "run.result()"


def opening(folder: Path) -> str:
    """Return the cell that opens the hospitals in a folder, and shows a mock volume."""
    return OPENING.format(folder=str(folder))
