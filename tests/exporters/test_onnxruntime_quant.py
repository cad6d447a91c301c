"""Quantizers: what they write for CPUs and for TensorRT, what they leave alone, and how they fail."""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgemm.errors import ExportError
from edgemm.host.entries import QuantizerEntry
from edgemm.host.plugin_host import PluginHost
from edgemm_exporters import onnxruntime_quant
from edgemm_exporters.onnxruntime_quant.quantizers import GraphQuantizer, cpu_int8, tensorrt_fp16, tensorrt_int8

GRAPHS = ("conv", "attention", "text", "audio")
WRITERS: dict[str, tuple[Callable[[], GraphQuantizer], str]] = {
    "cpu int8": (cpu_int8, "int8"),
    "tensorrt fp16": (tensorrt_fp16, "fp16"),
    "tensorrt int8": (tensorrt_int8, "int8"),
    "tensorrt int8+fp16": (tensorrt_int8, "int8+fp16"),
}
# Of a whole output on random weights. FP16 keeps 11 bits; 8 bits per tensor and channel lose a little on each layer.
LOWEST_COSINE = {"fp16": 0.999999, "int8": 0.999, "int8+fp16": 0.999}


def quantized(graph, writer, folder: Path, **changes) -> Path:
    make, precision = WRITERS[writer]
    target = folder / f"{graph.name}.onnx"
    options = {"calibration": graph.batches, "keep_fp32": graph.keep_fp32, **changes}
    make().quantize(graph.path, target, precision=precision, **options)
    return target


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_entries_say_which_backend_and_precision_they_serve() -> None:
    host = PluginHost(only=(), strict=True)
    host.register(onnxruntime_quant, "onnxruntime_quant")
    entries = [registered.entry for registered in host.entries(QuantizerEntry).values()]
    served = [(entry.backend, precision) for entry in entries for precision in entry.precisions]
    trt = [(b, p) for b in ("tensorrt", "tensorrt_rtx") for p in ("fp16", "int8", "int8+fp16")]
    assert sorted(served) == sorted([("onnxruntime", "int8"), *trt])
    for entry in entries:
        assert isinstance(host.load(QuantizerEntry, entry.name)(), GraphQuantizer)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", GRAPHS)
def test_accuracy_on_unseen_samples(graphs, tmp_path: Path, name: str, writer: str) -> None:
    graph = graphs[name]
    path = quantized(graph, writer, tmp_path)
    expected, got = graph.run(graph.path), graph.run(path, optimized=writer.startswith("cpu"))
    for want, have in zip(expected, got, strict=True):
        assert want.dtype == have.dtype, "inputs and outputs keep their types"
        if want.dtype == bool:
            np.testing.assert_array_equal(want, have)
        else:
            assert cosine(want, have) > LOWEST_COSINE[WRITERS[writer][1]]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", GRAPHS)
def test_node_names_and_interface_survive(graphs, tmp_path: Path, name: str, writer: str) -> None:
    before, after = onnx.load(graphs[name].path), onnx.load(quantized(graphs[name], writer, tmp_path))
    lost = {n.name for n in before.graph.node} - {n.name for n in after.graph.node}
    removable = {n.name for n in before.graph.node if n.op_type == "Relu"} if writer == "cpu int8" else set()
    assert lost <= removable, "an unsigned range clips at 0, so only a ReLU may go"
    assert list(before.graph.input) == list(after.graph.input)
    assert list(before.graph.output) == list(after.graph.output)


