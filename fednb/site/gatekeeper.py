"""The gatekeeper: every message to a site is decided, run and answered here."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWorking
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fednb.config import LONG_POLL_SECONDS
from fednb.errors import HomeError, RunStoppedError
from fednb.records.base import canonical, sha256_hex
from fednb.records.messages import (
    Ask,
    AskStatus,
    Browse,
    Call,
    Collect,
    FetchMock,
    Ping,
    Propose,
    StopRun,
)
from fednb.records.outputs import Decision
from fednb.site.admission import (
    artefact_of,
    check_call,
    check_repeat,
    next_state,
    released_after,
    run_state,
)
from fednb.site.approvals import Approvals, Filed
from fednb.site.assembly import Assembly
from fednb.site.budgets import Budgets
from fednb.site.catalog import Catalog, Registered
from fednb.site.cohorts import Cohorts
from fednb.site.executor import Executor, Product, initial_weights
from fednb.site.fingerprints import Fingerprints
from fednb.site.keys import SiteKeys
from fednb.site.ledger import KNOWN_KEY, Ledger
from fednb.site.policy import (
    approves_itself,
    check_contract,
    confinement_of,
    read_policy,
)
from fednb.site.proposals import check_proposal
from fednb.site.release import Outgoing, Releases
from fednb.site.verdicts import deny, settle, verdict_of
from fednb.site.work import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.site.home import Home
    from fednb.site.policy import Policy
    from fednb.site.work import Work
    from fednb.site.worker_process import WorkerProcess

__all__ = ["Gatekeeper", "initial_weights"]


class _Working(NamedTuple):
    """A call that is being worked on, and what is told of it."""

    future: Future[bytes]
    about: dict[str, object]


class Gatekeeper:
    """Decides on every message to one site.

    Parameters
    ----------
    home
        The site's home, locked by the server.
    worker
        The torch worker; embedded sites share one.
    in_call
        Whether a call is worked on in the thread that brought it, however long it
        takes: where no connection could be lost meanwhile.
    """

    def __init__(
        self, home: Home, worker: WorkerProcess, *, in_call: bool = False
    ) -> None:
        self._home = home
        self._in_call = in_call
        self._keys = SiteKeys(home.folder("keys"), home.get(KNOWN_KEY))
        self._ledger = Ledger(home, self._keys)
        self._approvals = Approvals(home, self._ledger)
        self._catalog = Catalog(home, self._keys)
        self._cohorts = Cohorts(home, self._keys)
        self._releases = Releases(home, self._keys, self._ledger)
        self._assembly = Assembly(home, self._keys)
        self._budgets = Budgets(home)
        self._executor = Executor(worker)
        self._site = home.get("name")
        self._working: dict[str, _Working] = {}
        self._intake = threading.Lock()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix=f"fednb-{self._site}")
        self._fingerprints = Fingerprints(self._catalog, self._site)
        self._begun: dict[str, str] = {}

    def close(self) -> None:
        """Stop taking work, and wait for what is left: the worker is shut before."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def handle(self, ask: Ask, about: dict[str, object]) -> bytes:
        """Answer a message.

        Parameters
        ----------
        ask
            Any message of the closed list.
        about
            Takes up what was asked, for `refuse`.

        Returns
        -------
        reply
            A frame that `fednb.site.release` made.
        """
        if isinstance(ask, Call):
            return self._call(ask, about)
        if isinstance(ask, Collect):
            return self._collect(ask)
        if isinstance(ask, Propose):
            return self._propose(ask)
        if isinstance(ask, Browse | FetchMock):
            return self._publish(ask)
        return self._protocol(ask)

    def refuse(self, error: BaseException, about: dict[str, object]) -> bytes:
        """Answer with fixed text for an error; its words stay in the ledger.

        Parameters
        ----------
        error
            What went wrong.
        about
            What was asked, for the owner.
        """
        decision = verdict_of(error)
        if isinstance(error, HomeError):
            return self._releases.refuse_unrecorded(decision)
        return self._releases.refuse(decision, about)

    def _publish(self, ask: Browse | FetchMock) -> bytes:
        if isinstance(ask, Browse):
            names = self._catalog.names()
            cards = [(n, canonical(self._catalog.get(n).card)) for n in names]
            return self._releases.publish("cards", tuple(cards))
        if self._catalog.find(ask.dataset) is None:
            reason = f"No dataset {ask.dataset!r}."
            decision = deny("publication.dataset", reason, "unknown-dataset")
            return self._releases.refuse(decision, {"dataset": ask.dataset[:80]})
        return self._releases.publish("mock", self._catalog.mock_items(ask.dataset))

    def _protocol(self, ask: Ping | AskStatus | StopRun) -> bytes:
        if isinstance(ask, AskStatus):
            filed = self._approvals.find(ask.contract)
            return self._releases.state(filed.status if filed else "unknown")
        if isinstance(ask, StopRun):
            self._executor.stop(ask.run)
            self._executor.forget(ask.run)
            return self._releases.state("stopped")
        return self._releases.state("ready")

    def _propose(self, ask: Propose) -> bytes:
        received = self._approvals.receive(ask.contract, ask.signature)
        about: dict[str, object] = {"contract": sha256_hex(ask.contract)}
        if isinstance(received, Decision):
            return self._releases.refuse(received, about)
        digest = received.hash()
        if self._approvals.find(digest) is None:
            policy = read_policy(self._home)
            decision = check_proposal(
                received,
                site=self._site,
                keys=self._keys,
                catalog=self._catalog,
                policy=policy,
                peers=self._approvals.peers,
            )
            if not decision.allow:
                return self._releases.refuse(decision, about)
            self._approvals.file(received, ask.signature)
            strangers = self._approvals.peers.strangers(received)
            if approves_itself(policy, received, strangers):
                self._approvals.decide(digest, "approved", "by the site's policy")
            elif policy.carry_over == "tightening":
                self._approvals.carry_over(digest)
        filed = self._approvals.find(digest)
        return self._releases.state(filed.status if filed else "unknown")

    def _call(self, call: Call, about: dict[str, object]) -> bytes:
        place = call.place
        about |= {
            "call": call.id,
            "contract": place.contract,
            "step": place.step,
            "run": place.run,
            "round": place.round,
        }
        inputs = call.inputs()
        with self._intake:
            answer = self._taken(call, inputs, about)
        return answer()

    def _taken(
        self, call: Call, inputs: str, about: dict[str, object]
    ) -> Callable[[], bytes]:
        """Take a call in, one at a time, and return what brings its answer."""
        digest = call.digest(inputs)
        known = self._releases.recorded(call.id, digest)
        if known is not None:
            return partial(self._told, known, about)
        working = self._working.get(call.id)
        if working is None:
            admitted = self._admit(call, inputs)
            if isinstance(admitted, Decision):
                return partial(self._told, admitted, about)
            run = partial(self._run, call, digest, *admitted)
            if self._executor.is_light(admitted[0]):
                # what it answers is settled before another is admitted
                return partial(self._told, run(), about)
            if self._in_call:
                return run
            working = _Working(self._threads.submit(run), about)
            self._working[call.id] = working
        return partial(self._wait, call.id, working, call.wait)

    def _told(self, answer: bytes | Decision, about: dict[str, object]) -> bytes:
        if isinstance(answer, Decision):
            return self._releases.refuse(answer, about)
        return answer

    def _collect(self, ask: Collect) -> bytes:
        working = self._working.get(ask.id)
        if working is not None:
            return self._wait(ask.id, working, ask.wait)
        reason = f"Call {ask.id} is not known here; send it in full."
        unknown = deny("call.known", reason, "unknown-contract")
        known = self._releases.recorded(ask.id, "") or unknown
        return self._told(known, {"call": ask.id})

    def _wait(self, call_id: str, working: _Working, wait: float) -> bytes:
        """Hold a call open for a while, then say that it is being worked on."""
        future, about = working
        try:
            error = future.exception(timeout=min(max(wait, 0.0), LONG_POLL_SECONDS))
        except StillWorking:
            return self._releases.state("working")
        self._working.pop(call_id, None)
        if error is not None:
            return self.refuse(error, about)
        return future.result()

    def _admit(self, call: Call, inputs: str) -> tuple[Work, Filed] | Decision:
        """Check everything that a call must satisfy, and assemble its work."""
        filed = self._approvals.check(call.place.contract)
        if isinstance(filed, Decision):
            return filed
        contract = filed.contract
        dataset = self._catalog.find(contract.dataset)
        policy = read_policy(self._home)
        before = None
        if not contract.standing:
            before = run_state(self._home, call.place.run, call.place.step)
        known = Known(inputs, confinement_of(policy), before)
        decision = settle(self._checks(call, known, filed, dataset, policy))
        if not decision.allow or dataset is None:
            return decision
        asked = self._assembly.work(call, contract, dataset, known)
        decision = settle(self._checks_of_work(asked, contract, policy))
        if not decision.allow:
            return decision
        work = self._cohorts.opened(contract, asked, policy.max_fits)
        if isinstance(work, Decision):
            return work
        if not contract.standing:
            self._begun[filed.hash] = call.place.run
        return work, filed

    def _checks_of_work(
        self, work: Work, contract: Contract, policy: Policy
    ) -> Iterator[Decision]:
        yield self._cohorts.check_sites(contract, work.plan, work.profile)
        yield check_repeat(work, self._home)
        most, delta = policy.max_epsilon, policy.max_delta
        yield self._budgets.reserve(work, contract, most, delta)

    def _checks(
        self,
        call: Call,
        known: Known,
        filed: Filed,
        dataset: Registered | None,
        policy: Policy,
    ) -> Iterator[Decision]:
        if self._executor.stopped(call.place.run):
            yield deny("call.stopped", "The run was stopped here.", "stopped")
        contract = filed.contract
        yield check_contract(policy, contract)
        yield self._approvals.peers.check(contract, policy.peers)
        if dataset is None:
            reason = f"{contract.dataset!r} is gone."
            yield deny("call.dataset", reason, "unknown-dataset")
            return
        yield self._fingerprints.check(call, contract, dataset)
        yield check_call(call, contract, known, self._home, self._approvals)
        begun = self._begun.get(filed.hash, call.place.run)
        if not contract.standing and begun != call.place.run:
            # its first round is still being worked on: nothing is recorded yet
            reason = f"The contract was used up by run {begun}."
            yield deny("call.run", reason, "replayed")

    def _run(self, call: Call, digest: str, work: Work, filed: Filed) -> bytes:
        """Execute and release; fits are counted though they be refused: it tells."""
        try:
            return self._answer(call, digest, work, filed)
        finally:
            self._budgets.let_go(work)
            self._cohorts.charge(work.page)

    def _answer(self, call: Call, digest: str, work: Work, filed: Filed) -> bytes:
        """Execute, and release what the disclosure rules let pass."""
        contract = filed.contract
        product = self._execute(work, filed)
        if isinstance(product, Decision):
            about: dict[str, object] = {"call": call.id, "contract": filed.hash}
            return self._releases.refuse(product, about)
        vectors = _named(product, work)
        counts = released_after(call, work.known.before, vectors, self._home)
        outgoing = Outgoing(
            call=call,
            contract=contract,
            digest=digest,
            vectors=vectors,
            decisions=product.decisions,
            state=None if contract.standing else self._state_after(call, work, counts),
            released=counts,
            recipient=work.recipient,
            page=work.page,
        )
        return self._releases.release(outgoing)

    def _execute(self, work: Work, filed: Filed) -> Product | Decision:
        """Execute; the owner may revoke the contract while it is worked on."""

        def standing() -> Filed | Decision:
            return self._approvals.check_again(filed)

        try:
            product = self._executor.execute(
                work, allowed=lambda: isinstance(standing(), Filed)
            )
        except RunStoppedError:
            stands = standing()
            if isinstance(stands, Decision):
                return stands
            raise
        stands = standing()
        if isinstance(stands, Decision):
            return stands
        return product.denial or product

    def _state_after(self, call: Call, work: Work, released: dict[str, int]) -> bytes:
        before = work.known.before
        pins = dict(before.pinned) if before else {}
        wanted = artefact_of(work.plan)
        if wanted.startswith("step:"):
            pins[wanted.removeprefix("step:")] = sha256_hex(call.arrays["weights"].data)
        return next_state(
            call,
            before,
            pinned=pins,
            history=work.history,
            inputs=work.known.inputs,
            digest=work.digest,
            kept=work.kept,
            released=released,
        )


def _named(product: Product, work: Work) -> dict[str, NDArray[np.generic]]:
    """Name a relay's weights after where they go: on, or out at the last visit."""
    vectors = dict(product.vectors)
    if work.relay:
        weights = vectors.pop("weights")
        vectors = {"relay" if work.recipient else "weights": weights}
    return vectors
