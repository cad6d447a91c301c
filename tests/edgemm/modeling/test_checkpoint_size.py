"""A checkpoint of a few bytes cannot make anybody allocate and initialise more than it holds."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgemm.errors import CheckpointError, SpecError
from edgemm.modeling.checkpoint import load, save
from edgemm.modeling.compose import compose
from edgemm.modeling.spec import spec_from_text

SPEC = """
[model]
name = "eye"
width = 8
[inputs.image]
kind = "image"
height = 16
width = 16
[encoders.image]
use = "vision.cnn"
channels = [4, 4]
[fusion]
use = "fusion.concat"
[heads.answer]
use = "heads.classify"
labels = ["no", "yes"]
"""


@pytest.fixture
def changed(tmp_path):
    """A checkpoint whose specification somebody has changed."""

    def write(old, new):
        model = compose(spec_from_text(SPEC))
        assert old in SPEC
        metadata = {"format": "edgemm-checkpoint-1", "spec": SPEC.replace(old, new, 1)}
        save_file(model.state_dict(), tmp_path / "model.safetensors", metadata=metadata)
        return tmp_path / "model.safetensors"

    return write


def test_more_parameters_than_it_holds_are_refused_before_they_are_initialised(changed, monkeypatch):
    def initialised(parameter, *arguments, **options):
        assert parameter.numel() < 2**24, "this would take the memory"
        return parameter

    monkeypatch.setattr(nn.init, "kaiming_uniform_", initialised)
    with pytest.raises(
        CheckpointError,
        match=r"asks for more parameters than it holds, 'weight' \[1500, 1500, 3, 3\] of a Conv2d among",
    ):
        load(changed("[4, 4]", "[1500, 1500, 4]"))


def test_what_is_only_a_little_larger_is_told_tensor_by_tensor(changed):
    with pytest.raises(CheckpointError, match=r"trunk\.3\.weight' has shape \[8, 4, 1, 1\], the model wants \[16"):
        load(changed("width = 8", "width = 16"))


def test_other_models_may_be_of_any_size_meanwhile_and_afterwards(changed, tmp_path):
    with pytest.raises(CheckpointError):
        load(changed("[4, 4]", "[1500, 1500, 4]"))
    assert nn.Linear(5000, 5000).weight.numel() == 25_000_000
    whole = compose(spec_from_text(SPEC))
    loaded = load(save(whole, tmp_path / "whole.safetensors"))
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("height = 16", "height = 4097", r"vision\.cnn: takes frames of up to 4096 x 4096, got 16 x 4097"),
        ("[4, 4]", str([4] * 17), "at most 16"),
    ],
)
def test_what_is_computed_beside_the_parameters_is_bounded_too(changed, old, new, message):
    with pytest.raises(SpecError, match=message):
        load(changed(old, new))
