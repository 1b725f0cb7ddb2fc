from __future__ import annotations

import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from fednb.cli import app
from fednb.errors import RunError
from fednb.owner import SiteOwner
from fednb.records.base import canonical
from fednb.records.contracts import Contract, Participant, Privacy, Resources
from fednb.records.datasets import Column
from fednb.records.tasks import DescribePlan
from fednb.site.approvals import Approvals
from fednb.site.home import Home
from fednb.site.keys import SiteKeys
from fednb.site.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def home(tmp_path: Path):
    """A home made on the command line."""
    path = tmp_path / "ucsf"
    assert run("site", "init", path, "--name", "ucsf").exit_code == 0
    return path


@pytest.fixture
def owner(home: Path):
    """The owner, who looks at what the command line did."""
    with SiteOwner(home) as owner:
        yield owner


@pytest.fixture
def table(tmp_path: Path):
    lines = [f"p{i:02d},{30 + i},{i % 2}" for i in range(12)]
    path = tmp_path / "clinical.csv"
    path.write_text("\n".join(["patient_id,age,idh", *lines, ""]))
    return path


@pytest.fixture
def contract(home: Path):
    """A contract that was proposed to the site."""
    site = Home(home)
    keys = SiteKeys(site.folder("keys"))
    now = int(time.time())
    contract = Contract(
        version=1,
        nonce="0",
        requester="Ada",
        requester_key=KEY.public_key().public_bytes_raw().hex(),
        purpose="how many there are",
        dataset="glioma",
        participants=(Participant("ucsf", "a", "b", "c"),),
        steps=(DescribePlan((), ()),),
        outputs=(),
        privacy=Privacy(),
        resources=Resources(),
        created=now,
        expires=now + 3600,
    )
    approvals = Approvals(site, Ledger(site, keys))
    approvals.file(contract, KEY.sign(canonical(contract)))
    site.close()
    return contract


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def said(*words: object):
    """Run a command that works, and return what it wrote."""
    result = run(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def complained(*words: object):
    """Run a command that cannot work, and return its one clear message."""
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    return result.stderr


def test_the_version():
    try:
        number = version("fednb")
    except PackageNotFoundError:
        number = "(a checkout that is not installed)"
    assert said("--version") == f"fednb {number}\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from fednb.cli import app\n"
        "for words in ('--help', 'site --help', 'site approve --help'):\n"
        "    assert CliRunner().invoke(app, words.split()).exit_code == 0\n"
        "heavy = {'torch', 'pandas', 'numpy', 'syft', 'cryptography', 'fednb.site'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603


def test_main_ends_with_a_status_and_no_traceback(tmp_path: Path):
    code = "from fednb.cli import main\nmain()\n"
    command = [sys.executable, "-c", code, "site", "requests", str(tmp_path / "none")]
    done = subprocess.run(  # noqa: S603
        command, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"fednb: There is no home at {tmp_path / 'none'}: site.sqlite is missing.\n"
    )


def test_a_home_is_made(home: Path, owner: SiteOwner):
    assert (owner.name, owner.policy.rules.profile) == ("ucsf", "standard")


def test_a_home_is_made_once(home: Path):
    message = complained("site", "init", home, "--name", "other")
    expected = f"There is a home already at {home}, of site ucsf. Open it."
    assert message == f"fednb: {expected}\n"


def test_a_table_is_registered(home: Path, owner: SiteOwner, table: Path):
    shown = said(
        *("site", "add-dataset", home, "glioma", "--table", table),
        *("--label", "idh", "--label", "age", "--summary", "made up"),
        *("--terms", "ask first", "--synthetic"),
    )
    assert "Dataset glioma of ucsf" in shown
    card = owner.datasets["glioma"].card
    assert (card.summary, card.terms, card.synthetic) == ("made up", "ask first", True)
    assert card.subjects == 10
    assert "glioma" in said("site", "datasets", home)


def test_volumes_are_registered(
    home: Path, owner: SiteOwner, table: Path, tmp_path: Path
):
    rng = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "images" / f"p{i:02d}"
        folder.mkdir(parents=True)
        values = rng.normal(size=(6, 6, 6)).astype(np.float32)
        nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "T1c.nii.gz")
    words = ("site", "add-dataset", owner.path, "glioma", "--table", table)
    said(*words, "--images", tmp_path / "images")
    dataset = owner.datasets["glioma"]
    assert (dataset.volumes, dataset.card.modalities) == (12, ("T1c",))


