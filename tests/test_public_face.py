"""What ``import fednb`` gives, and what it does not load."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import fednb
from fednb import errors

HEAVY = ("torch", "monai", "pandas", "numpy", "syft", "syft_datasets", "lifelines")


def run(code: str) -> str:
    found = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_importing_fednb_loads_nothing_heavy():
    code = f"import sys, fednb; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]"


def test_looking_around_loads_nothing_heavy():
    code = (
        "import sys, fednb; dir(fednb); fednb.TrainingPlan; fednb.Contract; "
        "print([m for m in ('torch', 'monai', 'pandas', 'syft') if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_a_federation_over_tables_loads_no_torch(tmp_path):
    code = (
        "import sys, fednb, pandas as pd\n"
        "t = pd.DataFrame({'age': range(20, 60)})\n"
        f"fed = fednb.Federation.from_frames({{'a': t}}, folder=__import__('pathlib')"
        f".Path({str(tmp_path)!r}), approve='auto')\n"
        "fed.statistics('table', ['age']); fed.close()\n"
        "print([m for m in ('torch', 'monai') if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_the_public_names_are_sorted_and_there():
    # constants, classes, then the rest, each by name: ruff's order
    order = sorted(fednb.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n))
    assert fednb.__all__ == order
    assert dir(fednb) == sorted([*fednb.__all__, "__version__"])
    for name in fednb.__all__:
        assert getattr(fednb, name) is not None


def test_every_public_name_of_the_docstring_exists():
    doc = fednb.__doc__ or ""
    named = set(re.findall(r"fednb\.([A-Za-z_]+)", doc))
    assert named
    assert named <= set(fednb.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"no attribute 'nope'$"):
        _ = fednb.nope


@pytest.mark.parametrize("name", [n for n in fednb.__all__ if n not in {"strategies"}])
def test_everything_public_is_documented(name):
    thing = getattr(fednb, name)
    assert len(inspect.getdoc(thing) or "") > 20
    if inspect.isclass(thing):
        bare = [
            method
            for method, value in vars(thing).items()
            if not method.startswith("_")
            and (inspect.isfunction(value) or isinstance(value, property))
            and not inspect.getdoc(value)
        ]
        assert not bare


@pytest.mark.parametrize(
    "error",
    [
        errors.FednbError("something"),
        errors.InputError("wrong"),
        errors.UnknownNameError("column", "agee", ["age", "sex"]),
        errors.DatasetError(["row 3 has no age"]),
        errors.PlanError("no rounds"),
        errors.RefusedError("a", "code", "0" * 16, "ValueError at line 3"),
        errors.SiteDownError("a"),
        errors.RunError("waits for b", site="b", cause="not-approved"),
        errors.RunStoppedError("stopped", site="a", cause="stopped"),
        errors.WireError("malformed", "a"),
        errors.VersionError("version 2"),
        errors.HomeError("full"),
        errors.CodeError("ValueError", "line 3"),
        errors.IntegrityError("no signature", "a"),
        errors.FitError("no fit"),
        errors.DependencyError("pydicom", "dicom"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_back_as_what_they_were(error):
    again = errors.revive(type(error).__name__, error.told())
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_every_error_is_tried():
    (mark,) = test_errors_come_back_as_what_they_were.pytestmark
    tried = {type(error) for error in mark.args[1]}
    assert tried == {
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, errors.FednbError)
    }


def test_an_error_of_another_version_is_the_root():
    assert type(errors.revive("NewError", ("what",))) is errors.FednbError


def test_a_refusal_tells_fixed_text_and_an_unknown_cause_tells_less():
    told = errors.RefusedError("a", "John Doe", "f" * 16)
    assert "John Doe" not in str(told)
    assert told.cause == "internal"
    assert errors.CAUSE_TEXT["internal"] in str(told)