@pytest.mark.parametrize("writer", ["cpu int8", "tensorrt int8", "tensorrt int8+fp16"])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_product_outside_keep_fp32_is_int8(graphs, tmp_path: Path, name: str, writer: str) -> None:
    model = onnx.load(quantized(graphs[name], writer, tmp_path))
    producers = {output: node.op_type for node in model.graph.node for output in node.output}
    products = [node for node in model.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    assert products
    for node in products:
        kept = node.name in graphs[name].keep_fp32
        sources = [producers.get(name, "constant") for name in node.input[:2]]
        assert ("DequantizeLinear" in sources) != kept, node.name
        assert kept or sources == ["DequantizeLinear"] * 2, node.name


@pytest.mark.parametrize("writer", [w for w in WRITERS if w != "cpu int8"])
def test_kept_nodes_compute_exactly_what_they_did(graphs, tmp_path: Path, writer: str) -> None:
    graph = graphs["audio"]
    path = quantized(graph, writer, tmp_path)
    (_, loudness), (_, kept) = graph.run(graph.path, optimized=False), graph.run(path, optimized=False)
    assert loudness.min() < -15, "the samples must have bands that FP16 cannot hold"
    if writer == "tensorrt int8":
        np.testing.assert_array_equal(kept, loudness)
    else:  # the reduction after the front end is not kept and rounds its result once
        np.testing.assert_allclose(kept, loudness, rtol=2**-11)
    model = onnx.load(path)
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    found = [types.get(name) for node in model.graph.node if node.name in graph.keep_fp32 for name in node.output]
    assert found == [TensorProto.FLOAT] * len(graph.keep_fp32)


def shared_graph(folder: Path) -> Path:
    """`kept` and `other` convolve x with one weight and scale it by one constant that FP16 cannot hold."""
    weight = numpy_helper.from_array(np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4, 1, 1), "weight")
    tiny = numpy_helper.from_array(np.float32(1e-9).reshape(1), "tiny")
    nodes = [
        node
        for who in ("kept", "other")
        for node in (
            helper.make_node("Conv", ["x", "weight"], [f"{who}_c"], name=f"{who}_conv"),
            helper.make_node("Mul", [f"{who}_c", "tiny"], [f"{who}_y"], name=f"{who}_mul"),
        )
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 4, 3, 3))
    ys = [helper.make_tensor_value_info(f"{w}_y", TensorProto.FLOAT, ("batch", 2, 3, 3)) for w in ("kept", "other")]
    graph = helper.make_graph(nodes, "shared", [x], ys, [weight, tiny])
    path = folder / "shared.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


@pytest.mark.parametrize("writer", WRITERS)
def test_what_kept_nodes_share_with_others_stays_fp32_for_them(tmp_path: Path, writer: str) -> None:
    make, precision = WRITERS[writer]
    source, target = shared_graph(tmp_path), tmp_path / "converted.onnx"
    x = np.random.default_rng(0).standard_normal((4, 4, 3, 3), dtype=np.float32)
    make().quantize(
        source, target, precision=precision, calibration=lambda: [{"x": x}], keep_fp32=("kept_conv", "kept_mul")
    )
    expected, _ = onnx_session(source).run(None, {"x": x})
    kept, other = onnx_session(target).run(None, {"x": x})
    np.testing.assert_array_equal(kept, expected)
    assert not np.array_equal(other, expected), "the other branch must show that the precision is lower"


def test_tensorrt_int8_is_symmetric_and_has_no_quantized_bias(graphs, tmp_path: Path) -> None:
    model = onnx.load(quantized(graphs["conv"], "tensorrt int8", tmp_path))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    types = Counter()
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero_point = constants[node.input[2]]
            assert not zero_point.any()
            types[zero_point.dtype.name] += 1
    assert set(types) == {"int8"}, "uint8 activations and int32 biases do not compile"


