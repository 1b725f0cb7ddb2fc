"""Every byte that crosses in a study and in statistics, read by an independent walk."""

from __future__ import annotations

import csv
import struct
from dataclasses import dataclass, field

import msgspec
import nibabel
import numpy as np
import pytest
from clinics import COLUMNS, clinic
from counterparty import approved, drafted, head_call, propose, refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from safetensors.numpy import load_file
from small_studies import SITES, serve, small

from fednb.config import PROTOCOL_VERSION
from fednb.coordinator.handles import Preview
from fednb.embedded.federation import Federation
from fednb.phantom.demo import DATASET
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.messages import Refusal
from fednb.records.specs import SplitSpec
from fednb.records.studies import StudyPlan
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan

FRAME = 1024
COORDINATOR = "transcript"


@dataclass
class Transcript:
    """What crossed: for each message its site, its direction and its bytes."""

    frames: list[tuple[str, str, bytes]] = field(default_factory=list)
    contracts: dict = field(default_factory=dict)
    rehearsed: object = None

    def blob(self) -> bytes:
        return b"\n".join(frame for _, _, frame in self.frames)

    def replies(self):
        for site, direction, frame in self.frames:
            if direction == "from-site":
                yield site, frame, walk(frame)


def walk(frame: bytes) -> dict:
    """Read a frame without the code under test."""
    magic, version, length = struct.unpack_from("<3sBQ", frame)
    assert (magic, version) == (b"FNB", PROTOCOL_VERSION)
    assert not any(frame[12 + length :])
    return msgspec.msgpack.decode(frame[12 : 12 + length])


def plan() -> StudyPlan:
    training = small(2)
    model = StudyPlan.model_of(0, training)
    embedding = StudyPlan.embedding_of(2)
    return StudyPlan(
        (
            training,
            EvaluationPlan(model),
            EmbeddingPlan(model),
            LogisticPlan(embedding, "score", ("age",), target="idh", fit_on="all"),
            CoxPlan(
                embedding,
                "score",
                ("age",),
                penalizer=0.05,
                fit_on="all",
                duration="os_months",
                event="death",
            ),
        )
    )


@pytest.fixture(scope="module")
def transcript(hospitals):
    """A whole study and statistics under the standard profile."""
    found = Transcript()
    with serve(hospitals, COORDINATOR) as fed:
        fed.transport.observe(lambda *event: found.frames.append(event))
        fed.statistics(DATASET, ["age", "os_months", "idh"], by="sex")
        fed.statistics(DATASET, ["age"], sites=["dune"])
        # the standing contracts of statistics name what a description brings, too
        fed.describe(DATASET)
        fed.describe(DATASET, sites=["dune"])
        request = fed.request(plan(), dataset=DATASET, purpose="a transcript")
        found.rehearsed = request.preview(dry_run=True).rehearsal
        request.start().results()
        assert request.contract.privacy.profile == "standard"
        assert fed["aspen"].datasets[DATASET].mock.table.size
        found.contracts = {r.hash: r.contract for r in fed.requests}
    return found


def test_only_the_three_kinds_of_law_one_leave_a_site(transcript):
    seen = set()
    for site, frame, reply in transcript.replies():
        seen.add(reply["type"])
        assert reply["type"] in {"State", "Refusal", "Release", "Publication"}
        assert reply["site"] == site
        if reply["type"] in {"State", "Refusal"}:
            assert len(frame) == FRAME
    assert {"State", "Release", "Publication"} <= seen


def test_every_release_holds_what_an_approved_contract_names(transcript):
    spent: dict[tuple, int] = {}
    count = 0
    for site, _, reply in transcript.replies():
        if reply["type"] != "Release":
            continue
        place = reply["place"]
        contract = transcript.contracts[place["contract"]]
        keys = {p.site: p.signing_key for p in contract.participants}
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys[site]))
        said = reply["attestation"]
        signed = b"".join((b"fednb-release\x1f", said["head"], *said["leaves"]))
        key.verify(said["signature"], signed)
        named = {(o.step, o.name): o for o in contract.outputs}
        for output in reply["outputs"]:
            count += 1
            spec = named[place["step"], output["name"]]
            assert output["kind"] == spec.kind
            assert output["place"] == place
            assert len(output["data"]["data"]) <= spec.bytes
            assert np.prod(output["data"]["shape"]) <= spec.elements
            where = (site, place["contract"], place["step"], output["name"])
            spent[where] = spent.get(where, 0) + 1
            assert spent[where] <= spec.times
    assert count > 40