def test_columns_are_declared_in_a_file(owner: SiteOwner, table: Path, tmp_path: Path):
    declared = tmp_path / "columns.toml"
    declared.write_text(
        '[[columns]]\nname = "age"\nkind = "number"\nunit = "years"\n'
        "lower = 18\nupper = 90\nstep = 6\n"
        '[[columns]]\nname = "idh"\nkind = "binary"\n'
    )
    words = ("site", "add-dataset", owner.path, "glioma", "--table", table)
    shown = said(*words, "--columns", declared)
    assert "You declared nothing" not in shown
    assert owner.datasets["glioma"].card.columns == (
        Column("age", "number", unit="years", lower=18, upper=90, step=6),
        Column("idh", "binary"),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read (No such file or directory)."),
        ("[[columns]]\nname = 'age'\n", "does not declare columns ("),
        ("columns = [", "does not declare columns ("),
    ],
)
def test_a_file_that_declares_no_columns(
    owner: SiteOwner, table: Path, tmp_path: Path, text: str | None, says: str
):
    declared = tmp_path / "columns.toml"
    if text is not None:
        declared.write_text(text)
    words = ("site", "add-dataset", owner.path, "glioma", "--table", table)
    assert says in complained(*words, "--columns", declared)
    assert len(owner.datasets) == 0


def test_every_problem_of_a_dataset_is_listed(home: Path, table: Path):
    table.write_text("patient_id,age,idh\na,50,\na,60,1\n")
    words = ("site", "add-dataset", home, "glioma", "--table", table)
    message = complained(*words, "--label", "idh")
    assert "The dataset has 2 problems:" in message
    assert "duplicate patients: a" in message
    assert "label missing for a" in message
    assert "0 datasets" in said("site", "datasets", home)


def test_requests_are_listed_and_shown_in_full(home: Path, contract: Contract):
    listed = said("site", "requests", home)
    assert "1 contract, 1 waiting for a decision" in listed
    assert contract.hash()[:12] in listed
    shown = said("site", "show", home, contract.hash()[:8])
    assert contract.hash() in shown
    assert "First contract of this key" in shown
    assert "how many there are" in shown


def test_approve_then_revoke(home: Path, owner: SiteOwner, contract: Contract):
    digest = contract.hash()
    said_ = said("site", "approve", home, digest[:8], "--note", "fine")
    assert said_ == f"{digest} is approved.\n"
    request = owner.requests[0]
    assert (request.status, request.note) == ("approved", "fine")
    assert complained("site", "approve", home, digest) == (
        f"fednb: Contract {digest[:12]} is approved; it cannot be approved.\n"
    )
    revoked = said("site", "revoke", home, digest, "--reason", "enough")
    assert revoked == f"{digest} is revoked.\n"
    assert owner.requests[0].status == "revoked"


def test_deny_needs_a_reason(home: Path, owner: SiteOwner, contract: Contract):
    digest = contract.hash()
    assert "--reason" in complained("site", "deny", home, digest)
    assert complained("site", "deny", home, digest, "--reason", " ") == (
        "fednb: Say why, for the site's own records: reason is empty.\n"
    )
    denied = said("site", "deny", home, digest, "--reason", "too wide")
    assert denied == f"{digest} is denied.\n"
    request = owner.requests[0]
    assert (request.status, request.note) == ("denied", "too wide")


def test_an_unknown_contract(home: Path, owner: SiteOwner, contract: Contract):
    message = complained("site", "approve", home, "zzz")
    known = contract.hash()[:12]
    assert message == f"fednb: Unknown contract 'zzz'. Known: {known}.\n"
    assert owner.requests[0].status == "pending"


def test_the_ledger_is_shown_and_verified(home: Path, contract: Contract):
    assert contract.hash()[:12] in said("site", "ledger", home)
    assert said("ledger", "verify", home).startswith(
        "The ledger holds: 2 entries. Head: "
    )
    message = complained("ledger", "verify", home, "--head", "abc")
    assert message == (
        "fednb: 'abc' is not a head: a head has 64 hexadecimal digits.\n"
    )


