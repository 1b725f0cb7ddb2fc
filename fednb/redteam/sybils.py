"""Two participants under the attacker's keys: a secure sum hides nothing from them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fednb.privacy.agreement import public_hex
from fednb.privacy.fixed_point import totals
from fednb.privacy.pool import total
from fednb.privacy.secure_sum import MaskContext, mask
from fednb.records.arrays import pack
from fednb.records.heads import LogisticPlan
from fednb.records.messages import Call, Release
from fednb.records.outputs import DIGEST_BYTES, Attestation, Output, Place
from fednb.records.specs import SplitSpec
from fednb.redteam.outcome import FEDNB, Attack, Outcome
from fednb.redteam.people import people
from fednb.redteam.sums import rows_between
from fednb.redteam.world import THREE
from fednb.survival.protocol import design_of, replay
from fednb.survival.sums import LikelihoodSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.redteam.coordinator import HostileCoordinator
    from fednb.redteam.world import World
    from fednb.survival.protocol import HeadState

    Floats = NDArray[np.float64]

COVARIATES: Final = ("age", "volume", "idh", "mgmt", "male")
PLAN: Final = LogisticPlan(
    target="death",
    covariates=COVARIATES,
    split=SplitSpec(train=1.0, validation=0.0, test=0.0),
    fit_on="train",
    evaluate_on="none",
)
WIDTH: Final = len(COVARIATES) + 1
INVENTED: Final = ("y", "z")
"""Names of sites that do not exist."""

STEEP: Final = 1e4
"""Coefficients are this share of the unverified attack's: totals have a range."""

FIRM: Final = 50.0
"""Information that a made-up site reports: it decides the next coefficients."""

NEAR: Final = 0.25
"""Of a standard deviation: age and volume name the row whose other columns count."""

_SYBIL = "Name two sites under one's own keys; choose the totals, unmask the third."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    name = "participants under the attacker's keys"
    return (Attack(name, FEDNB, _SYBIL, lambda rng: _slide(world, rng)),)


class _Keys:
    """Keys of the sites that the attacker plays, real ones or invented."""

    def __init__(self, played: tuple[str, ...]) -> None:
        self.played = played
        self.sites = (THREE[0], *played)
        self.signing = {s: Ed25519PrivateKey.generate() for s in played}
        self.agreement = {s: X25519PrivateKey.generate() for s in played}

    def replace(self, contract: Contract) -> Contract:
        """Return a contract in which the other sites are these."""
        first, *others = contract.participants
        forged = tuple(
            msgspec.structs.replace(
                p,
                site=site,
                agreement_key=public_hex(self.agreement[site]),
                signing_key=self.signing[site].public_key().public_bytes_raw().hex(),
            )
            for p, site in zip(others, self.played, strict=True)
        )
        return msgspec.structs.replace(contract, participants=(first, *forged))


