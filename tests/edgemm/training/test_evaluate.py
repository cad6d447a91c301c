"""A checkpoint answers by the pass that everything else makes: encoders that share, nodes, and inputs of several tensors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import edgemm
from edgemm.errors import InputError, UnknownNameError, UsageError
from edgemm.host import named
from edgemm.host.plugin_host import PluginHost
from edgemm.inputs.kind import InputKind
from edgemm.modeling import checkpoint
from edgemm.modeling.compose import ComposedModel, compose
from edgemm.modeling.spec import spec_from_text
from edgemm.progress import silent
from edgemm.tensors import TensorSpec
from edgemm.training.evaluate import evaluate, infer_from_bundle, infer_from_model
from edgemm.training.scores import BATCH
from edgemm.training.scores import evaluate as evaluate_infer
from edgemm.training.task import TestSet

MODEL = """
[model]
name = "sum"
width = 16
[inputs.left]
kind = "tensor"
modality = "point"
shape = [3]
[inputs.right]
kind = "tensor"
modality = "point"
shape = [3]
[encoders.left]
use = "test.point"
[encoders.right]
share = "left"
[fusion]
use = "test.sum"
[heads.answer]
use = "test.linear"
labels = ["0", "1", "2"]
[training]
task = "test_sum"
"""
POINTS = {"left": np.eye(3, dtype=np.float32), "right": np.eye(3, dtype=np.float32)[::-1]}


def composed(host: PluginHost, text: str = MODEL) -> ComposedModel:
    """With fresh weights; every point shows something."""
    torch.manual_seed(0)
    model = compose(spec_from_text(text), host)
    with torch.no_grad():
        model.encoders["left"].classifier.bias[3] = -100
    return model


def test_a_model_whose_encoders_share_a_module_is_evaluated(host: PluginHost, tmp_path: Path) -> None:
    path = checkpoint.save(composed(host), tmp_path / "model.safetensors")
    assert evaluate(path, count=30, host=host, progress=silent).sets[0].count == 30


@pytest.mark.parametrize("names", [("left", "right"), ("left",), ("right",)])
def test_a_shared_module_answers_as_two_with_the_same_weights(host: PluginHost, names: tuple[str, ...]) -> None:
    shared, apart = composed(host), composed(host, MODEL.replace('share = "left"', 'use = "test.point"'))
    apart.encoders["left"].load_state_dict(shared.encoders["left"].state_dict())
    apart.encoders["right"].load_state_dict(shared.encoders["left"].state_dict())
    apart.fusion.load_state_dict(shared.fusion.state_dict())
    apart.heads.load_state_dict(shared.heads.state_dict())
    present = {name: POINTS[name] for name in names}
    answers = infer_from_model(shared)(present)
    np.testing.assert_array_equal(answers, infer_from_model(apart)(present))
    assert not np.allclose(answers[0], answers[1])


class Moved(nn.Module):
    """A node that reads another encoder's tokens beside its point."""

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return context + x.sum(1)[:, None, None], torch.ones_like(x[:, :1]) > 0


class Pair(nn.Module):
    """Encodes the ids that a mask leaves."""

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return (ids * mask).float().sum(1)[:, None, None].repeat(1, 1, 16), mask.any(1, keepdim=True)


@dataclass(frozen=True)
class Masked(InputKind):
    """An input of two tensors that needs no package."""

    kind: ClassVar[str] = "masked"

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        return TensorSpec("ids", "int32", ("batch", 4)), TensorSpec("mask", "bool", ("batch", 4))


class MoreEncoders:
    @edgemm.hookimpl
    def edgemm_encoders(self) -> Iterator[edgemm.EncoderEntry]:
        yield edgemm.EncoderEntry("test.moved", "more_parts:moved")
        yield edgemm.EncoderEntry("test.pair", "more_parts:pair")


@pytest.fixture
def more(host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginHost]:
    """The host with two more encoders, and a kind of input for one of them."""
    module = ModuleType("more_parts")
    module.__dict__.update(moved=lambda options, kind: Moved(), pair=lambda options, kind: Pair(), Masked=Masked)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(named.INDEX, ("input", "masked"), "more_parts:Masked")
    assert host.register(MoreEncoders(), "more")
    yield host
    named.class_of_kind.cache_clear()


def test_a_node_is_no_input_and_is_there_when_all_that_it_reads_is(more: PluginHost) -> None:
    node = "[[node]]\nname = 'moved'\nuse = 'test.moved'\nreads = { x = 'input.right', context = 'left.tokens' }\n"
    infer = infer_from_model(composed(more, MODEL.replace('[encoders.right]\nshare = "left"\n', node)))
    left, both = infer({"left": POINTS["left"]}), infer(POINTS)
    assert left.shape == both.shape == (3, 3)
    assert not np.allclose(left, both)


@pytest.fixture
def pairs(more: PluginHost) -> ComposedModel:
    """The same, whose input `right` has two tensors."""
    right = '[inputs.right]\nkind = "tensor"\nmodality = "point"\nshape = [3]'
    text = MODEL.replace(right, '[inputs.right]\nkind = "masked"').replace('share = "left"', 'use = "test.pair"')
    return composed(more, text)


IDS, MASK = np.arange(12, dtype=np.int32).reshape(3, 4), np.ones((3, 4), bool)


def test_an_input_of_several_tensors_may_be_absent_or_there(pairs: ComposedModel) -> None:
    infer = infer_from_model(pairs)
    absent, there = infer({"left": POINTS["left"]}), infer({"left": POINTS["left"], "right": (IDS, MASK)})
    np.testing.assert_array_equal(absent, infer({"left": POINTS["left"], "right": (IDS, ~MASK)}))
    assert not np.allclose(absent, there)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"right": IDS}, UsageError, r"gives 1 array\(s\) for input 'right', which has 2 tensor\(s\): ids, mask"),
        ({"wrong": IDS}, UnknownNameError, r"unknown input that the task gives: 'wrong'"),
        ({"right": (IDS, IDS)}, InputError, "tensor 'mask': expected bool"),
    ],
)
def test_what_a_task_gives_must_fit_the_inputs(pairs: ComposedModel, given, error, message) -> None:
    with pytest.raises(error, match=message):
        infer_from_model(pairs)(given)


def test_rows_of_several_tensors_are_given_in_batches(task) -> None:
    rows = BATCH + 3
    inputs = {"left": (np.arange(rows), np.arange(rows)), "right": np.arange(rows)}
    labels = {name: np.zeros(rows, np.int64) for name in inputs}
    task.test_sets = lambda count, seed: [TestSet("pairs", "pairs", inputs, labels)]
    seen = []

    def infer(present):
        first = present.get("left", (present.get("right"),))
        assert isinstance(first, tuple)
        seen.append([len(part) for part in first])
        return np.zeros((len(first[0]), 3))

    assert evaluate_infer(infer, task).sets[0].count == rows
    assert seen[:2] == [[BATCH, BATCH], [3, 3]]


def test_a_model_that_needs_all_its_inputs_is_not_measured_without(tmp_path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return left + right

    model = edgemm.wrap(Sum(), {"left": edgemm.Tensor((3,)), "right": edgemm.Tensor((3,))}, labels=["0", "1", "2"])
    edgemm.export(model, tmp_path / "b", precision="fp32")
    with edgemm.open(tmp_path / "b") as opened:
        infer = infer_from_bundle(opened)
        np.testing.assert_allclose(infer(POINTS), POINTS["left"] + POINTS["right"])
        with pytest.raises(UsageError, match="output 'answer' says nothing where only left is there"):
            infer({"left": POINTS["left"]})
