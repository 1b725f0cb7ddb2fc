"""The state of a training step as this site derives it, round by round.

A secure sum hides a site's update among the others'. It does not help against weights
that were chosen to single somebody out: their update would come back summed, and still
show. So under a secure sum nobody sends a site weights after round 0. The coordinator
relays every site's signed masked vector of the round before; the site forms their sum
and takes the strategy's step by itself, from the state that it derived before. What a
model is evaluated at, or embeds with, must be the end of that same chain.

The initial weights are those of the contract, by hash, and under a profile that
protects anybody they must be those that the plan's seed makes: see
`fednb.site.executor.Executor.execute`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from fednb.config import INLINE_BYTES
from fednb.errors import HomeError, IntegrityError
from fednb.privacy.pool import total_state
from fednb.privacy.signatures import is_released
from fednb.records.arrays import Array, pack, unpack
from fednb.records.base import sha256_hex
from fednb.records.tasks import TrainingPlan
from fednb.strategies.base import StrategyState
from fednb.strategies.registry import strategy_of
from fednb.wire.tensors import save_once

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.records.messages import Call
    from fednb.records.outputs import Output, Place
    from fednb.site.home import Home

    Vectors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Derived:
    """A strategy's state after some rounds, as a site derived it.

    Attributes
    ----------
    state
        What the strategy made of the rounds.
    digest
        Its hash.
    kept
        Its arrays, where they are small; others lie in a file named by the hash.
    """

    state: StrategyState
    digest: str
    kept: dict[str, Array]


class States:
    """Derives the states of training steps.

    Parameters
    ----------
    home
        The site's home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        # the last one in memory: the next round goes on from it
        self._last: Derived | None = None

    def begin(self, call: Call, plan: TrainingPlan) -> Derived:
        """Return the state before the first round, from the contract's weights.

        Parameters
        ----------
        call
            Of round 0; brings the weights, whose hash was checked.
        plan
            Its plan.

        Raises
        ------
        IntegrityError
            It brings anything else, or nothing.
        """
        if set(call.arrays) != {"weights"} or call.relayed:
            message = f"Round 0 takes the weights alone; got {sorted(call.arrays)}."
            raise IntegrityError(message)
        weights = np.asarray(unpack(call.arrays["weights"]), dtype=np.float32)
        return self._keep(call.place, strategy_of(plan).initial(weights))

    def follow(self, call: Call, contract: Contract, before: Derived) -> Derived:
        """Return the state that follows from the parts that a call relays.

        Parameters
        ----------
        call
            Brings all participants' outputs of the round before, and no arrays.
        contract
            Of the call.
        before
            The state before that round.

        Raises
        ------
        IntegrityError
            A part is not what its site signed, or one is missing.
        """
        if call.arrays:
            message = (
                f"Round {call.place.round} was sent {sorted(call.arrays)}; a site "
                "derives them from what all participants signed."
            )
            raise IntegrityError(message)
        state = aggregate(call.relayed, call.place, contract, before.state)
        return self._keep(call.place, state)

    def restore(
        self, place: Place, round_: int, digest: str, kept: Mapping[str, Array]
    ) -> Derived:
        """Return a state that was derived before.

        Parameters
        ----------
        place
            Of the call; its run and step name the file.
        round_
            Rounds done in that state.
        digest, kept
            As `Derived` had them.

        Raises
        ------
        HomeError
            The file is gone or was changed.
        """
        last = self._last
        if last and (last.digest, last.state.round) == (digest, round_):
            return last
        if kept:
            arrays = {name: np.asarray(unpack(a)) for name, a in kept.items()}
        else:
            arrays = self._load(place, digest)
        extra = {n: a for n, a in arrays.items() if n != "weights"}
        return Derived(
            StrategyState(round_, arrays["weights"], extra), digest, dict(kept)
        )

    def forget(self, place: Place, keep: tuple[str, ...]) -> None:
        """Delete the files of a step's states but those with the hashes `keep`."""
        if self._last is not None and self._last.digest not in keep:
            self._last = None
        folder = self._folder(place)
        if folder.is_dir():
            for path in folder.iterdir():
                if path.stem not in keep:
                    path.unlink(missing_ok=True)

    def _keep(self, place: Place, state: StrategyState) -> Derived:
        arrays = {"weights": state.weights, **state.extra}
        digest = digest_of(arrays)
        if sum(a.nbytes for a in arrays.values()) <= INLINE_BYTES:
            return Derived(state, digest, {n: pack(a) for n, a in arrays.items()})
        if not (self._folder(place) / f"{digest}.safetensors").is_file():
            data = save_once(arrays)
            self._home.write_file(_name(place), f"{digest}.safetensors", data)
        self._last = Derived(state, digest, {})
        return self._last

    def _load(self, place: Place, digest: str) -> dict[str, NDArray[Any]]:
        path = self._folder(place) / f"{digest}.safetensors"
        arrays = load_file(path) if path.is_file() else {}
        if not arrays or digest_of(arrays) != digest:
            message = (
                f"The state of run {place.run}, step {place.step} is not at {path} as "
                "it was left. Start a new run."
            )
            raise HomeError(message)
        return arrays

    def _folder(self, place: Place) -> Path:
        return self._home.path / _name(place)


def aggregate(
    relayed: tuple[Output, ...],
    place: Place,
    contract: Contract,
    before: StrategyState,
) -> StrategyState:
    """Return the state after a round, from every participant's signed parts.

    Parameters
    ----------
    relayed
        All participants' vectors of the round, as they were released.
    place
        Names contract, run and training step; round and attempt do not count.
    contract
        Of the training step.
    before
        The state before the round.

    Raises
    ------
    IntegrityError
        A part is not what its site signed for that round, or one is missing.
    """
    plan = contract.steps[place.step]
    if not isinstance(plan, TrainingPlan):
        message = f"Step {place.step} trains nothing."
        raise IntegrityError(message)
    strategy = strategy_of(plan)
    parts: dict[str, list[Output]] = {name: [] for name in strategy.awaited(before)}
    place = msgspec.structs.replace(place, round=before.round)
    for output in relayed:
        if output.name not in parts or not is_released(output, place, contract):
            message = f"The part of {output.site!r} is not what that site signed."
            raise IntegrityError(message)
        parts[output.name].append(output)
    mean = {n: total_state(found, contract.sites()) for n, found in parts.items()}
    return strategy.aggregate(before, mean)


def digest_of(arrays: Vectors) -> str:
    """Return a hash of arrays by name."""
    lines = [
        f"{name}:{values.dtype.str}:{values.shape}:"
        f"{sha256_hex(np.ascontiguousarray(values).view(np.uint8).data)}"
        for name, values in sorted(arrays.items())
    ]
    return sha256_hex("\x1f".join(lines).encode())


def _name(place: Place) -> str:
    # a run's id comes from elsewhere: it must not name a path
    return f"states/{sha256_hex(place.run.encode())[:32]}-{place.step}"