def test_what_the_preview_names_is_what_crosses_and_nothing_else(transcript):
    """Equal sets: an owner who read the preview knows every output there will be."""
    seen: dict[str, set] = {}
    size: dict[tuple[str, str], int] = {}
    for site, _, reply in transcript.replies():
        if reply["type"] == "Release":
            digest = reply["place"]["contract"]
            for output in reply["outputs"]:
                line = (reply["place"]["step"], output["name"], output["kind"])
                seen.setdefault(digest, set()).add(line)
                data = len(output["data"]["data"])
                size[digest, site] = size.get((digest, site), 0) + data
    assert len(seen) == 3
    for digest, lines in seen.items():
        contract = transcript.contracts[digest]
        assert lines == {(o.step, o.name, o.kind) for o in Preview(contract).outputs}
    for (digest, _), data in size.items():
        outputs = transcript.contracts[digest].outputs
        assert 0 < data <= sum(o.bytes * o.times for o in outputs)


def test_a_dry_run_of_the_study_shows_the_same_outputs(transcript):
    rehearsal = transcript.rehearsed
    contract = transcript.contracts[rehearsal.contract]
    named = {(o.step, o.name, o.kind): o for o in contract.outputs}
    assert {(o.step, o.name, o.kind) for o in rehearsal.outputs} == set(named)
    shapes = {
        (r["place"]["step"], o["name"]): tuple(o["data"]["shape"])
        for _, _, r in transcript.replies()
        if r["type"] == "Release" and r["place"]["contract"] == rehearsal.contract
        for o in r["outputs"]
    }
    assert {(o.step, o.name): o.shape for o in rehearsal.outputs} == shapes
    assert rehearsal.cost.memory > 50_000_000
    update = next(o for o in rehearsal.outputs if o.name == "update")
    assert rehearsal.cost.bytes_out >= 2 * update.bytes


def test_a_single_site_is_never_seen_in_the_clear(transcript):
    kinds = {
        (o["kind"], len(transcript.contracts[r["place"]["contract"]].participants))
        for _, _, r in transcript.replies()
        if r["type"] == "Release"
        for o in r["outputs"]
    }
    # one site alone answers rounded tables; three answer sums, and receipts
    assert kinds == {("masked", 3), ("receipt", 3), ("table", 1)}


def test_masked_outputs_look_like_noise_and_their_sum_does_not(transcript):
    """Plain fixed-point numbers are small: their first bytes are 0 or 255."""
    groups: dict[tuple, list[np.ndarray]] = {}
    for _, _, reply in transcript.replies():
        if reply["type"] != "Release":
            continue
        for output in reply["outputs"]:
            data = output["data"]
            if output["kind"] == "masked":
                values = np.frombuffer(data["data"], dtype=data["dtype"])
                place = tuple(sorted(output["place"].items()))
                groups.setdefault((place, output["name"]), []).append(values)
    large = [parts for parts in groups.values() if len(parts[0]) > 200]
    assert large
    for parts in large:
        for part in parts:
            assert plain_share(part) < 0.05
        total = np.sum(parts, axis=0, dtype=parts[0].dtype)
        assert plain_share(total) > 0.95
    for parts in groups.values():
        raw = {part.tobytes() for part in parts}
        assert len(raw) == len(parts) == 3


def plain_share(values: np.ndarray) -> float:
    top = (values >> np.array(8 * values.itemsize - 8, values.dtype)).astype(int)
    return float(np.isin(top, [0, 255]).mean())


