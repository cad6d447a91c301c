"""ONNX Runtime's execution providers: which is taken, what is refused, and device values, on an imitated build.

The imitated build computes on the CPU whatever it is asked for; "device" memory is memory of its own, which is seen only by copying. What a GPU
really does is not shown here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.cli.main import main
from edgemm.errors import MissingDependencyError, UnknownNameError, UsageError
from edgemm.machine.doctor import _providers, doctor
from edgemm.runners.choosing import REFERENCE, choices
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runners.providers import PROVIDERS
from edgemm.testing import check_runner

MS = 1_000_000
INT8, ENGINES = "cpu.onnxruntime.int8", "rtx-4090.tensorrt_rtx-1.7.fp16"


def twice():
    """y = x + x, z = -x."""
    tensors = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 3]) for n in names] for names in ("x", "yz")
    ]
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    graph = helper.make_graph(nodes, "graph", *tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


class Build:
    """What the imitated build was asked for."""

    def __init__(self):
        self.sessions = []  # providers of each session
        self.values = []  # device of each value that is not the host's
        self.broken = ()  # providers that do not start


@pytest.fixture
def build(monkeypatch):
    """An ONNX Runtime that has every provider."""
    here = Build()
    names = list(PROVIDERS.values())

    class Session(ort.InferenceSession):
        def __init__(self, model, options, providers, **more):
            here.sessions.append([name for name, full in PROVIDERS.items() for asked in providers if asked == full])
            self.order = list(providers)
            super().__init__(model, options, providers=["CPUExecutionProvider"], **more)

        def get_providers(self):
            return [name for name in self.order if name not in here.broken]

    from_numpy = ort.OrtValue.ortvalue_from_numpy

    def on_device(array, device="cpu", index=0):
        if device == "cpu":
            return from_numpy(array)
        here.values.append(f"{device}:{index}")
        return from_numpy(array.copy())

    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    monkeypatch.setattr(ort, "InferenceSession", Session)
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_numpy", staticmethod(on_device))
    return here


@pytest.fixture
def variants(one_node, tmp_path):
    """A bundle with an INT8 variant for CPUs and engines beside the reference."""
    source = Bundle(one_node)
    path = tmp_path / "variants.edgemm"
    with BundleWriter(path) as writer:
        for name in source.manifest.files:
            writer.add(name, source.read(name))
        content = source.read("graphs/net/model.onnx")
        more = {
            INT8: Variant("cpu", "onnxruntime", "1", "int8", {"net": writer.add("graphs/net/int8.onnx", content)}),
            ENGINES: Variant("rtx-4090", "tensorrt_rtx", "1.7", "fp16", {"net": writer.add("net.engine", content)}),
        }
        writer.finish(
            lambda files: replace(source.manifest, variants={**source.manifest.variants, **more}, files=files)
        )
    return path


# ---- the runner


@pytest.mark.parametrize(
    ("provider", "order", "memory"),
    [
        ("cpu", ["CPUExecutionProvider"], "host"),
        ("cuda", ["CUDAExecutionProvider", "CPUExecutionProvider"], "cuda:0"),
        ("tensorrt", ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"], "cuda:0"),
        ("openvino", ["OpenVINOExecutionProvider", "CPUExecutionProvider"], "host"),
    ],
)
def test_a_provider_is_asked_first_and_the_cpu_last(build, provider, order, memory):
    runner = OnnxRuntimeRunner(twice(), "net", provider=provider)
    assert runner.session.order == order
    assert runner.memory == memory


@pytest.mark.parametrize("provider", PROVIDERS)
def test_runners_of_every_provider_keep_the_contract(build, provider):
    check_runner(OnnxRuntimeRunner(twice(), "net", provider=provider))
    assert set(build.values) == ({"cuda:0"} if provider in ("cuda", "tensorrt") else set())


def test_values_of_a_gpu_are_linked_without_copying_and_copied_when_somebody_looks(build):
    first, second = (OnnxRuntimeRunner(twice(), "net", provider="cuda").bind() for _ in range(2))
    between, last = first.new_outputs(), second.new_outputs()
    first.feed("x", np.ones((1, 3), np.float32))
    second.link("x", between[0])
    for _ in range(2):
        first.run(between)
        second.run(last)
    assert first.copied_bytes == {"up": 2 * 12, "down": 0}
    assert second.copied_bytes == {"up": 0, "down": 0}
    for _ in range(2):
        assert last[0].array.tolist() == [[4, 4, 4]]
    assert second.copied_bytes == {"up": 0, "down": 12}


def test_a_value_of_a_gpu_is_fed_from_the_host_to_a_session_on_the_cpu(build):
    first, second = (OnnxRuntimeRunner(twice(), "net", provider=provider).bind() for provider in ("cuda", "cpu"))
    between, last = first.new_outputs(), second.new_outputs()
    x = np.ones((1, 3), np.float32)
    first.feed("x", x)
    second.link("x", between[0])
    for number in (1, 2):
        x[:] = number
        first.run(between)
        second.run(last)
        assert last[0].array.tolist() == [[4 * number] * 3]
    assert first.copied_bytes == {"up": 24, "down": 24}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "openvino"])
def test_a_provider_that_the_build_lacks_is_said_with_what_brings_it(provider):
    brings = "onnxruntime-openvino" if provider == "openvino" else "onnxruntime-gpu"
    with pytest.raises(
        MissingDependencyError, match=rf"without the provider '{provider}' \(it has cpu\).*pip install {brings}"
    ):
        next(choices(NoBundle(), "auto", provider))


class NoBundle:
    """Nothing of a bundle is looked at before the provider is known to be there."""


def test_a_provider_that_does_not_start_is_an_error_and_not_the_cpu(build):
    build.broken = (PROVIDERS["cuda"],)
    with pytest.raises(
        MissingDependencyError, match=r"has the provider 'cuda', but it does not start here.*--provider cpu"
    ):
        OnnxRuntimeRunner(twice(), "net", provider="cuda")


def test_a_provider_that_nobody_knows_is_said_with_those_that_are():
    with pytest.raises(UnknownNameError, match="did you mean 'cuda'"):
        next(choices(NoBundle(), "auto", "cudaa"))


# ---- bundles


def test_a_bundle_runs_by_the_provider_that_is_asked_for(build, three_inputs):
    path = three_inputs()
    with edgemm.open(path) as cpu, edgemm.open(path, provider="cuda") as gpu:
        assert build.sessions[-1] == ["cpu", "cuda"]
        assert (gpu.provider, gpu.variant) == ("cuda", REFERENCE)
        lives = [model.live() for model in (cpu, gpu)]
        for step, (name, value) in enumerate((("image", np.full((2, 2, 3), 9, np.uint8)), ("text", "\x08"))):
            expected, got = (live.push(name, value, step * MS) for live in lives)
            np.testing.assert_array_equal(got.outputs["answer"], expected.outputs["answer"])
        image = gpu.live().steps["image"]
        assert image.cell.values[0].memory == "cuda:0"
        copied = lives[1].steps["image"].binding.copied_bytes
        assert copied == {"up": 12, "down": 0}, "the frame goes up, and no embedding comes down"


def test_auto_takes_the_reference_by_a_provider_and_says_what_runs_where(build, variants):
    with edgemm.open(variants, provider="cuda", trust=edgemm.Trust(engines=True)) as model:
        assert model.variant == REFERENCE
        assert (
            model.variant_reason
            == "the FP32 reference, run by ONNX Runtime's provider 'cuda', and what that cannot run by the CPU's"
        )
    with edgemm.open(variants, variant="fp32", provider="openvino") as model:
        assert model.variant_reason.startswith("asked for, run by ONNX Runtime's provider 'openvino'")


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_what_was_quantized_for_cpus_does_not_run_on_a_gpu(build, variants, provider):
    sessions = list(build.sessions)
    with pytest.raises(UsageError, match=rf"'{INT8}' was quantized for CPUs.*--provider cpu, or --variant {REFERENCE}"):
        edgemm.open(variants, variant="int8", provider=provider)
    assert build.sessions == sessions


def test_what_was_quantized_for_cpus_runs_by_openvino(build, variants):
    with edgemm.open(variants, variant="int8", provider="openvino") as model:
        assert model.variant == INT8


def test_engines_do_not_run_by_a_provider(build, variants):
    with pytest.raises(UsageError, match="holds tensorrt_rtx engines, and provider 'cuda' is one of ONNX Runtime"):
        edgemm.open(variants, variant=ENGINES, provider="cuda", trust=edgemm.Trust(engines=True))


@pytest.mark.parametrize(
    "use",
    [
        lambda path: edgemm.open(path, provider="cuda"),
        lambda path: edgemm.stream(path, {"a": edgemm.Inbox()}, provider="cuda"),
        lambda path: edgemm.profile(path, provider="cuda"),
        lambda path: edgemm.evaluate(path, provider="cuda"),
    ],
    ids=["open", "stream", "profile", "evaluate"],
)
def test_everything_that_runs_a_bundle_takes_a_provider(one_node, use):
    with pytest.raises(MissingDependencyError, match="without the provider 'cuda'"):
        use(one_node)


def test_a_checkpoint_has_no_provider(tmp_path):
    with pytest.raises(UsageError, match="is a checkpoint, which torch runs: provider 'cuda' is for bundles"):
        edgemm.evaluate(tmp_path / "desk.safetensors", provider="cuda")


def test_a_profile_says_by_which_provider(build, one_node):
    profile = edgemm.profile(one_node, provider="cuda", runs=2)
    assert profile.to_json()["provider"] == "cuda"
    assert f"{REFERENCE}  by provider 'cuda'" in str(profile)
    assert "provider" not in str(edgemm.profile(one_node, runs=2))


# ---- the command line


@pytest.mark.parametrize("command", [["run", "-i", "a=stdin:"], ["profile"], ["evaluate"]], ids=lambda words: words[0])
def test_every_command_that_runs_a_bundle_takes_a_provider(one_node, capsys, command):
    name, *more = command
    assert main([name, str(one_node), *more, "--provider", "openvino"]) == MissingDependencyError.exit_code
    assert "pip install onnxruntime-openvino" in capsys.readouterr().err
    assert main([name, str(one_node), *more, "--provider", "gpu"]) == UnknownNameError.exit_code
    assert "execution provider" in capsys.readouterr().err


def test_doctor_says_which_providers_the_installed_build_has():
    (found,) = [check for check in doctor().checks if check.name == "ONNX Runtime runs on"]
    assert found.detail.startswith("cpu; other builds: cuda (pip install onnxruntime-gpu)")


def test_doctor_names_providers_as_the_command_line_does():
    found = _providers(["CUDAExecutionProvider", "TensorrtExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"])  # fmt: skip
    assert found.detail == "cpu, cuda, tensorrt; other builds: openvino (pip install onnxruntime-openvino)"
    assert _providers(list(PROVIDERS.values())).detail == "cpu, cuda, tensorrt, openvino"
