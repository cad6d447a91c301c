"""Bundles with engines of the real compiler, opened, streamed, verified and refused; run on an imitated GPU (see conftest.py)."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnxruntime import GraphOptimizationLevel
from torch import nn

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.cli.main import main
from edgemm.errors import BundleError, UsageError
from edgemm.host.optional import is_installed
from edgemm.runtime.model import Model
from edgemm_exporters.tensorrt_engine.runner.failures import EngineError

REFERENCE = "cpu.onnxruntime.fp32"
TRUSTED = edgemm.Trust(engines=True)


class Read(nn.Module):
    """Bytes to a vector."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(256, 8)

    def forward(self, text):
        return self.table(text).mean(1)


class Net(nn.Module):
    """Nothing of ours in it."""

    def __init__(self):
        super().__init__()
        self.see = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU())
        self.read, self.answer = Read(), nn.Linear(16, 3)

    def forward(self, image, text):
        return self.answer(torch.cat([self.see(image), self.read(text)], dim=1))


def values(result, output="answer"):
    """The numbers of an output, however it is read."""
    (array,) = result.tensors[output].values()
    return array


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A bundle with engines that the real compiler made."""
    if not is_installed("tensorrt_rtx"):
        pytest.skip("tensorrt_rtx is not installed: pip install 'edgemm[tensorrt-rtx]'")
    torch.manual_seed(0)
    net = Net()
    wrapped = edgemm.wrap(
        net, {"image": edgemm.Image(2, 2), "text": edgemm.Text(8)}, split={"image": net.see, "text": net.read}
    )
    path = tmp_path_factory.mktemp("engines") / "net.edgemm"
    edgemm.export(wrapped, path, device="rtx-4090", precision="fp16,fp32")
    return path


@pytest.fixture
def bundle(machine, exported):
    """The bundle, its engines known to the imitated module by the graphs that they were compiled from."""
    opened = Bundle(exported)
    machine.rtx.optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL
    for variant in opened.manifest.variants.values():
        for graph, source in variant.sources.items():
            machine.rtx.models[opened.read(variant.files[graph])] = opened.read(source)
    return exported


def engine_key(path, precision):
    return next(
        k for k, v in Bundle(path).manifest.variants.items() if v.backend != "onnxruntime" and v.precision == precision
    )


def moments(count=20):
    random = np.random.default_rng(3)
    for number in range(count):
        if number % 3 == 2:
            yield "text", "abc def xyz"[number % 5 :][:8], number * 10**7
        else:
            yield "image", random.integers(0, 255, (2, 2, 3), np.uint8), number * 10**7


def test_the_engine_streams_the_cpus_answers(machine, bundle):
    with (
        edgemm.open(bundle) as cpu,
        edgemm.open(bundle, variant=engine_key(bundle, "fp32"), trust=TRUSTED) as gpu,
    ):
        lives = cpu.live(), gpu.live()
        answers = 0
        for name, value, at_ns in moments():
            expected, got = (live.push(name, value, at_ns) for live in lives)
            assert (expected is None) == (got is None)
            if got is not None:
                answers += 1
                for output in got.outputs:
                    np.testing.assert_allclose(values(got, output), values(expected, output), atol=1e-6)
                assert {n: i.state for n, i in got.inputs.items()} == {n: i.state for n, i in expected.inputs.items()}
        assert answers > 10
        frame = np.full((2, 2, 3), 200, np.uint8)
        np.testing.assert_allclose(*(values(m.infer(image=frame, text="add")) for m in (cpu, gpu)), atol=1e-6)


def test_a_stream_runs_on_an_engine_from_a_thread_of_its_own(machine, bundle):
    frame = np.full((2, 2, 3), 200, np.uint8)
    with edgemm.open(bundle) as cpu:
        expected = values(cpu.infer(image=frame, text="add"))
    image, text = edgemm.Inbox(), edgemm.Inbox()
    key = engine_key(bundle, "fp32")
    with edgemm.stream(bundle, {"image": image, "text": text}, variant=key, trust=TRUSTED) as stream:
        assert stream.model.variant == key
        image.put(frame)
        text.put("add")
        image.close()
        text.close()
        last = list(stream)[-1]
    np.testing.assert_allclose(values(last), expected, atol=1e-6)
    assert len(machine.gpu.threads) > 1


def test_engines_are_not_loaded_without_trust(machine, bundle):
    with pytest.raises(UsageError, match=r"native code.*--trust-engines.*--variant cpu\.onnxruntime\.fp32"):
        edgemm.open(bundle, variant=engine_key(bundle, "fp16"))
    with edgemm.open(bundle) as model:
        assert model.variant == REFERENCE
        assert "not trusted" in model.variant_reason
    assert machine.gpu.calls == []


def test_auto_takes_an_engine_of_this_gpu_and_says_so(machine, bundle):
    with edgemm.open(bundle, trust=TRUSTED) as model:
        assert model.variant == engine_key(bundle, "fp16")
        assert "a tensorrt_rtx variant for this machine, made by the version that is here" in model.variant_reason


def test_auto_takes_the_exact_version_first(machine, bundle, tmp_path):
    opened = Bundle(bundle, TRUSTED)
    fp16, fp32 = (engine_key(bundle, precision) for precision in ("fp16", "fp32"))
    variants = opened.manifest.variants
    variants[fp16] = variants[fp16]._replace(backend_version="1.6.0")
    with Model(opened) as model:
        assert model.variant == fp32


@pytest.mark.parametrize(
    ("capabilities", "reason"), [((75,), "built for SM89.*GPU is SM75"), ((), "this machine has none")]
)
def test_auto_falls_back_to_the_cpu_and_says_why(machine, bundle, capabilities, reason):
    machine.capabilities = capabilities
    with edgemm.open(bundle, trust=TRUSTED) as model:
        assert model.variant == REFERENCE
        assert re.search(reason, model.variant_reason)


@pytest.mark.parametrize("loaded_before", [0, 1])
def test_auto_goes_on_when_an_engine_cannot_be_loaded(machine, bundle, loaded_before):
    machine.gpu.fail["create_execution_context"] = "out of memory"
    machine.gpu.skip["create_execution_context"] = loaded_before
    with edgemm.open(bundle, trust=TRUSTED) as model:
        assert model.variant == engine_key(bundle, "fp32")
        assert "could not be loaded" in model.variant_reason
    machine.gpu.fail["create_execution_context"] = "out of memory"
    with pytest.raises(EngineError, match="close other programs"):
        edgemm.open(bundle, variant=engine_key(bundle, "fp16"), trust=TRUSTED)


def test_auto_never_overlooks_a_changed_engine(machine, bundle, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy")
    file = copy / Bundle(copy).manifest.variants[engine_key(copy, "fp16")].files["image"]
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256"):
        edgemm.open(copy, trust=TRUSTED)


def test_verify_runs_engines_that_are_trusted(machine, bundle, capsys):
    untrusted = edgemm.verify(bundle)
    assert set(untrusted.skipped) == {engine_key(bundle, "fp16"), engine_key(bundle, "fp32")}
    assert machine.gpu.calls == []
    found = edgemm.verify(bundle, trust=TRUSTED)
    assert found.passed
    assert found.skipped == {}
    assert machine.gpu.calls
    assert machine.gpu.leaks() == {}
    assert main(["verify", str(bundle), "--trust-engines", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == {}


def test_verify_notices_an_engine_that_computes_something_else(machine, bundle):
    opened = Bundle(bundle)
    key = engine_key(bundle, "fp32")
    variant = opened.manifest.variants[key]
    graph = opened.manifest.model.nodes[-1].graph
    model = onnx.load_from_string(opened.read(variant.sources[graph]))
    for weights in model.graph.initializer:
        if weights.data_type == TensorProto.FLOAT:
            weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), weights.name))
    machine.rtx.models[opened.read(variant.files[graph])] = model.SerializeToString()
    found = edgemm.verify(bundle, trust=TRUSTED)
    assert key in found.failed


def test_profile_measures_an_engine(machine, bundle):
    found = edgemm.profile(bundle, variant=engine_key(bundle, "fp16"), runs=3, trust=TRUSTED)
    assert found.variant == engine_key(bundle, "fp16")


def test_the_commands_take_the_word_and_nothing_less(machine, bundle, tmp_path, capsys):
    words = tmp_path / "words.jsonl"
    words.write_text('{"t": 0.0, "text": "add"}\n')
    photo = tmp_path / "photo.ppm"
    photo.write_bytes(b"P6 2 2 255\n" + bytes(12))
    key = engine_key(bundle, "fp16")
    run = ["run", str(bundle), "-i", f"text={words}", "-i", f"image={photo}", "--fast", "--json", "--variant", key]
    profile = ["profile", str(bundle), "--runs", "2", "--json", "--variant", key]
    for command in (run, profile):
        assert main(command) == 2
        assert "--trust-engines" in capsys.readouterr().err
        assert machine.gpu.calls == []
    for command in (run, profile):
        calls = len(machine.gpu.calls)
        assert main([*command, "--trust-engines"]) == 0
        assert len(machine.gpu.calls) > calls
        assert machine.gpu.leaks() == {}


def test_kernels_belong_to_the_engine(machine, bundle, tmp_path):
    with edgemm.open(bundle, variant=engine_key(bundle, "fp16"), trust=TRUSTED) as model:
        files = model.bundle.manifest.variants[model.variant].files.values()
        expected = {hashlib.sha256(model.bundle.read(file)).hexdigest()[:32] for file in files}
    kept = {path.stem.rpartition("-")[2] for path in (tmp_path / "cache" / "edgemm" / "kernels").iterdir()}
    assert len(expected) > 1
    assert kept == expected
