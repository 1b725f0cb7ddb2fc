from __future__ import annotations

import subprocess
import sys

import pytest

from fednb.errors import InputError, UnknownNameError
from fednb.models.registry import MODELS, embedding_width, validate
from fednb.records.specs import ModelSpec


def test_defaults_are_filled_in():
    assert validate(ModelSpec("small-cnn-3d", {"embedding": 4})) == {
        "widths": (16, 32, 64, 96),
        "dropout": 0.0,
        "embedding": 4,
        "intervals": 0,
    }
    assert embedding_width(ModelSpec("resnet10-3d")) == 8


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet10-3d'"):
        validate(ModelSpec("resnet10_3d"))
    with pytest.raises(UnknownNameError, match="Unknown model 'monai:Classifier'"):
        validate(ModelSpec("monai:Classifier"))
    with pytest.raises(UnknownNameError, match="Did you mean 'growth_rate'"):
        validate(ModelSpec("densenet121-3d", {"growth_rat": 8}))
    with pytest.raises(UnknownNameError, match="Unknown argument of"):
        validate(ModelSpec("monai:EfficientNetBN", {"pretrained": True}))
    with pytest.raises(UnknownNameError, match="efficientnet-b1"):
        validate(ModelSpec("monai:EfficientNetBN", {"model_name": "efficientnet-b9"}))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"embedding": 65}, "embedding must be a whole number from 1 to 64; got 65."),
        ({"embedding": True}, "embedding must be a whole number .*; got True."),
        ({"embedding": 8.0}, "embedding must be a whole number .*; got 8.0."),
        ({"dropout": float("nan")}, "dropout must be a number from 0 to 0.9; got nan."),
        ({"dropout": "x"}, "dropout must be a number from 0 to 0.9; got 'x'."),
        ({"widths": []}, r"widths must be a list of 1 to 6 whole numbers .*; got \[\]"),
        ({"widths": [16, 0]}, "widths must be a list of 1 to 6 whole numbers"),
        ({"widths": 16}, "widths must be a list of 1 to 6 whole numbers"),
    ],
)
def test_wrong_arguments_are_named(params: dict, message: str):
    with pytest.raises(InputError, match=message):
        validate(ModelSpec("small-cnn-3d", params))


def test_whole_numbers_do_for_numbers():
    assert validate(ModelSpec("small-cnn-3d", {"dropout": 0}))["dropout"] == 0.0


def test_every_default_is_allowed():
    for name in MODELS:
        arguments = validate(ModelSpec(name))
        params = {
            k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()
        }
        assert validate(ModelSpec(name, params)) == arguments


def test_names_need_no_torch():
    code = (
        "import sys\n"
        "import fednb.strategies, fednb.models.registry, fednb.models.weights\n"
        "raise SystemExit(bool({'torch', 'monai', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603
    assert done.returncode == 0
