from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "site" / "tasks"))

# Without a GPU these tests do not exist: nothing is skipped.
collect_ignore_glob = [] if torch.cuda.is_available() else ["test_*.py"]
