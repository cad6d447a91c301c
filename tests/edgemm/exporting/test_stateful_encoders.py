"""Encoders with state in a composed model, beside `hold`; windows on edges. From torch to a stream."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import edgemm
import edgemm_devices
from edgemm.errors import PluginError, SpecError
from edgemm.host.plugin_host import PluginHost
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.modeling import checkpoint
from edgemm.modeling.compose import compose
from edgemm.modeling.spec import spec_from_text
from edgemm_exporters import onnxruntime_quant
from edgemm_plugins import fusion, heads
from edgemm_plugins.outputs.array import Array

WIDTH = 8
MS = 1_000_000
TOLERANCE = 1e-4  # FP32 on both sides: the same operations in another order
SPEC = """
[model]
name = "remembering"
width = 8
[inputs.motion]
kind = "tensor"
shape = [4]
[inputs.image]
kind = "tensor"
shape = [3]
[encoders.motion]
use = "own.gru"
[encoders.motion.run]
hold = {hold}
[encoders.image]
use = "own.linear"
[fusion]
use = "fusion.concat"
hidden = 16
[heads.answer]
use = "heads.classify"
labels = ["a", "b", "c"]
"""


class Feel(nn.Module):
    """A GRU cell; it says something only about what moves to the right."""

    def __init__(self):
        super().__init__()
        self.state = {"h": (WIDTH,)}
        self.cell = nn.GRUCell(4, WIDTH)

    def forward(self, x, h):
        h = self.cell(x, h)
        return h[:, None], x[:, :1] > 0, h


class See(nn.Module):
    def __init__(self):
        super().__init__()
        self.product = nn.Linear(3, WIDTH)

    def forward(self, x):
        return self.product(x)[:, None], x[:, :1] > -1e9


@pytest.fixture(scope="module")
def parts():
    """The module that the plugin's factories live in."""
    module = ModuleType("edgemm_encoders_with_state")
    module.gru, module.linear = (lambda options, where: Feel()), (lambda options, where: See())
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.fixture(scope="module")
def host(parts):
    @edgemm.hookimpl
    def edgemm_encoders():
        yield edgemm.EncoderEntry("own.gru", f"{parts.__name__}:gru")
        yield edgemm.EncoderEntry("own.linear", f"{parts.__name__}:linear")

    made = PluginHost(only=(), strict=True)
    for plugin in (edgemm_devices, onnxruntime_quant, fusion, heads):
        assert made.register(plugin, plugin.__name__)
    assert made.register(SimpleNamespace(edgemm_encoders=edgemm_encoders), "own")
    return made


def samples(seed, count):
    generator = np.random.default_rng(seed)
    motion = np.cumsum(generator.standard_normal((count, 4)) * 0.5, 0).astype(np.float32)
    return [{"motion": row, "image": row[:3].copy()} for row in motion - motion.mean(0)]


def composed(host, hold=True):
    torch.manual_seed(3)
    return compose(spec_from_text(SPEC.format(hold=str(hold).lower())), host)


@pytest.fixture(scope="module")
def exported(host, tmp_path_factory):
    """hold -> the model and its bundle; by way of a checkpoint."""
    made = {}
    for hold in (True, False):
        model, folder = composed(host, hold), tmp_path_factory.mktemp("composed")
        path = checkpoint.save(model, folder / "model.safetensors")
        precision = "fp32,int8" if hold else "fp32"
        edgemm.export(path, folder / "b", precision=precision, calibration=samples(0, 160), host=host)
        made[hold] = model, folder / "b"
    return made


def test_a_composed_encoder_has_the_state_that_it_declares(host):
    model = composed(host)
    node = model.graph.node("motion")
    assert (node.outputs, dict(node.state)) == (("tokens", "valid", "h_next"), {"h_next": "h"})
    assert [(name, [str(spec.name) for spec in specs]) for name, specs in model.state_by_graph.items()] == [("motion", ["h"])]  # fmt: skip
    assert model.graph.node("image").state == {}