def secrets_of(hospitals) -> dict[str, list[bytes]]:
    """Return byte strings that must occur nowhere, by what they are."""
    found: dict[str, list[bytes]] = {
        "patient": [],
        "row": [],
        "volume": [],
        "embedding": [],
        "key": [],
    }
    for site in SITES:
        data = hospitals / "hospitals" / site / "data"
        with (data / "clinical.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        for row in rows:
            found["patient"].append(row["patient_id"].encode())
            numbers = [float(row["age"]), float(row["os_months"])]
            found["row"] += [np.array(numbers, t).tobytes() for t in ("<f4", "<f8")]
            found["row"] += [msgspec.msgpack.encode(numbers)]
            found["row"] += [f"{row['age']},{row['os_months']}".encode()]
        for path in sorted(data.rglob("*.nii.gz"))[:40]:
            voxels = np.asarray(nibabel.load(path).dataobj, dtype=np.float32).ravel()
            middle = voxels[len(voxels) // 2 - 64 :][:128]
            assert np.unique(middle).size > 8
            found["volume"] += [middle.astype(t).tobytes() for t in ("<f4", "<f8")]
            found["volume"].append(path.read_bytes()[64:128])
        for path in (hospitals / site / "work" / "embeddings").iterdir():
            for values in load_file(path).values():
                flat = np.asarray(values).reshape(len(rows), -1)
                if flat.shape[1] == 1:
                    flat = flat[: len(flat) // 4 * 4].reshape(-1, 4)
                found["embedding"] += [
                    row.astype(t).tobytes() for row in flat[::3] for t in ("<f4", "<f8")
                ]
        for path in (hospitals / site / "keys").iterdir():
            secret = path.read_bytes()
            found["key"] += [secret, secret.hex().encode()]
    return found


def test_no_patient_row_volume_embedding_or_key_crosses(transcript, hospitals):
    blob = transcript.blob()
    assert len(blob) > 5_000_000
    for kind, needles in secrets_of(hospitals).items():
        assert len(needles) >= 9, kind
        assert not [n for n in needles if n in blob], kind


def test_nor_do_they_lie_at_the_coordinator(transcript, hospitals):
    files = [p for p in (hospitals / COORDINATOR).rglob("*") if p.is_file()]
    assert any(p.name == "coordinator.sqlite" for p in files)
    blob = b"\n".join(p.read_bytes() for p in files)
    for kind, needles in secrets_of(hospitals).items():
        assert not [n for n in needles if n in blob], kind


def test_the_search_would_find_what_it_looks_for(hospitals):
    """The needles are there where they belong."""
    found = secrets_of(hospitals)
    own = b"".join(
        p.read_bytes()
        for site in SITES
        for p in [
            *(hospitals / "hospitals" / site / "data").rglob("clinical.csv"),
            *(hospitals / site / "work" / "embeddings").iterdir(),
        ]
    )
    assert all(n in own for n in found["patient"])
    assert sum(n in own for n in found["embedding"]) >= len(SITES) * 10


def test_text_planted_in_a_cell_never_crosses(tmp_path):
    phi = "John Doe, MRN 123-45-678"
    frames = {s: clinic(s).assign(note=phi) for s in ("a", "b", "c")}
    seen: list[bytes] = []
    with Federation.from_frames(
        frames, dataset="clinic", columns=COLUMNS, folder=tmp_path
    ) as fed:
        fed.transport.observe(lambda _site, _direction, frame: seen.append(frame))
        cox = CoxPlan(
            covariates=("age",),
            duration="os_months",
            event="death",
            split=SplitSpec(1.0, 0.0, 0.0),
            fit_on="train",
            evaluate_on="none",
        )
        contract = drafted(fed, cox)
        # what fed.request would not make: a split by a column of free text
        nosy = msgspec.structs.replace(cox, split=SplitSpec(column="note"))
        nosy_contract = msgspec.structs.replace(contract, steps=(nosy,))
        reply = propose(fed, "a", nosy_contract)[1]
        assert isinstance(reply, Refusal)
        assert reply.cause == "not-in-contract"
        # and what breaks a task: text in a column of numbers, written after approval
        contract = approved(fed, contract)
        (table,) = (tmp_path / "a").rglob("tables/clinic.csv")
        lines = table.read_text().splitlines()
        table.write_text("\n".join([*lines[:-1], lines[-1].replace(",", f",{phi} ")]))
        refused(fed, "a", head_call(contract, "a", "run", 0), "fingerprint")
    blob = b"\n".join(seen)
    assert phi.encode() not in blob
    assert b"John" not in blob
