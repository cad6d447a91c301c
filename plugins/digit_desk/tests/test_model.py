"""The model that ships: what its checkpoint carries is what model.toml says, and it is as small as documented."""

from __future__ import annotations

from importlib.resources import files

import pytest

import edgemm
from edgemm_digit_desk.shipped import Shipped


@pytest.fixture(scope="module")
def model():
    return edgemm.load(Shipped().checkpoint)


def said(specification: str) -> list[str]:
    return [line for line in specification.splitlines() if not line.startswith("#")]


def test_the_checkpoint_was_trained_from_the_model_toml_beside_it(model):
    beside = files("edgemm_digit_desk").joinpath("model.toml").read_text(encoding="utf-8")
    assert said(model.spec.text) == said(beside)


@pytest.mark.parametrize(("encoder", "thousands"), [("image", 91), ("audio", 212), ("text", 51)])
def test_an_encoder_has_the_documented_size(model, encoder, thousands):
    count = sum(parameter.numel() for parameter in model.encoders[encoder].parameters())
    assert round(count / 1000) == thousands


def test_the_checkpoint_is_small():
    assert Shipped().checkpoint.stat().st_size < 2.1e6