class _Session:
    """One contract between site a and the attacker, who plays sites b and c."""

    def __init__(self, team: HostileCoordinator, keys: _Keys) -> None:
        self._team, self._keys = team, keys
        self.contract = keys.replace(team.contract(PLAN, THREE))
        team.propose("a", self.contract)
        self._run = secrets.token_hex(8)
        self._history: list[Floats] = []
        self._parts: tuple[Output, ...] = ()
        self._output: Output | None = None
        self._own: LikelihoodSums | None = None

    def begin(self) -> bool:
        """Get site a's sums at coefficients 0; False where it refuses."""
        q = len(COVARIATES)
        if self._ask("moments", 2 + 2 * q) is None:
            return False
        self._complete(np.concatenate([[20, 10], np.zeros(q), np.full(q, 20 / 3)]))
        return self._evaluate()

    @property
    def left(self) -> int:
        """Number of evaluations that the contract still allows."""
        return PLAN.max_evaluations - len(self._history)

    def score(self, b: Floats) -> Floats | None:
        """Return site a's own score at `b`; None where it refuses."""
        state = self._state()
        if state.newton is None or self._own is None:
            return None
        firm = FIRM * np.eye(WIDTH)
        step = b - state.newton.trial
        wanted = (self._own.information + 2 * firm) @ step - self._own.score
        # a likelihood that only rises is never halved
        level = 1e8 * len(self._history)
        self._complete(LikelihoodSums(wanted / 2, firm, level).to_vector())
        return self._own.score if self._evaluate() else None

    def columns(self, z: Floats) -> Floats:
        """Return a row of the design in the columns' units."""
        scale = self._state().scale
        return z if scale is None else np.asarray(scale.mean + z * scale.std)

    def _state(self) -> HeadState:
        privacy = self.contract.privacy
        design = design_of(PLAN, self.contract.columns, privacy=privacy, parts=3)
        return replay(design, self._history)

    def _evaluate(self) -> bool:
        vector = self._ask("score", WIDTH + WIDTH * (WIDTH + 1) // 2 + 1)
        self._own = (
            None if vector is None else LikelihoodSums.from_vector(vector, WIDTH)
        )
        return self._own is not None

    def _ask(self, name: str, size: int) -> Floats | None:
        """Return site a's vector of the next round with its masks taken off."""
        place = Place(self.contract.hash(), 0, self._run, len(self._history), 0)
        ask = Call(f"{self._run}.{place.round}.a", place, relayed=self._parts)
        reply = self._team.send("a", ask)
        if not isinstance(reply, Release):
            return None
        self._output = reply.attested()[0]
        sites, played = self._keys.sites, self._keys.played
        nothing = [self._part(s, self._output, np.zeros(size)) for s in played]
        return total((self._output, *nothing), sites, training=False)

    def _complete(self, made: Floats) -> None:
        """End a round with what the made-up sites report."""
        if self._output is not None:
            real = self._output
            parts = [self._part(s, real, made) for s in self._keys.played]
            self._parts = (real, *parts)
            found = total(self._parts, self._keys.sites, training=False)
            self._history.append(found)

    def _part(self, site: str, real: Output, values: Floats) -> Output:
        """Return a part as the made-up site would have signed it."""
        context = MaskContext(real.place, real.name, self.contract.participants)
        ring = totals(len(THREE)).encode(values)
        data = pack(mask(ring, site, self._keys.agreement[site], context))
        unsigned = Output(site, real.place, real.name, "masked", data)
        said = Attestation(bytes(DIGEST_BYTES), (unsigned.leaf(),))
        signature = self._keys.signing[site].sign(said.signed_bytes())
        said = msgspec.structs.replace(said, signature=signature)
        return msgspec.structs.replace(unsigned, attestation=said)


class _Oracle:
    """Scores of site a at any coefficients, through as many contracts as it takes."""

    def __init__(self, world: World, played: tuple[str, ...]) -> None:
        self._team, self._keys = world.coordinator, _Keys(played)
        self.session: _Session | None = None
        self.contracts, self.answers, self.refused = 0, 0, False

    def score(self, b: Floats) -> Floats:
        """Return site a's score, zeros once it refuses."""
        if self.refused:
            return np.zeros(WIDTH)
        if self.session is None or self.session.left < 1:
            self.contracts += 1
            self.session = _Session(self._team, self._keys)
            self.refused = not self.session.begin()
        found = None if self.refused else self.session.score(b / 1e7 * STEEP)
        self.refused = found is None
        self.answers += found is not None
        return np.zeros(WIDTH) if found is None else found


def _slide(world: World, rng: np.random.Generator) -> Outcome:
    """Slide a hyperplane through site a's rows; rounding leaves binaries exact."""
    claims: list[Floats] = []
    answers, contracts = 0, 0
    for played in (THREE[1:], INVENTED):
        oracle = _Oracle(world, played)
        direction = rng.normal(size=WIDTH - 1)
        rows = rows_between(oracle.score, direction, -8.0, 8.0, 12)
        answers, contracts = answers + oracle.answers, contracts + oracle.contracts
        if oracle.session is not None:
            claims += [oracle.session.columns(row) for row in rows]
    truth = world.numbers(*COVARIATES, sites=("a",))
    strangers = people(rng, len(truth))
    decoys = np.column_stack([strangers.x, strangers.binary])
    hits = _named(claims, truth) - _named(claims, decoys)
    note = f"{answers} answers under {contracts} contracts"
    return Outcome(max(hits, 0), len(truth), note=note)


def _named(claims: list[Floats], rows: Floats) -> int:
    """Return rows whose three binaries a claim tells, named by age and volume."""
    spread = rows.std(axis=0)
    found = set()
    for claim in claims:
        near = (np.abs(rows - claim)[:, :2] <= NEAR * spread[:2]).all(axis=1)
        same = (np.rint(claim[2:]) == rows[:, 2:]).all(axis=1)
        found |= set(np.flatnonzero(near & same).tolist())
    return len(found)
