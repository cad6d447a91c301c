"""Training and evaluation work on rows that know nothing of each other: models that remember are told so, not measured wrongly."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

import edgemm
from edgemm.errors import UsageError
from edgemm.host.plugin_host import PluginHost
from edgemm.modeling import checkpoint
from edgemm.modeling.compose import compose
from edgemm.modeling.spec import spec_from_text
from edgemm.progress import silent
from edgemm.training.evaluate import evaluate
from edgemm.training.train import train

MODEL = """
[model]
name = "sum"
width = 16
[inputs.left]
kind = "tensor"
modality = "point"
shape = [3]
[encoders.left]
use = "test.point"
[fusion]
use = "test.sum"
[heads.answer]
use = "test.linear"
labels = ["0", "1", "2"]
[training]
task = "test_sum"
"""


class Remembering(nn.Module):
    """A point encoder with state."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {"h": (16,)}
        self.cell = nn.GRUCell(3, 16)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.cell(x, h)
        return h[:, None], h[:, :1] < 2, h

    def classify(self, x: Tensor) -> Tensor:
        return self.cell(x)[:, :4]


@pytest.fixture
def remembering(host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> PluginHost:
    monkeypatch.setattr(sys.modules["edgemm_synthetic_task"], "encoder", lambda options, where: Remembering())
    return host


def test_an_encoder_with_state_is_not_trained_on_single_examples(remembering: PluginHost, tmp_path) -> None:
    spec = tmp_path / "model.toml"
    spec.write_text(MODEL)
    with pytest.raises(
        UsageError, match=r"encoder 'left' has state \(h\).*Train it on sequences with a loop of your own"
    ):
        train(spec, tmp_path / "out", host=remembering, progress=silent)


def test_a_checkpoint_that_remembers_is_not_evaluated_on_single_rows(remembering: PluginHost, tmp_path) -> None:
    path = checkpoint.save(compose(spec_from_text(MODEL), remembering), tmp_path / "model.safetensors")
    with pytest.raises(
        UsageError, match=r"cannot be evaluated on a task: node 'left' has state \(h\).*live\(\) and score"
    ):
        evaluate(path, host=remembering, progress=silent)


def test_a_bundle_that_remembers_is_not_evaluated_on_single_rows(host: PluginHost, tmp_path) -> None:
    class Sum(nn.Module):
        def forward(self, left: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            return left + h, left + h

    torch.manual_seed(0)
    model = edgemm.wrap(Sum(), {"left": edgemm.Tensor((3,))}, state={"h": (3,)}, labels=["0", "1", "2"])
    edgemm.export(model, tmp_path / "b", precision="fp32")
    with pytest.raises(UsageError, match=r"node 'net' has state \(h\)"):
        evaluate(tmp_path / "b", task="test_sum", host=host, progress=silent)
