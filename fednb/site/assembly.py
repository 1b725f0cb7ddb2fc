"""Turns an admitted call into work: split, weights, and where a head stands."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fednb.errors import DatasetError, IntegrityError
from fednb.privacy.profiles import PROFILES
from fednb.privacy.sealing import open_sealed, relay_context
from fednb.privacy.signatures import is_released
from fednb.privacy.tables import StatisticsLayout
from fednb.records.arrays import pack
from fednb.records.assessment import AssessmentPlan
from fednb.records.base import sha256_hex
from fednb.records.edges import check_edges
from fednb.records.heads import HeadPlan
from fednb.records.messages import Release
from fednb.records.specs import SplitSpec, SummedPlan
from fednb.records.tasks import AnyPlan, EmbeddingPlan, StatisticsPlan, TrainingPlan
from fednb.site.admission import (
    artefact_of,
    pinned,
    rounds_of,
    route,
    run_state,
)
from fednb.site.histories import seen_of
from fednb.site.states import States, aggregate
from fednb.site.work import Work
from fednb.strategies.registry import resolve, strategy_of
from fednb.survival.registry import analysis_of
from fednb.wire.codec import decode_as

if TYPE_CHECKING:
    from fednb.records.contracts import Contract
    from fednb.records.messages import Call
    from fednb.records.outputs import Output, Place
    from fednb.site.catalog import Registered
    from fednb.site.home import Home
    from fednb.site.keys import SiteKeys
    from fednb.site.work import Known

    Split = dict[str, tuple[int, ...]]

PARTS = ("train", "validation", "test")

_KEPT_SPLITS: Final = 16


class Assembly:
    """Builds the work of one site.

    Parameters
    ----------
    home, keys
        Of the site.
    """

    def __init__(self, home: Home, keys: SiteKeys) -> None:
        self._home = home
        self._keys = keys
        self._site = home.get("name")
        self._folder = str(home.folder("work"))
        self._states = States(home)
        self._splits: dict[tuple[str, SplitSpec], Split] = {}

    def work(
        self,
        call: Call,
        contract: Contract,
        dataset: Registered,
        known: Known,
    ) -> Work:
        """Return the work of an admitted call.

        Parameters
        ----------
        call
            Admitted.
        contract
            In force.
        dataset
            The contract's, at this site.
        known
            What was found out while it was admitted.

        Raises
        ------
        IntegrityError
            Relayed outputs are not what the participants signed.
        FitError
            The head cannot go on.
        PlanError
            Times or knots are not on this owner's grid.
        """
        call = self._completed(call)
        plan = contract.steps[call.place.step]
        if contract.standing:
            plan = msgspec.json.decode(call.query, type=AnyPlan)
        if contract.privacy.profile != "open":
            check_edges(plan, dataset.manifest.columns)
        layout = None
        if isinstance(plan, StatisticsPlan):
            layout = StatisticsLayout.from_plan(plan, contract.columns)
        work = Work(
            call=call.id,
            place=call.place,
            plan=plan,
            round=call.place.round,
            rounds=rounds_of(plan),
            site=self._site,
            share=contract.weights[contract.sites().index(self._site)],
            sites=len(contract.participants),
            manifest=dataset.manifest,
            table=dataset.table,
            images=dataset.images,
            folder=self._folder,
            split=self._split(dataset, split_of(plan)),
            profile=PROFILES[contract.privacy.profile],
            seconds=contract.resources.seconds,
            gpu_gib=contract.resources.gpu_gib,
            columns=contract.columns,
            arrays=call.arrays,
            known=known,
            layout=layout,
        )
        if isinstance(plan, EmbeddingPlan):
            self._check_artefact(work, call, contract)
            return replace(work, embedding=f"{call.place.contract}-{call.place.step}")
        if isinstance(plan, SummedPlan):
            return self._summed(work, call, contract, plan)
        if isinstance(plan, TrainingPlan):
            return self._train(work, call, contract, plan)
        self._check_artefact(work, call, contract)
        return work

    def _completed(self, call: Call) -> Call:
        """Fill in what this site released itself: nobody sends it back."""
        return msgspec.structs.replace(
            call, relayed=tuple(self._whole(output) for output in call.relayed)
        )

    def _whole(self, output: Output) -> Output:
        if output.site != self._site or output.data.data.nbytes:
            return output
        place = output.place
        row = self._home.database.execute(
            "SELECT reply, reply_path FROM calls WHERE (contract, step, run, round, "
            "attempt) = (?, ?, ?, ?, ?)",
            (place.contract, place.step, place.run, place.round, place.attempt),
        ).fetchone()
        if row is None or (row[0] is None and not Path(row[1]).is_file()):
            return output
        frame = bytes(row[0]) if row[0] is not None else Path(row[1]).read_bytes()
        release = decode_as(frame, Release)
        kept = next((o for o in release.outputs if o.name == output.name), output)
        return msgspec.structs.replace(output, data=kept.data)

    def _train(
        self, work: Work, call: Call, contract: Contract, plan: TrainingPlan
    ) -> Work:
        """Say where a round begins; parts in the clear need no derivation."""
        if resolve(plan.strategy).relay:
            return self._visit(work, call, contract, plan)
        if plan.calls > 1:
            work = replace(work, round=work.round // plan.calls, rounds=plan.rounds)
        if plan.dp is not None:
            work = replace(work, secret=self._secret(call.place))
        if contract.privacy.secure_sum:
            return self._derive(work, call, contract, plan)
        return work

    def _derive(
        self, work: Work, call: Call, contract: Contract, plan: TrainingPlan
    ) -> Work:
        """Derive a round's weights from what all participants signed."""
        place = call.place
        known = work.known.before
        if place.round == 0 or known is None:
            now = self._states.begin(call, plan)
        else:
            now = self._states.restore(place, known.round, known.digest, known.kept)
            # another attempt of a round starts from what it started from before
            if known.round != place.round:
                self._states.forget(place, (known.digest,))
                now = self._states.follow(call, contract, now)
        sent = strategy_of(plan).broadcast(now.state)
        arrays = {name: pack(values) for name, values in sent.items()}
        return replace(work, arrays=arrays, digest=now.digest, kept=now.kept)

    def _check_artefact(self, work: Work, call: Call, contract: Contract) -> None:
        """Refuse weights of an earlier step that are not what that step ended in."""
        named = artefact_of(work.plan)
        number = named.removeprefix("step:")
        if number == named:
            return
        place = msgspec.structs.replace(call.place, step=int(number))
        if number in pinned(self._home, place.run):
            # what the weights had to be compared with has done its work
            self._states.forget(place, ())
            return
        plan = contract.steps[place.step]
        if not isinstance(plan, TrainingPlan) or not contract.privacy.secure_sum:
            return
        if resolve(plan.strategy).relay:
            weights = _handed_out(call, place, contract, plan).data.data
        else:
            weights = self._last_weights(call, place, contract, plan)
        if sha256_hex(weights) != sha256_hex(call.arrays["weights"].data):
            message = f"The weights are not those in which step {number} ended."
            raise IntegrityError(message)

    def _last_weights(
        self, call: Call, place: Place, contract: Contract, plan: TrainingPlan
    ) -> memoryview:
        """Return the weights in which a training step ended, as derived here."""
        known = run_state(self._home, place.run, place.step)
        if known is None or known.round + 1 != rounds_of(plan):
            message = f"Step {place.step} has not ended at this site."
            raise IntegrityError(message)
        before = self._states.restore(place, known.round, known.digest, known.kept)
        state = aggregate(call.relayed, place, contract, before.state)
        return pack(state.weights).data

    def _secret(self, place: Place) -> bytes:
        """Return 32 bytes that only this site can know of a round (rule 13)."""
        where = (place.contract, str(place.step), place.run, str(place.round))
        return self._keys.salted("noise", *where)

    def _summed(
        self, work: Work, call: Call, contract: Contract, plan: SummedPlan
    ) -> Work:
        """Replay the step from what all participants signed (disclosure rule 19)."""
        place = call.place
        seen = seen_of(plan, call, contract, work.known.before, self._home)
        analysis = analysis_of(seen.plan, contract)
        embedding = ""
        if isinstance(plan, HeadPlan | AssessmentPlan) and plan.embedding is not None:
            made = plan.embedding.contract
            made = place.contract if made == "study" else made
            embedding = f"{made}-{plan.embedding.step}"
        return replace(
            work,
            plan=seen.plan,  # type: ignore[arg-type]
            analysis=analysis,
            stage=analysis.replay(seen.totals),
            history=seen.history,
            embedding=embedding,
        )

    def _visit(
        self, work: Work, call: Call, contract: Contract, plan: TrainingPlan
    ) -> Work:
        """Open what the previous site sealed, and say to whom the weights go next."""
        stops = route(plan, contract.sites())
        visit = call.place.round
        if stops[visit] != self._site:
            message = f"Visit {visit} belongs to {stops[visit]}, not to {self._site}."
            raise IntegrityError(message)
        arrays = dict(call.arrays)
        if visit > 0:
            sealed = _handed_on(call, contract, stops[visit - 1])
            raw = open_sealed(
                bytes(sealed.data.data),
                self._keys.agreement,
                relay_context(sealed.place),
            )
            arrays = {"weights": pack(np.frombuffer(raw, dtype="<f4"))}
        recipient = ""
        if visit + 1 < len(stops):
            agreement = {p.site: p.agreement_key for p in contract.participants}
            recipient = agreement[stops[visit + 1]]
        per_cycle = len(stops) // plan.rounds
        return replace(
            work,
            round=visit // per_cycle,
            arrays=arrays,
            recipient=recipient,
            relay=True,
        )

    def _split(self, dataset: Registered, spec: SplitSpec) -> Split:
        """Return which patients are in which part; the splits used last are kept."""
        key = (dataset.fingerprint, spec)
        found = self._splits.get(key)
        if found is None:
            if len(self._splits) >= _KEPT_SPLITS:
                self._splits.clear()
            found = self._split_anew(dataset, spec)
            self._splits[key] = found
        return found

    def _split_anew(self, dataset: Registered, spec: SplitSpec) -> Split:
        """Split patients as a column says, or in an order of this site's salt."""
        if spec.column:
            return _given_split(dataset.table, spec.column)
        patients = dataset.manifest.patients
        order = sorted(
            range(len(patients)),
            key=lambda i: self._keys.salted("split", spec.key, patients[i]),
        )
        n = len(order)
        first = round(spec.train * n)
        second = first + round(spec.validation * n)
        if spec.test == 0:
            second = n
        return {
            "train": tuple(sorted(order[:first])),
            "validation": tuple(sorted(order[first:second])),
            "test": tuple(sorted(order[second:])),
        }


