"""Our own kinds in one network, from torch to a bundle and back: a clip, a motion and tokens in; boxes and values out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.errors import MissingDependencyError

tokenizers = pytest.importorskip("tokenizers", reason="needs the tokens extra: pip install 'edgemm[tokens]'")

WORDS = {"[UNK]": 0, "left": 1, "right": 2}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.see = nn.Linear(3, 8)
        self.feel = nn.Linear(2, 8)
        self.embed = nn.Embedding(len(WORDS), 8)
        self.boxes, self.scores, self.speed = nn.Linear(8, 24), nn.Linear(8, 12), nn.Linear(8, 2)

    def forward(self, camera: Tensor, arm: Tensor, text_ids: Tensor, text_mask: Tensor) -> dict[str, Tensor]:
        words = (self.embed(text_ids) * text_mask.float()[:, :, None]).sum(1)
        state = torch.tanh(self.see(camera.mean((2, 3, 4))) + self.feel(arm.mean(1)) + words)
        return {
            "boxes": self.boxes(state).unflatten(1, (6, 4)),
            "scores": torch.sigmoid(self.scores(state)).unflatten(1, (6, 2)),
            "speed": self.speed(state),
        }


@pytest.fixture(scope="module")
def tokenizer() -> bytes:
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made.to_str().encode()


@pytest.fixture(scope="module")
def exported(tokenizer, tmp_path_factory):
    """The network, its inputs, and its bundle."""
    torch.manual_seed(0)
    net = Net().eval()
    inputs = {
        "camera": edgemm.Clip(4, 8, 8, hop=2),
        "arm": edgemm.Motion(2, samples=10, hop=5),
        "text": edgemm.Tokens(tokenizer, 4),
    }
    outputs = {
        "found": edgemm.Boxes(("hand", "cup"), "cxcywh", score_threshold=0.5, nms_iou=0.9),
        "speed": edgemm.Values(("forward", "up"), units="m/s", scale=10.0),
    }
    path = tmp_path_factory.mktemp("kinds") / "net.edgemm"
    edgemm.export(edgemm.wrap(net, inputs, outputs=outputs), path, precision="fp32")
    return net, inputs, path


def values_of(inputs):
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    return {"camera": frames, "arm": generator.uniform(-1, 1, (10, 2)).astype(np.float32), "text": "right left"}


def test_a_single_call_answers_as_torch_does(exported):
    net, inputs, path = exported
    values = values_of(inputs)
    tensors = []
    for name, kind in inputs.items():
        prepared = kind.prepared(*(torch.from_numpy(tensor) for tensor in kind.convert(values[name])))
        tensors += prepared if isinstance(prepared, tuple) else [prepared]
    with torch.no_grad():
        wanted = net(*tensors)
    with edgemm.open(path) as model:
        result = model.infer(**values)
    np.testing.assert_allclose(result.tensors["found"]["boxes"], wanted["boxes"][0], rtol=1e-4, atol=1e-5)
    assert result.outputs["speed"]["up"] == pytest.approx(float(wanted["speed"][0, 1]) * 10, rel=1e-4)
    best = float(wanted["scores"].max())
    assert next(iter(result.outputs["found"])).score == pytest.approx(best, rel=1e-4)
    assert set(result.to_json()["outputs"]) == {"found", "speed"}


def test_a_stream_answers_once_every_window_is_whole(exported):
    _, inputs, path = exported
    values = values_of(inputs)
    with edgemm.open(path) as model:
        live = model.live()
        assert live.push("text", values["text"], 0) is None
        assert [live.push("arm", sample, n * 10_000_000) for n, sample in enumerate(values["arm"])] == [None] * 10
        results = [live.push("camera", frame, n * 40_000_000) for n, frame in enumerate(values["camera"])]
        assert results[:3] == [None] * 3
        whole = model.infer(**values)
    for tensor, array in results[3].tensors["found"].items():
        np.testing.assert_allclose(array, whole.tensors["found"][tensor], rtol=1e-5, atol=1e-6)


def test_the_tokenizer_travels_in_the_bundle(exported, tokenizer):
    _, inputs, path = exported
    bundle = Bundle(path)
    assert bundle.manifest.inputs == inputs
    assert bundle.read(inputs["text"].tokenizer.path) == tokenizer
    assert edgemm.verify(path).passed


def test_a_bundle_is_opened_and_verified_without_the_library(exported, monkeypatch):
    _, _, path = exported
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert edgemm.verify(path).passed
    with edgemm.open(path) as model, pytest.raises(MissingDependencyError, match=r"edgemm\[tokens\]"):
        model.live()