@pytest.mark.parametrize("state", [{"h": 8}, {"h": (0,)}, [("h", (8,))], {3: (8,)}])
def test_what_is_no_declaration_of_state_is_refused(host, parts, monkeypatch, state):
    encoder = Feel()
    encoder.state = state
    monkeypatch.setattr(parts, "gru", lambda options, where: encoder)
    with pytest.raises(PluginError, match="encoder 'motion': its attribute `state` must say name -> shape without the"):
        composed(host)


def test_a_state_of_the_name_that_the_encoder_reads_is_refused(host, parts, monkeypatch):
    encoder = Feel()
    encoder.state = {"x": (8,)}
    monkeypatch.setattr(parts, "gru", lambda options, where: encoder)
    with pytest.raises(SpecError, match="node 'motion': graph input 'x' is fed by state"):
        composed(host)


class InTorch:
    """What a stream of the composed model must say: the encoder runs at every motion, the fusion on what it holds."""

    def __init__(self, model, hold):
        self.model, self.hold = model, hold
        self.h = torch.zeros(1, WIDTH)
        self.held = None

    def push(self, motion, image):
        with torch.no_grad():
            tokens, valid, self.h = self.model.encoders["motion"](torch.from_numpy(motion)[None], self.h)
            if valid.any():
                self.held = tokens
            elif not self.hold:
                self.held = None
            seen, always = self.model.encoders["image"](torch.from_numpy(image)[None])
            kept = torch.zeros_like(tokens) if self.held is None else self.held
            presence = torch.tensor([[float(self.held is not None), 1.0]])
            fused = self.model.fusion([kept, seen], [presence[:, :1] > 0, always], presence, torch.zeros(1, 2))
            return self.model.heads["answer"](fused)[0].numpy()


def streamed(live, rows, start=0):
    """Answers after every motion and the image behind it."""
    said = []
    for index, row in enumerate(rows, start):
        live.push("motion", row["motion"], 20 * index * MS)
        said.append(live.push("image", row["image"], (20 * index + 1) * MS).tensors["answer"]["scores"])
    return np.stack(said)


@pytest.mark.parametrize("hold", [True, False])
def test_state_advances_while_what_is_not_usable_is_held_or_absent(exported, hold):
    model, path = exported[hold]
    rows = samples(1, 60)
    unusable = [row["motion"][0] <= 0 for row in rows]
    assert 10 < sum(unusable) < 50, "there is something to hold"
    torchs = InTorch(model, hold)
    expected = np.stack([torchs.push(row["motion"], row["image"]) for row in rows])
    with edgemm.open(path, variant="fp32") as opened:
        live = opened.live()
        np.testing.assert_allclose(streamed(live, rows), expected, atol=TOLERANCE)
        live.reset()
        np.testing.assert_allclose(streamed(live, rows), expected, atol=TOLERANCE)


def test_what_is_held_is_older_than_the_state(exported):
    """A motion to the left changes the state and nothing that anybody sees; the next to the right says what both did."""
    model, path = exported[True]
    right, left = np.array([1, 0.5, 0, 0], np.float32), np.array([-1, 0.5, 0, 0], np.float32)
    cell = model.encoders["motion"].cell
    with edgemm.open(path, variant="fp32") as opened, torch.no_grad():
        live = opened.live()
        held = live.steps["motion"].cell
        h = torch.zeros(1, WIDTH)
        for index, motion in enumerate([right, left, left, right]):
            before = None if index == 0 else held.values[0].array.copy()
            h = cell(torch.from_numpy(motion)[None], h)
            live.push("motion", motion, index * MS)
            if motion is left:
                np.testing.assert_array_equal(held.values[0].array, before)
            else:
                np.testing.assert_allclose(held.values[0].array[0], h, atol=TOLERANCE)


def test_an_input_reset_alone_takes_its_encoders_state_along(exported):
    model, path = exported[True]
    rows = samples(2, 20)
    with edgemm.open(path, variant="fp32") as opened:
        live = opened.live()
        streamed(live, samples(3, 20))
        live.reset("motion")
        torchs = InTorch(model, True)
        expected = np.stack([torchs.push(row["motion"], row["image"]) for row in rows])
        np.testing.assert_allclose(streamed(live, rows, 20), expected, atol=TOLERANCE)