def _handed_on(call: Call, contract: Contract, before: str) -> Output:
    """Return the box of the visit before: a box does not say who sealed it.

    Anybody can seal to a site's public key. Were unsigned boxes opened, a coordinator
    could hand in weights of its own making and read one site's update off the last.
    """
    if len(call.relayed) == 1 and not call.arrays:
        (output,) = call.relayed
        named = (output.site, output.name, output.kind) == (before, "relay", "sealed")
        if named and is_released(output, _before(call.place), contract):
            return output
    message = f"Visit {call.place.round} needs the one box that {before!r} signed."
    raise IntegrityError(message)


def _handed_out(
    call: Call, place: Place, contract: Contract, plan: TrainingPlan
) -> Output:
    """Return the weights that the last visit of a relay released, as signed there."""
    stops = route(plan, contract.sites())
    last = msgspec.structs.replace(place, round=len(stops) - 1)
    for output in call.relayed:
        named = (output.site, output.name) == (stops[-1], "weights")
        if named and is_released(output, last, contract):
            return output
    message = f"The weights of step {place.step} need what {stops[-1]!r} signed."
    raise IntegrityError(message)


def _given_split(table: str, column: str) -> Split:
    """Return patient indices by the part that a column of the table names."""
    parts: dict[str, list[int]] = {name: [] for name in PARTS}
    with Path(table).open(encoding="utf-8-sig", newline="") as stream:
        for index, row in enumerate(csv.DictReader(stream)):
            part = row.get(column, "")
            if part not in parts:
                problem = f"Column {column!r} holds {part!r}; allowed: {PARTS}."
                raise DatasetError([problem])
            parts[part].append(index)
    return {name: tuple(found) for name, found in parts.items()}


def split_of(plan: AnyPlan) -> SplitSpec:
    """Return the split that a plan uses; the default where it needs none."""
    if isinstance(plan, TrainingPlan | HeadPlan | AssessmentPlan):
        return plan.split
    model = getattr(plan, "model", None)
    return model.training.split if model is not None else SplitSpec()


def _before(place: Place) -> Place:
    """Return the place of the round before."""
    return msgspec.structs.replace(place, round=place.round - 1)
