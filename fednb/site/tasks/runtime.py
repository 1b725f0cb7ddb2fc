"""What torch tasks share: device, threads, precision, generators, caps, files."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fednb.errors import RunError

if TYPE_CHECKING:
    from fednb.records.specs import Device

GIB = 2**30


@dataclass(frozen=True)
class Runtime:
    """Device and precision of a task.

    Parameters
    ----------
    device
        Where the network runs.
    half
        Whether forward passes run in bfloat16, which needs no scaling of the loss.
    """

    device: torch.device
    half: bool

    def precision(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        if self.half:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()


def prepare(device: Device, *, amp: bool, threads: int, gpu_gib: float) -> Runtime:
    """Set up this process for a task.

    Parameters
    ----------
    device
        ``"auto"`` takes CUDA where there is one.
    amp
        Mixed precision, on a CUDA device that computes in bfloat16; ignored elsewhere.
    threads
        CPU threads; with 1 a CPU run is deterministic bit for bit.
    gpu_gib
        GPU memory that this process may allocate, in GiB.

    Raises
    ------
    RunError
        CUDA is asked for and there is none; its cause is ``"device"``.
    """
    torch.set_num_threads(threads)
    # torch.use_deterministic_algorithms is not called: it changes nothing that one CPU
    # thread computes here, and it imports torch's compiler (80 MB, two seconds).
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if device == "cpu" or not torch.cuda.is_available():
        if device == "cuda":
            message = "The plan asks for CUDA; this site has none. Use device='auto'."
            raise RunError(message, cause="device")
        return Runtime(torch.device("cpu"), half=False)
    cap_gpu_memory(gpu_gib)
    half = amp and torch.cuda.is_bf16_supported(including_emulation=False)
    return Runtime(torch.device("cuda", 0), half=half)


def cap_gpu_memory(gpu_gib: float) -> None:
    """Let this process allocate at most `gpu_gib` GiB on the first GPU."""
    total = torch.cuda.get_device_properties(0).total_memory
    fraction = min(1.0, gpu_gib * GIB / total)
    torch.cuda.set_per_process_memory_fraction(fraction, 0)


def seed_of(*scope: object) -> int:
    """Return a seed below 2**63 that belongs to `scope` alone, on every machine."""
    text = "\x1f".join(map(str, scope))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*scope: object) -> np.random.Generator:
    """Return numpy's generator for a scope such as (seed, site, round, "order").

    Each use has its own, so that no task changes what another one draws.
    """
    return np.random.default_rng(seed_of(*scope))


def seed_torch(*scope: object) -> None:
    """Seed torch's global generators, which dropout draws from."""
    torch.manual_seed(seed_of(*scope))