def test_a_refusal_is_explained_by_its_id(home: Path):
    site = Home(home)
    ledger = Ledger(site, SiteKeys(site.folder("keys")))
    ledger.record("refusal", {"correlation": "c0ffee", "reason": "Too few patients."})
    site.close()
    assert "Too few patients." in said("site", "ledger", home, "c0ffee")
    message = complained("site", "ledger", home, "decaf")
    assert message == "fednb: Unknown correlation id 'decaf'. Known: c0ffee.\n"


def test_a_tampered_ledger_is_said(home: Path):
    site = Home(home)
    site.database.execute("UPDATE ledger SET kind = 'release'")
    site.close()
    message = complained("ledger", "verify", home)
    assert "The ledger does not hold at entry 1" in message


def test_the_policy_is_shown_and_changed(home: Path, owner: SiteOwner):
    assert "Profile standard" in said("site", "policy", home)
    shown = said(
        *("site", "policy", home, "--set", "profile=open", "--set", "max_rounds=5"),
        *("--set", "max_gpu_gib=1.5", "--set", "auto_approve=statistics"),
        *("--set", "devices=cpu, auto"),
    )
    assert "Profile open" in shown
    rules = owner.policy.rules
    assert (rules.profile, rules.max_rounds, rules.max_gpu_gib) == ("open", 5, 1.5)
    assert (rules.auto_approve, rules.devices) == (("statistics",), ("cpu", "auto"))
    said("site", "policy", home, "--set", "auto_approve=")
    assert owner.policy.rules.auto_approve == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("max_rounds", "--set takes rule=value; got 'max_rounds'."),
        ("max_rounds=many", 'max_rounds = "many" is not allowed; write a whole'),
        (
            "max_rounds=-1",
            "max_rounds = -1 is not allowed; write a whole",
        ),
        ("speed=3", 'there is no rule "speed".'),
        ("profile=lax", 'profile = "lax" is not allowed; write one of'),
        ("auto_approve=training", 'write a list of any of "statistics", "all".'),
    ],
)
def test_a_policy_that_is_not_allowed(
    home: Path, owner: SiteOwner, change: str, says: str
):
    assert says in complained("site", "policy", home, "--set", change)
    assert owner.policy.rules.max_rounds == 1000


def test_a_home_of_a_newer_schema(home: Path):
    site = Home(home)
    site.database.execute("PRAGMA user_version = 99")
    site.close()
    message = complained("site", "requests", home)
    assert "has schema 99, made by a newer fednb" in message


def test_words_of_others_drive_no_terminal(home: Path):
    message = complained("site", "show", home, "\x1b[2J\u202e")
    assert "\x1b" not in message
    assert "\u202e" not in message


class Called:
    """Stands for a function that another module brings, and keeps its arguments."""

    def __init__(self) -> None:
        self.given: list[tuple[object, ...]] = []

    def __call__(self, *args: object, **options: object) -> None:
        self.given.append((*args, options))


def stand_in(patch: pytest.MonkeyPatch, module: str, name: str):
    called = Called()
    stand = ModuleType(module)
    setattr(stand, name, called)
    patch.setitem(sys.modules, module, stand)
    return called


def test_the_demo_gets_its_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    called = stand_in(monkeypatch, "fednb.phantom.story", "run_demo")
    figures = tmp_path / "f.json"
    said("demo", "--out", tmp_path, "--json", figures, "--seed", 7)
    assert called.given == [({"out": tmp_path, "json_file": figures, "seed": 7},)]


def test_a_bench_gets_its_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    called = stand_in(monkeypatch, "fednb.bench.main", "run")
    said("bench", "trainer", "--json", tmp_path / "f.json", "--device", "cuda")
    options = {"json_file": tmp_path / "f.json", "device": "cuda", "seeds": 3}
    options |= {"full": False, "quick": False}
    assert called.given == [("trainer", options)]


def test_an_error_below_any_command_is_one_message(monkeypatch: pytest.MonkeyPatch):
    stand = ModuleType("fednb.bench.main")

    def fail(*_args: object, **_options: object):
        message = "Nothing was measured."
        raise RunError(message)

    stand.run = fail
    monkeypatch.setitem(sys.modules, "fednb.bench.main", stand)
    assert complained("bench", "rounds") == "fednb: Nothing was measured.\n"
