"""A graph gets the precision that was asked for, or the next lower one that computes what the reference does, or there is no bundle."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.errors import ExportError, ParityError
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm_exporters import onnxruntime_quant, tensorrt_engine
from edgemm_plugins.outputs.array import Array

CPU = "cpu.onnxruntime.int8"
BOARD = "board.xyz-1.0.int8+fp16"
REFERENCES = {graph: f"graphs/{graph}/model.onnx" for graph in ("step", "last")}


# ---- what a quantizer does to a graph


def _after(model: onnx.ModelProto, output: str, op: str, *constants: np.ndarray) -> None:
    """Put one more node before an output."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"{name}_true" if name == output else name for name in names]
    names = [f"constant_{number}" for number, _ in enumerate(constants)]
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(constants, names, strict=True))
    model.graph.node.append(helper.make_node(op, [f"{output}_true", *names], [output]))


def turned(degrees: float) -> Callable[[onnx.ModelProto], None]:
    """Turn every vector of `y` by an angle: its cosine with the true one is the angle's, and two such graphs in a row turn twice."""
    angle = np.deg2rad(degrees)
    plane = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    return lambda model: _after(model, "y", "MatMul", np.kron(np.eye(4, dtype=np.float32), plane))


def not_a_number(model: onnx.ModelProto) -> None:
    _after(model, "y", "Mul", np.array(np.nan, np.float32))


def contrary(model: onnx.ModelProto) -> None:
    """Say the opposite in `up`, and leave `y` as it is."""
    _after(model, "up", "Not")


def clipped(limit: float) -> Callable[[onnx.ModelProto], None]:
    return lambda model: _after(model, "y", "Clip", np.float32(-limit), np.float32(limit))


REFUSED = ExportError("no such kernel")


# ---- one step down


@pytest.fixture
def export_on_cpu(chain, imaginary, tmp_path):
    """Exports the chain for the CPU with a test's own INT8: (summary, bundle)."""

    def export(changes):
        imaginary.quantizer("int8", backend="onnxruntime", changes=changes)
        summary = edgemm.export(chain, tmp_path / "b", host=imaginary.host())
        return summary, Bundle(tmp_path / "b")

    return export


@pytest.mark.parametrize("changes", [{}, {("int8", "last"): turned(9)}], ids=["as it was", "cosine 0.988"])
def test_a_graph_that_passes_its_gate_keeps_the_precision_that_was_asked_for(export_on_cpu, changes):
    summary, bundle = export_on_cpu(changes)
    assert summary.fallbacks == {}
    assert "kept in" not in str(summary)
    assert bundle.manifest.variants[CPU].files == {g: f"graphs/{g}/onnxruntime.int8.onnx" for g in REFERENCES}


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (turned(11), "node 'third' reaches cosine 0.9816 and agreement 1.000 only"),
        (contrary, "node 'third' reaches cosine 1.0000 and agreement 0.000 only"),
        (not_a_number, "node 'third' reaches cosine 0.0000 and agreement 0.000 only"),
        (REFUSED, "it could not be converted: no such kernel"),
    ],
    ids=["cosine", "agreement", "not a number", "not converted"],
)
def test_a_graph_that_misses_its_gate_is_kept_in_fp32_alone_and_the_summary_says_why(export_on_cpu, change, because):
    summary, bundle = export_on_cpu({("int8", "last"): change})
    reason = f"kept in fp32, because in int8 {because}"
    assert summary.fallbacks == {CPU: {"last": reason}}
    assert f"last: {reason}" in str(summary)
    files = {"step": "graphs/step/onnxruntime.int8.onnx", "last": REFERENCES["last"]}
    assert bundle.manifest.variants[CPU].files == files
    assert reason in html.unescape(bundle.read("report.html").decode())


def test_every_node_that_uses_a_graph_must_pass(chain, imaginary, tmp_path):
    """`second` is fed twice what `first` is, and only that is clipped."""
    imaginary.quantizer("int8", backend="onnxruntime", changes={("int8", "step"): clipped(2.5)})
    row = np.array([1.0, *[0.5] * 7], np.float32)
    summary = edgemm.export(chain, tmp_path / "b", calibration=[{"x": row}] * 8, host=imaginary.host())
    assert "node 'second' reaches cosine 0.97" in summary.fallbacks[CPU]["step"]


def test_what_missed_its_gate_or_was_half_converted_is_not_in_the_bundle(export_on_cpu):
    _, bundle = export_on_cpu({("int8", "step"): REFUSED, ("int8", "last"): turned(30)})
    quantized = [name for name in bundle.manifest.files if "int8" in name]
    assert quantized == []
    assert set(REFERENCES.values()) <= set(bundle.manifest.files)


# ---- the whole ladder