def test_cpu_int8_has_unsigned_activations_and_seven_bit_weights(graphs, tmp_path: Path) -> None:
    model = onnx.load(quantized(graphs["conv"], "cpu int8", tmp_path))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    activations = {constants[n.input[2]].dtype.name for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert activations == {"uint8"}
    weights = [
        constants[n.input[0]]
        for n in model.graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in constants and constants[n.input[0]].dtype == np.int8
    ]
    assert len(weights) == 3
    for weight in weights:
        assert np.abs(weight.astype(int)).max() <= 64, "8-bit weights overflow 16-bit sums on CPUs without VNNI"


@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_mask_hides_cannot_change_the_answer(graphs, tmp_path: Path, writer: str) -> None:
    graph = graphs["attention"]
    path = quantized(graph, writer, tmp_path)
    (feeds,) = graph.batches(16, batch=16, seed=3)
    hidden = ~feeds["valid"]
    assert hidden.any()
    changed = feeds["tokens"].copy()
    changed[hidden] = 12345.0
    session = onnx_session(path)
    (first,) = session.run(None, feeds)
    (second,) = session.run(None, {**feeds, "tokens": changed})
    np.testing.assert_array_equal(first, second)


def onnx_session(path: Path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("writer", ["cpu int8", "tensorrt int8"])
def test_the_result_does_not_depend_on_batching(graphs, tmp_path: Path, writer: str) -> None:
    graph = graphs["conv"]
    written = []
    for batch in (1, 5, 32):
        path = quantized(graph, writer, tmp_path, calibration=lambda batch=batch: graph.batches(batch=batch))
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]


def test_calibration_holds_one_batch_at_a_time(graphs, tmp_path: Path) -> None:
    graph = graphs["conv"]
    given: list[weakref.ref[np.ndarray]] = []
    most = 0

    def calibration():
        nonlocal most
        for feeds in graph.batches(24):
            image = feeds["image"].copy()
            given.append(weakref.ref(image))
            yield {"image": image}
            del image
            most = max(most, sum(array() is not None for array in given))

    quantized(graph, "cpu int8", tmp_path, calibration=calibration)
    assert len(given) == 24
    assert most <= 2


def test_nothing_is_said_and_nothing_left_behind(
    graphs, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    source = folder / "source.onnx"
    source.write_bytes(graphs["conv"].path.read_bytes())
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    before = list(root.filters)
    tensorrt_int8().quantize(
        source, folder / "int8.onnx", precision="int8", calibration=graphs["conv"].batches, keep_fp32=()
    )
    assert root.handlers == []
    assert root.filters == before
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in folder.iterdir()) == ["int8.onnx", "source.onnx"]


def wrong_samples(graph, change) -> Callable[[], list[dict[str, np.ndarray]]]:
    return lambda: [change(dict(feeds)) for feeds in graph.batches(2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: {"tokens": f["tokens"]}, "no value for graph input 'valid'"),
        (lambda f: {**f, "tokens": f["tokens"].astype(np.float64)}, "input 'tokens' must be float32, got float64"),
        (lambda f: {**f, "tokens": np.repeat(f["tokens"], 2, 0)}, "different batch sizes"),
        (lambda f: {**f, "tokens": f["tokens"] * np.float32(np.inf)}, "not finite"),
        (lambda f: {**f, "tokens": f["tokens"][:, :3]}, "could not be converted"),
    ],
)
def test_samples_that_do_not_fit_are_refused(graphs, tmp_path: Path, change, message: str) -> None:
    graph = graphs["attention"]
    with pytest.raises(ExportError, match=message):
        quantized(graph, "tensorrt int8", tmp_path, calibration=wrong_samples(graph, change))
    assert list(tmp_path.iterdir()) == []


def test_no_samples_at_all_is_refused(graphs, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="calibration gave no samples"):
        quantized(graphs["conv"], "cpu int8", tmp_path, calibration=list)


def test_wrong_requests_are_refused(graphs, tmp_path: Path) -> None:
    graph = graphs["conv"]
    with pytest.raises(ExportError, match="keep_fp32 names 'nobody', which is not a node"):
        quantized(graph, "tensorrt fp16", tmp_path, keep_fp32=("nobody",))
    with pytest.raises(ExportError, match=r"this quantizer writes int8, int8\+fp16; it was asked for fp16"):
        tensorrt_int8().quantize(
            graph.path, tmp_path / "x.onnx", precision="fp16", calibration=graph.batches, keep_fp32=()
        )
    everything = [node.name for node in onnx.load(graph.path).graph.node]
    with pytest.raises(ExportError, match="nothing to quantize"):
        quantized(graph, "tensorrt int8", tmp_path, keep_fp32=everything)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(graph.path.read_bytes()[:200])
    with pytest.raises(ExportError, match="not a readable ONNX file"):
        cpu_int8().quantize(broken, tmp_path / "x.onnx", precision="int8", calibration=graph.batches, keep_fp32=())
    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]


def test_a_graph_whose_data_is_in_another_file_is_not_quantized(tmp_path):
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
    source = tmp_path / "foreign.onnx"
    onnx.save(helper.make_model(graph), source, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(ExportError, match="keeps data of a tensor in another file"):
        cpu_int8().quantize(source, tmp_path / "int8.onnx", precision="int8", calibration=list, keep_fp32=[])
    assert not (tmp_path / "int8.onnx").exists()