def test_int8_holds_and_remembers_too(exported):
    """INT8 adds the rounding of the state to that of products; what it says must stay near, not equal."""
    model, path = exported[True]
    rows = samples(4, 60)
    torchs = InTorch(model, True)
    expected = np.stack([torchs.push(row["motion"], row["image"]) for row in rows])
    with edgemm.open(path, variant="int8") as opened:
        said = streamed(opened.live(), rows)
    assert 1e-4 < np.abs(said - expected).max() < 0.1
    assert edgemm.verify(path).passed


# ---- windows on edges


class Look(nn.Module):
    """Compares the newest features with the mean of those before, where there are any."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2 * WIDTH, 3)

    def forward(self, recent, there):
        kept = recent * there[..., None]
        mean = kept.sum(1) / there.float().sum(1, keepdim=True).clamp(min=1.0)
        return self.head(torch.cat([recent[:, -1], mean], 1))


class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.product = nn.Linear(3, WIDTH)

    def forward(self, x):
        return torch.tanh(self.product(x))


@pytest.fixture(scope="module")
def watching(tmp_path_factory):
    """Two modules and the bundle of a model whose second node reads the eight newest outputs of its first."""
    torch.manual_seed(0)
    see, look = Features().eval(), Look().eval()
    graph = ModelGraph(
        "watching",
        {"image": edgemm.Tensor((3,))},
        (
            Node("image", "see", edges(x="input.image"), ("features",), role="encoder"),
            Node("look", "look", edges(recent="image.features[8]", there="image.features[8].mask"), ("y",)),
        ),
        {"answer": Output.of("look.y", Array())},
    )
    model = SimpleNamespace(graph=graph, modules_by_graph={"see": see, "look": look}, state_by_graph={})
    path = tmp_path_factory.mktemp("windows") / "b"
    rows = [{"image": row["image"]} for row in samples(0, 160)]
    edgemm.export(model, path, precision="fp32,int8", calibration=rows)
    return see, look, path


def watched_in_one_pass(see, look, images):
    """torch over the whole sequence: every window of eight at once."""
    with torch.no_grad():
        features = see(torch.from_numpy(images))
        padded = torch.cat([torch.zeros(7, WIDTH), features])
        windows = padded.unfold(0, 8, 1).transpose(1, 2)
        there = (torch.arange(8)[None] + torch.arange(len(images))[:, None]) >= 7
        return look(windows, there).numpy()


@pytest.mark.parametrize(("variant", "tolerance"), [("fp32", TOLERANCE), ("int8", 0.1)])
def test_windows_on_edges_stream_what_torch_computes_in_one_pass(watching, variant, tolerance):
    """INT8 rounds features to 1/255 of their range, and so their means: 0.1 is far above that and far below another window."""
    see, look, path = watching
    images = np.stack([row["image"] for row in samples(5, 40)])
    expected = watched_in_one_pass(see, look, images)
    with edgemm.open(path, variant=variant) as opened:
        lives = opened.live(), opened.live()
        for begin in range(2):
            for live in lives:
                live.reset()
            answers = [
                [live.push("image", image, index).tensors["answer"]["value"] for live, image in zip(lives, both, strict=True)]
                for index, both in enumerate(zip(images, images[::-1], strict=True))
            ]  # fmt: skip
            said = np.array(answers)
            np.testing.assert_allclose(said[:, 0], expected, atol=tolerance, err_msg=f"run {begin}")
            backwards = watched_in_one_pass(see, look, images[::-1].copy())
            np.testing.assert_allclose(said[:, 1], backwards, atol=tolerance, err_msg=f"run {begin}")


def test_windows_were_compared_and_are_verified_over_time(watching):
    *_, path = watching
    found = edgemm.verify(path)
    assert found.passed, str(found)
    assert {records["look"]["rows"] for records in found.parity.values()} == {16}
