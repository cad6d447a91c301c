"""From a composed model to a bundle that answers the same; what cannot be exported is refused before anything is written."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.errors import (
    CheckpointError,
    EdgeMMError,
    ExportError,
    UsageError,
)
from edgemm.exporting.calibrate import load_samples
from edgemm.exporting.onnx_from_torch import onnx_from_torch, with_folded_batch_norms
from edgemm.host.optional import is_installed
from edgemm.host.plugin_host import PluginHost
from edgemm.modeling import checkpoint
from edgemm.modeling.compose import compose
from edgemm.modeling.spec import spec_from_text
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.tensors import BATCH, TensorSpec
from edgemm.training.evaluate import infer_from_bundle, infer_from_model

SPEC = """
[model]
name = "small"
width = 16

[inputs.image]
kind = "image"
height = 24
width = 24

[inputs.text]
kind = "text"
max_bytes = 16

[encoders.image]
use = "vision.cnn"
channels = [8, 8, 16]
scales = 1

[encoders.text]
use = "text.char_cnn"

[fusion]
use = "fusion.joint"
feedforward = 16

[heads.answer]
use = "heads.classify"
labels = ["a", "b", "c"]
"""


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return compose(spec_from_text(SPEC))


@pytest.fixture(scope="module")
def samples():
    generator = np.random.default_rng(0)
    return [
        {
            "image": generator.integers(0, 255, (30, 40, 3), np.uint8),
            "text": "".join(map(chr, generator.integers(97, 122, 9))),
        }
        for _ in range(40)
    ]


@pytest.fixture(scope="module")
def exported(model, samples, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "small.edgemm"
    devices = ["cpu", "jetson-orin-nano"] + (["rtx-4090"] if is_installed("tensorrt_rtx") else [])
    return path, edgemm.export(model, path, device=devices, calibration=samples)


def test_the_bundle_answers_as_torch_does_on_every_subset(model, exported):
    path, _ = exported
    generator = np.random.default_rng(5)
    batch = {
        "image": generator.integers(0, 255, (7, 24, 24, 3), np.uint8),
        "text": generator.integers(97, 122, (7, 16)).astype(np.int32),
    }
    with edgemm.open(path) as opened:
        for names in (("image", "text"), ("image",), ("text",)):
            present = {name: batch[name] for name in names}
            expected = infer_from_model(model)(present)
            np.testing.assert_allclose(infer_from_bundle(opened)(present), expected, atol=1e-4)


def test_the_manifest_says_what_was_made_and_measured(exported):
    path, summary = exported
    manifest = Bundle(path).manifest
    assert {"cpu.onnxruntime.fp32", "cpu.onnxruntime.int8"} <= set(manifest.variants)
    assert {plan.device for plan in manifest.planned.values()} == {"jetson-orin-nano"}
    assert all("edgemm build" in plan.reason for plan in manifest.planned.values())
    assert manifest.calibration["rows"] == 30
    assert manifest.calibration["compared_on"] == 10
    assert manifest.calibration["evidence"] is False, "ten rows are no evidence"
    for name in ("image", "text", "fusion", "answer"):
        assert summary.parity["onnx fp32 → onnxruntime int8"][name]["cosine"] > 0.98
    assert json.loads(json.dumps(summary.to_json()))["id"] == Bundle(path).id


def test_int8_is_smaller_and_close(exported):
    path, summary = exported
    assert summary.variants["cpu.onnxruntime.int8"] < summary.variants["cpu.onnxruntime.fp32"]
    frame = np.random.default_rng(1).integers(0, 255, (24, 24, 3), np.uint8)
    scores = []
    for variant in ("fp32", "cpu.onnxruntime.int8"):
        with edgemm.open(path, variant=variant) as opened:
            scores.append(opened.infer(image=frame, text="add").outputs["answer"].scores)
    assert not np.array_equal(*scores)
    np.testing.assert_allclose(*scores, atol=0.1)


@pytest.mark.skipif(
    not is_installed("tensorrt_rtx"), reason="needs the tensorrt-rtx extra: pip install 'edgemm[tensorrt-rtx]'"
)
def test_engines_are_compiled_for_a_gpu_that_is_not_here(exported):
    path, _ = exported
    bundle = Bundle(path)
    engines = {key: variant for key, variant in bundle.manifest.variants.items() if variant.backend == "tensorrt_rtx"}
    assert {variant.precision for variant in engines.values()} == {"fp16", "int8+fp16"}
    for variant in engines.values():
        for graph, file in variant.files.items():
            content = bundle.read(file)
            assert content[:4] == b"vtrt"
            assert variant.build[graph]["engine_bytes"] == len(content)
    with pytest.raises(UsageError, match=r"native code.*--variant cpu\.onnxruntime\.fp32"):
        edgemm.open(path, variant=next(iter(engines)))


def test_verify_checks_every_variant(exported, tmp_path):
    path, _ = exported
    found = edgemm.verify(path)
    assert found.passed
    assert set(found.parity) == set(Bundle(path).manifest.variants)
    assert found.parity["cpu.onnxruntime.fp32"]["fusion"]["max_abs"] < 1e-5


def test_build_says_why_nothing_can_be_built_here(exported):
    path, _ = exported
    before = Bundle(path).id
    with pytest.raises(ExportError, match="nothing could be built on this machine"):
        edgemm.build(path, device="jetson-orin-nano")
    with pytest.raises(UsageError, match="nothing is planned for cpu; planned: jetson-orin-nano"):
        edgemm.build(path, device="cpu")
    assert Bundle(path).id == before


def test_a_checkpoint_is_exported_and_a_wrong_one_refused(model, samples, tmp_path):
    path = checkpoint.save(model, tmp_path / "small.safetensors")
    edgemm.export(path, tmp_path / "b", precision="fp32", calibration=samples)
    assert Bundle(tmp_path / "b").manifest.provenance["checkpoint"] == "small.safetensors"
    other = compose(spec_from_text(SPEC.replace("width = 16\n\n[inputs.image]", "width = 32\n\n[inputs.image]")))
    with pytest.raises(CheckpointError, match="has shape"):
        checkpoint.load(path, spec=other.spec)
    (tmp_path / "bad.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot read the checkpoint"):
        edgemm.export(tmp_path / "bad.safetensors", tmp_path / "c")
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cannot read the checkpoint"):
        checkpoint.load(path)
    assert not (tmp_path / "c").exists()


def test_an_interrupted_export_leaves_nothing(model, tmp_path):
    def interrupt(stage, done, total, note):
        if stage == "compiling":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edgemm.export(model, tmp_path / "b", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


class Shape(nn.Module):
    def forward(self, x):
        return x.reshape(2, -1)  # the batch of the example, not of the tensor


class Random(nn.Module):
    def forward(self, image):
        return image.flatten(1)[:, :3] + torch.rand(3)


def test_a_batch_baked_into_the_graph_is_refused(tmp_path):
    spec = TensorSpec("x", "float32", (BATCH, 4))
    with pytest.raises(ExportError):
        onnx_from_torch(
            Shape(), [torch.rand(2, 4)], [spec], [TensorSpec("y", "float32", (BATCH, 4))], tmp_path / "m.onnx"
        )


def test_what_depends_on_no_input_is_computed_once_and_for_all(tmp_path):
    class Transposed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(64, 256))  # more than torch's exporter takes for a small constant

        def forward(self, x):
            return x @ (self.weight.T * 2) + torch.sin(self.weight).mean()

    net, x = Transposed(), torch.rand(2, 256)
    specs = [TensorSpec("x", "float32", (BATCH, 256))], [TensorSpec("y", "float32", (BATCH, 64))]
    onnx_from_torch(net, [x], *specs, tmp_path / "m.onnx")
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    assert [node.op_type for node in nodes] == ["MatMul", "Add"]
    runner = OnnxRuntimeRunner((tmp_path / "m.onnx").read_bytes(), "net")
    np.testing.assert_allclose(runner.run({"x": x.numpy()})[0], net(x).detach(), atol=1e-4)


def test_a_network_that_is_not_a_function_fails_parity(tmp_path):
    wrapped = edgemm.wrap(Random(), {"image": edgemm.Image(2, 2)})
    with pytest.raises(EdgeMMError, match="does not compute what torch does"):
        edgemm.export(wrapped, tmp_path / "b", precision="fp32")
    assert not (tmp_path / "b").exists()


def test_batch_norms_become_part_of_their_convolutions():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    net[1].running_mean.normal_()
    net[1].running_var.uniform_(0.5, 2)
    x = torch.rand(2, 3, 8, 8)
    folded = with_folded_batch_norms(net)
    assert isinstance(folded[1], nn.Identity)
    torch.testing.assert_close(folded(x), net(x), atol=1e-5, rtol=1e-5)
    assert isinstance(net[1], nn.BatchNorm2d), "the user's module is left alone"


def test_calibration_that_does_not_fit_is_refused(model, tmp_path):
    inputs = model.graph.inputs
    with pytest.raises(UsageError, match="sample 1 lacks input 'text'"):
        load_samples(
            inputs, [{"image": np.zeros((24, 24, 3), np.uint8), "text": ""}, {"image": np.zeros((24, 24, 3), np.uint8)}]
        )
    np.savez(tmp_path / "one.npz", image=np.zeros((2, 24, 24, 3), np.uint8))
    with pytest.raises(UsageError, match="no array 'text'"):
        load_samples(inputs, tmp_path / "one.npz")
    np.savez(tmp_path / "odd.npz", image=np.zeros((2, 24, 24, 3), np.uint8), text=np.array(["a", "b", "c"]))
    with pytest.raises(UsageError, match="not aligned"):
        load_samples(inputs, tmp_path / "odd.npz")
    (tmp_path / "bad.npz").write_bytes(b"x")
    with pytest.raises(UsageError, match="cannot read"):
        load_samples(inputs, tmp_path / "bad.npz")
    np.savez(tmp_path / "good.npz", image=np.zeros((2, 24, 24, 3), np.uint8), text=np.array(["加", "b"]))
    assert load_samples(inputs, tmp_path / "good.npz").rows == 2
    assert load_samples(inputs, None).random


def test_an_encoder_that_reads_another_encoders_tokens_exports_and_runs(tmp_path):
    class Film(nn.Module):
        def __init__(self):
            super().__init__()
            self.see = nn.Linear(12, 8)
            self.gain = nn.Linear(8, 8)

        def forward(self, x, context):
            seen = self.see(x.float().flatten(1) / 255) * self.gain(context[:, 0])
            return seen[:, None], torch.ones_like(seen[:, :1]) > 0

    class Plugin:
        @staticmethod
        @edgemm.hookimpl
        def edgemm_encoders():
            yield edgemm.EncoderEntry("my.film", "tests.film:build", modality="image")

    host = PluginHost().discover()
    assert host.register(Plugin, "film")
    real = host.resolve
    host.resolve = lambda registered, name: (
        (lambda *_: Film()) if name == "tests.film:build" else real(registered, name)
    )
    text = SPEC.replace("width = 16\n\n[inputs.image]", "width = 8\n\n[inputs.image]").replace(
        "height = 24\nwidth = 24", "height = 2\nwidth = 2"
    )
    text = text.replace('[encoders.image]\nuse = "vision.cnn"\nchannels = [8, 8, 16]\nscales = 1', (
        "[[node]]\nname = 'image'\nuse = 'my.film'\nreads = {x = 'input.image', context = 'text.tokens'}"
    ))  # fmt: skip
    torch.manual_seed(0)
    composed = compose(spec_from_text(text), host)
    edgemm.export(composed, tmp_path / "film", precision="fp32")
    frame = np.full((2, 2, 3), 100, np.uint8)
    with edgemm.open(tmp_path / "film") as opened:
        add, less = (opened.infer(image=frame, text=words).outputs["answer"].scores for words in ("add", "less"))
        assert not np.allclose(add, less)
        live = opened.live()
        live.push("text", "add", 0)
        np.testing.assert_allclose(live.push("image", frame, 1).outputs["answer"].scores, add, atol=1e-5)
