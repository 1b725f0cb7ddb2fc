"""The rounds of one step: what is sent, what is summed, and what is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from fednb.config import INLINE_BYTES
from fednb.coordinator.pooling import call_id
from fednb.coordinator.store import RoundRecord
from fednb.errors import RunError
from fednb.privacy.metrics import TrainingSums
from fednb.records.arrays import Array, pack, unpack
from fednb.records.assessment import AssessmentPlan
from fednb.records.messages import Call
from fednb.records.outputs import Output, Place
from fednb.records.service import Event, RoundLine
from fednb.records.specs import SummedPlan
from fednb.records.tasks import AnyPlan, EmbeddingPlan, EvaluationPlan, TrainingPlan
from fednb.strategies.base import StrategyState
from fednb.strategies.registry import strategy_of
from fednb.survival.assessing import with_fit
from fednb.survival.registry import analysis_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fednb.coordinator.pooling import Collected, Pool
    from fednb.coordinator.store import Store
    from fednb.records.contracts import Contract
    from fednb.strategies.base import Strategy


_NOTHING = pack(np.zeros(0, dtype=np.uint8))


@dataclass(frozen=True)
class Rounds:
    """Drives the rounds of a run's steps; knows no thread and no message.

    Attributes
    ----------
    run, contract
        Whose rounds.
    store, pool
        Of the coordinator.
    going_on
        Asked while sites work; False cuts the round short.
    take_turn
        Called before each round; raises where the run is paused or stopped.
    attempt
        Under which rounds are asked; grows each time the run is started or resumed.
    name
        The contract's hash.
    """

    run: str
    contract: Contract
    store: Store
    pool: Pool
    going_on: Callable[[], bool]
    take_turn: Callable[[], None]
    attempt: int
    name: str
    _kept: dict[int, tuple[Output, ...]] = field(default_factory=dict)

    @property
    def _derives(self) -> bool:
        """Whether sites derive weights by themselves: see `fednb.site.states`."""
        return self.contract.privacy.secure_sum

    def step(self, step: int) -> None:
        """Run a step to its end, from its newest checkpoint.

        Raises
        ------
        FednbError
            See `fednb.coordinator.pooling.Pool.collect`; what was finished is kept.
        """
        plan = self.contract.steps[step]
        if isinstance(plan, TrainingPlan):
            strategy = strategy_of(plan)
            if strategy.relay:
                self._relay(step, plan, strategy)
            else:
                self._train(step, plan, strategy)
        elif isinstance(plan, SummedPlan):
            self._summed(step, plan)
        elif not self.store.rounds(self.run, step):
            self._once(step, plan)

    def _train(self, step: int, plan: TrainingPlan, strategy: Strategy) -> None:
        state = self._begin(step, strategy)
        derives = self._derives
        parts = self._parts(step, state.round - 1) if derives and state.round else ()
        while state.round < plan.rounds * plan.calls:
            began = self._begin_round()
            arrays: dict[str, Array] = {}
            if not derives:
                arrays = {n: pack(a) for n, a in strategy.broadcast(state).items()}
            elif not state.round:
                arrays = {"weights": pack(state.weights)}
            found = self._collect(step, state.round, arrays, relayed=parts)
            mean = {
                name: found.update(name, self.contract)
                for name in found.outputs
                if name != "metrics"
            }
            line = RoundLine(
                state.round,
                self._figures(plan, found),
                time.monotonic() - began,
                found.bytes,
            )
            state = strategy.aggregate(state, mean)
            if derives:
                parts = tuple(o for name in mean for o in found.outputs[name])
            stubs = tuple(_stub(part) for part in parts)
            self._finish(step, line, found, state=_tensors(state), relay=stubs)
        self._kept[step] = parts
        self._keep_weights(step, state)

    def _figures(self, plan: TrainingPlan, found: Collected) -> dict[str, float]:
        """Return a round's figures; the half that sums hazards has none."""
        if "metrics" not in found.outputs:
            return {}
        metrics = found.total("metrics", self.contract, training=True)
        return training_metrics(metrics, survival=plan.survival is not None)

    def _relay(self, step: int, plan: TrainingPlan, strategy: Strategy) -> None:
        sites = self.contract.sites()
        stops = [
            site
            for round_ in range(plan.rounds)
            for group in strategy.visits(round_, sites)
            for site in group
        ]
        known = self.store.checkpoint(self.run, step)
        visit = known[0] + 1 if known else 0
        kept = known[1] if known else {}
        while visit < len(stops):
            began = self._begin_round()
            arrays: dict[str, Array] = {}
            relayed: tuple[Output, ...] = ()
            if visit == 0:
                weights = self.store.weights(self.contract.initial[str(step)])
                arrays = {"weights": pack(weights)}
            else:
                (stub,) = self.store.relay(self.run, step, visit - 1)
                relayed = (msgspec.structs.replace(stub, data=pack(kept["sealed"])),)
            found = self._collect(
                step, visit, arrays, sites=(stops[visit],), relayed=relayed, attempt=0
            )
            last = visit + 1 == len(stops)
            (output,) = found.outputs["weights" if last else "relay"]
            kept = {"weights" if last else "sealed": np.asarray(unpack(output.data))}
            line = RoundLine(visit, {}, time.monotonic() - began, found.bytes)
            self._kept[step] = (output,)
            stubs = (_stub(output),)
            self._finish(step, line, found, state=kept, relay=stubs)
            visit += 1
        trained = np.asarray(kept["weights"], dtype=np.float32)
        self._keep_weights(step, StrategyState(visit, trained))

    def _summed(self, step: int, plan: SummedPlan) -> None:
        """Ask for totals until the replayed step is done; sites replay the same."""
        fit = plan.model.step if isinstance(plan, AssessmentPlan) else None
        if isinstance(plan, AssessmentPlan) and fit is not None:
            plan = with_fit(plan, self.contract, self.store.totals(self.run, fit))
        analysis = analysis_of(plan, self.contract)
        totals = list(self.store.totals(self.run, step))
        state = analysis.replay(totals)
        while state.phase != "done":
            began = self._begin_round()
            round_ = len(totals)
            relayed: tuple[Output, ...] = ()
            if round_:
                relayed = self.store.relay(self.run, step, round_ - 1)
            elif fit is not None:
                # from these the sites see in what the fit ended
                last = len(self.store.totals(self.run, fit)) - 1
                relayed = self.store.relay(self.run, fit, last)
            found = self._collect(step, round_, {}, relayed=relayed)
            summed = found.total(state.phase, self.contract, training=False)
            line = RoundLine(round_, {}, time.monotonic() - began, found.bytes)
            parts = found.outputs[state.phase]
            self._finish(step, line, found, total=summed, relay=parts)
            totals.append(summed)
            state = analysis.replay(totals)

    def _once(self, step: int, plan: AnyPlan) -> None:
        """Ask once: evaluate, embed, describe."""
        began = self._begin_round()
        arrays: dict[str, Array] = {}
        parts: tuple[Output, ...] = ()
        if isinstance(plan, EvaluationPlan | EmbeddingPlan):
            arrays = {"weights": pack(self.store.weights(self._artefact(plan)))}
            parts = self._proof(step, plan)
        found = self._collect(step, 0, arrays, relayed=parts)
        (name,) = found.outputs
        summed = found.total(name, self.contract, training=False)
        line = RoundLine(0, {}, time.monotonic() - began, found.bytes)
        self._finish(step, line, found, total=summed)

    def _proof(
        self, step: int, plan: EvaluationPlan | EmbeddingPlan
    ) -> tuple[Output, ...]:
        """Return what shows sites that weights are those in which a step ended.

        They check it where they meet the weights first.
        """
        wanted = plan.model.sha256
        before = self.contract.steps[:step]
        met = any(
            isinstance(p, EvaluationPlan | EmbeddingPlan) and p.model.sha256 == wanted
            for p in before
        )
        if met or not (wanted.startswith("step:") and self._derives):
            return ()
        number = int(wanted.removeprefix("step:"))
        return self._parts(number, len(self.store.rounds(self.run, number)) - 1)

    def _parts(self, step: int, round_: int) -> tuple[Output, ...]:
        """Return the parts of a training step's last round; sites keep them, too."""
        known = self._kept.pop(step, None)
        if known is not None:
            return known
        stubs = self.store.relay(self.run, step, round_)
        return self.pool.recall(stubs, self.contract)

    def _begin(self, step: int, strategy: Strategy) -> StrategyState:
        known = self.store.checkpoint(self.run, step)
        if known is None:
            weights = self.store.weights(self.contract.initial[str(step)])
            return strategy.initial(weights)
        round_, arrays = known
        extra = {n: a for n, a in arrays.items() if n != "weights"}
        return StrategyState(round_ + 1, arrays["weights"], extra)

    def _begin_round(self) -> float:
        """Return when the round began."""
        self.take_turn()
        return time.monotonic()

    def _collect(
        self,
        step: int,
        round_: int,
        arrays: Mapping[str, Array],
        *,
        sites: tuple[str, ...] = (),
        relayed: tuple[Output, ...] = (),
        attempt: int | None = None,
    ) -> Collected:
        """Make one call to all sites, or to some."""
        if attempt is None:
            attempt = self.attempt
        place = Place(self.name, step, self.run, round_, attempt)
        calls = {
            site: Call(
                id=call_id(place, site),
                place=place,
                arrays=dict(arrays),
                relayed=tuple(_spared(output, site) for output in relayed),
            )
            for site in sites or self.contract.sites()
        }
        return self.pool.collect(calls, self.contract, going_on=self.going_on)

    def _finish(
        self,
        step: int,
        line: RoundLine,
        found: Collected,
        *,
        total: NDArray[np.float64] | None = None,
        state: dict[str, NDArray[Any]] | None = None,
        relay: tuple[Output, ...] = (),
    ) -> None:
        record = RoundRecord(
            self.run, step, line, found.lines, total=total, state=state, relay=relay
        )
        event = Event(
            0, time.time(), "round", step, line.round, metrics=dict(line.metrics)
        )
        self.store.finish_round(record, event)

    def _keep_weights(self, step: int, state: StrategyState) -> None:
        digest = self.store.put_weights(np.asarray(state.weights, dtype=np.float32))
        self.store.put_artefact(self.run, step, digest)

    def _artefact(self, plan: EvaluationPlan | EmbeddingPlan) -> str:
        wanted = plan.model.sha256
        if not wanted.startswith("step:"):
            return wanted
        found = self.store.artefact(self.run, int(wanted.removeprefix("step:")))
        if not found:
            message = f"The study has no artefact of {wanted}; train first."
            raise RunError(message)
        return found


def training_metrics(
    total: NDArray[np.float64], *, survival: bool = False
) -> dict[str, float]:
    """Return pooled figures of a round from the totals that sites send.

    Parameters
    ----------
    total
        `fednb.privacy.metrics.TrainingSums` of all sites, shape (7,).
    survival
        Whether pairs are of survival times: their index is C instead of AUC.
    """
    sums = TrainingSums(*total.tolist())
    found: dict[str, float] = {}
    if sums.n > 0:
        found["train_loss"] = sums.loss / sums.n
    if sums.validation_n > 0:
        found["validation_loss"] = sums.validation_loss / sums.validation_n
    if sums.pairs > 0:
        found["validation_c" if survival else "validation_auc"] = sums.share
    return found


def _spared(output: Output, site: str) -> Output:
    """Return an output as it is relayed to a site: it keeps its own, if large."""
    own = output.site == site and output.data.data.nbytes > INLINE_BYTES
    return _stub(output) if own else output


def _stub(output: Output) -> Output:
    """Return an output without its data: the site keeps those."""
    return msgspec.structs.replace(output, data=_NOTHING)


def _tensors(state: StrategyState) -> dict[str, NDArray[Any]]:
    return {"weights": state.weights, **state.extra}