@pytest.fixture
def export_for_boards(chain, imaginary, tmp_path):
    """Exports the chain for boards of an imaginary backend: (summary, bundle, quantizer)."""

    def export(changes, *precisions, boards=("board",)):
        for name in boards:
            imaginary.device(name, precisions)
        imaginary.exporter()
        quantizer = imaginary.quantizer("fp16", "int8+fp16", changes=changes)
        summary = edgemm.export(
            chain, tmp_path / "b", device=boards, precision="int8+fp16", calibration=samples(), host=imaginary.host()
        )
        return summary, Bundle(tmp_path / "b"), quantizer

    return export


def samples(rows=40):
    values = np.random.default_rng(0).standard_normal((rows, 8), dtype=np.float32)
    return [{"x": row} for row in values]


def test_a_graph_goes_down_step_by_step_and_every_step_is_told(export_for_boards):
    changes = {("int8+fp16", "step"): turned(20), ("int8+fp16", "last"): REFUSED, ("fp16", "last"): turned(5)}
    summary, bundle, _ = export_for_boards(changes, "int8+fp16", "fp16", "fp32")
    assert summary.fallbacks[BOARD] == {
        "step": "kept in fp16, because in int8+fp16 node 'first' reaches cosine 0.9397 and agreement 1.000 only",
        "last": "kept in fp16, because in int8+fp16 it could not be converted: no such kernel; "
        "kept in fp32, because in fp16 node 'third' reaches cosine 0.9962 and agreement 1.000 only",
    }
    variant = bundle.manifest.variants[BOARD]
    assert variant.sources == {"step": "graphs/step/xyz.fp16.onnx", "last": REFERENCES["last"]}
    for graph, source in variant.sources.items():
        assert bundle.read(variant.files[graph]) == b"xyz\0" + bundle.read(source), "what was compiled is what passed"


def test_a_device_that_does_not_take_the_next_lower_precision_gets_no_bundle(export_for_boards, tmp_path):
    with pytest.raises(ParityError, match=r"graph 'step' for 'board' in fp16: node 'first' reaches cosine 0\.9397"):
        export_for_boards({"int8+fp16": REFUSED, "fp16": turned(20)}, "int8+fp16", "fp16")
    assert list(tmp_path.iterdir()) == []


def test_boards_of_one_backend_share_conversions_and_what_became_of_them(export_for_boards):
    changes = {("int8+fp16", "last"): turned(30)}
    summary, bundle, quantizer = export_for_boards(changes, "int8+fp16", "fp16", "fp32", boards=("board", "other"))
    assert quantizer.asked == [("int8+fp16", "step"), ("int8+fp16", "last"), ("fp16", "last")]
    first, second = (bundle.manifest.variants[f"{name}.xyz-1.0.int8+fp16"] for name in ("board", "other"))
    assert first.sources == second.sources
    assert summary.fallbacks[BOARD] == summary.fallbacks["other.xyz-1.0.int8+fp16"]


def test_graphs_are_calibrated_on_rows_that_they_are_not_compared_on(export_for_boards):
    _, bundle, quantizer = export_for_boards({}, "int8+fp16", "fp16", "fp32")
    given = np.stack([row["x"] for row in samples()])
    assert bundle.manifest.calibration["compared_on"] == 10
    np.testing.assert_array_equal(quantizer.calibration["last"], 4 * given[:30])
    assert len(quantizer.calibration["step"]) == 60, "a graph that two nodes use is calibrated on what reaches either"


class Careful(nn.Module):
    """A product that is to stay FP32 in every precision."""

    full_precision = ("product",)

    def __init__(self):
        super().__init__()
        self.product = nn.Linear(8, 8)

    def forward(self, x):
        y = self.product(x)
        return y, y[:, :1] > 0


def test_a_quantizer_is_told_what_a_module_wants_to_stay_fp32(chain, imaginary, tmp_path):
    quantizer = imaginary.quantizer("int8", backend="onnxruntime")
    model = type(chain)(Careful(), chain.modules_by_graph["last"])
    edgemm.export(model, tmp_path / "b", host=imaginary.host())
    nodes = onnx.load(tmp_path / "b" / REFERENCES["step"]).graph.node
    products = {node.name for node in nodes if node.op_type in ("MatMul", "Gemm")}
    assert products
    assert products <= set(quantizer.kept["step"]) < {node.name for node in nodes}
    assert quantizer.kept["last"] == ()


# ---- the fused answer


def test_errors_that_pass_alone_and_add_up_to_a_wrong_answer_leave_no_bundle(export_on_cpu, tmp_path):
    """Three turns of 8 degrees: each node reaches 0.990, the answer 0.914."""
    with pytest.raises(
        ParityError, match=r"output 'answer' in int8 for 'cpu' reaches cosine 0\.9135 only.*errors add up.*: fp32"
    ):
        export_on_cpu({"int8": turned(8)})
    assert list(tmp_path.iterdir()) == []


# ---- the first rung: torch against ONNX


class Changing(nn.Module):
    """Computes something else when torch traces it, as a network may that asks Python what to do."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        y, up = x * 2, x[:, :1] > 0
        return self.change(y, up) if torch.compiler.is_exporting() else (y, up)


def one_element_is_off(y, up):
    """By 3e-4 of the largest; the cosine stays 0.99999999."""
    return y + 3e-4 * torch.eye(8)[7], up


def small_rows_point_elsewhere(y, up):
    """A little, cosine 0.9998, and no element is off by more than 1e-6 of the largest."""
    return torch.where(y.abs().amax(dim=1, keepdim=True) < 10, y + 0.1 * torch.eye(8)[7], y), up


def the_bool_is_wrong(y, up):
    return y, ~up


@pytest.mark.parametrize("change", [one_element_is_off, small_rows_point_elsewhere, the_bool_is_wrong])
def test_fp32_that_does_not_compute_what_torch_does_leaves_no_bundle(tmp_path, change):
    rows = np.ones((32, 8), np.float32)
    if change is small_rows_point_elsewhere:
        rows[::2] *= 1e5
    with pytest.raises(ParityError, match="node 'net': ONNX does not compute what torch does"):
        edgemm.export(
            one_node(Changing(change)), tmp_path / "b", precision="fp32", calibration=[{"x": r} for r in rows]
        )
    assert list(tmp_path.iterdir()) == []


def one_node(module):
    node = Node("net", "net", edges({"x": "input.x"}), ("y", "up"))
    graph = ModelGraph("one", {"x": edgemm.Tensor((8,))}, (node,), {"answer": Output.of("net.y", Array())})
    return SimpleNamespace(graph=graph, modules_by_graph={"net": module.eval()}, state_by_graph={})


# ---- rows of a batch


class Centred(nn.Module):
    """Subtracts a share of the batch's mean."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, x):
        y = x - self.share * x.mean(dim=0, keepdim=True)
        return y, y[:, :1] > 100


ALIKE = [{"x": np.ones(8, np.float32)}] * 8


@pytest.mark.parametrize("calibration", [None, ALIKE, ALIKE[:1]], ids=["random", "all alike", "a single one"])
def test_a_network_whose_rows_see_one_another_leaves_no_bundle_and_is_told_what_to_do(tmp_path, calibration):
    with pytest.raises(ParityError, match=r"node 'net': its rows see one another.*a stream is a batch of one.*axis 0"):
        edgemm.export(one_node(Centred(0.5)), tmp_path / "b", precision="fp32", calibration=calibration)
    assert list(tmp_path.iterdir()) == []


class Loud(nn.Module):
    """Mixes rows only where they are above 10, as no drawn row is."""

    def forward(self, x):
        y = torch.where(x > 10, x - 0.5 * x.mean(dim=0, keepdim=True), x)
        return y, y[:, :1] > 100


def test_rows_are_also_compared_on_the_samples(tmp_path):
    rows = [{"x": np.full(8, value, np.float32)} for value in range(20, 60)]
    with pytest.raises(ParityError, match="its rows see one another"):
        edgemm.export(one_node(Loud()), tmp_path / "b", precision="fp32", calibration=rows)


# ---- the real quantizers


class Deaf(nn.Module):
    """A product that does not use its first channel."""

    def __init__(self):
        super().__init__()
        self.product = nn.Linear(8, 8)
        with torch.no_grad():
            self.product.weight[:, 0] = 0

    def forward(self, x):
        y = self.product(x)
        return y, y[:, :1] > 0


@pytest.fixture(scope="session")
def deaf():
    torch.manual_seed(0)
    return one_node(Deaf())


@pytest.mark.parametrize(
    ("largest", "kept_on_jetson"), [(1e4, ["fp16"]), (1e6, ["fp16", "fp32"])], ids=["ruins int8", "ruins fp16 too"]
)
def test_a_channel_of_huge_range_ruins_what_cannot_hold_it(imaginary, tmp_path, deaf, largest, kept_on_jetson):
    """At 1e4 one step of INT8 is larger than every other channel; FP16 ends at 65504."""
    rows = np.random.default_rng(0).standard_normal((64, 8), dtype=np.float32)
    rows[:, 0] = np.where(rows[:, 0] > 0, largest, -largest)
    summary = edgemm.export(
        deaf,
        tmp_path / "b",
        device=["cpu:int8", "jetson-orin-nano:int8+fp16"],
        calibration=[{"x": row} for row in rows],
        host=imaginary.host(onnxruntime_quant, tensorrt_engine),
    )
    on_cpu, on_jetson = (summary.fallbacks[key]["net"] for key in (CPU, "jetson-orin-nano.tensorrt-planned.int8+fp16"))
    assert on_cpu.startswith("kept in fp32, because in int8 node 'net' reaches cosine ")
    assert re.findall(r"kept in (\S+),", on_jetson) == kept_on_jetson
    (plan,) = Bundle(tmp_path / "b").manifest.planned.values()
    last = {"fp16": "graphs/net/tensorrt.fp16.onnx", "fp32": "graphs/net/model.onnx"}[kept_on_jetson[-1]]
    assert plan.sources == {"net": last}
