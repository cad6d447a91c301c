"""The general form of a model, run: an encoder that reads another's tokens, two fusions over one encoder, two cameras on one graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgemm
from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.model.edge import Edge, edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Trigger, Until
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array

MS = 1_000_000


def binary(operator, left, right, out="y"):
    """out = operator(left, right), all float (batch, 1)."""
    graph = helper.make_graph(
        [helper.make_node(operator, [left, right], [out])],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 1]) for n in (left, right)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["batch", 1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def double():
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def bundle(path, model, graphs):
    runners = {name: OnnxRuntimeRunner(content, name) for name, content in graphs.items()}
    with BundleWriter(path) as writer:
        files = {name: writer.add(f"graphs/{name}/model.onnx", content) for name, content in graphs.items()}
        writer.finish(
            lambda records: Manifest(
                model.name, model.inputs,
                {n: GraphRecord(tuple(r.inputs), tuple(r.outputs)) for n, r in runners.items()},
                model.nodes, model.outputs, {"cpu.onnxruntime.fp32": Variant("cpu", "onnxruntime", "1", "fp32", files)}, records,
            )
        )  # fmt: skip
    return path


def value(number):
    return np.array([number], np.float32)


def test_an_encoder_reads_another_encoders_tokens(tmp_path):
    model = ModelGraph(
        "conditioned",
        {"image": Tensor((1,)), "text": Tensor((1,))},
        (
            Node(
                "image", "film", edges({"x": "input.image", "gain": "text.y"}), ("y",), role="encoder"
            ),  # declared before what it reads
            Node("text", "double", edges({"x": "input.text"}), ("y",), role="encoder", trigger=Trigger.parse("change")),
            Node("head", "add", edges({"a": "image.y", "b": "text.y"}), ("y",), role="head"),
        ),
        {"answer": Output.of("head.y", Array())},
    )
    assert [node.name for node in model.nodes] == ["text", "image", "head"]
    path = bundle(
        tmp_path / "b", model, {"film": binary("Mul", "x", "gain"), "double": double(), "add": binary("Add", "a", "b")}
    )
    with edgemm.open(path) as opened:
        assert opened.infer(image=value(3), text=value(5)).outputs["answer"][0] == 3 * 10 + 10
        live = opened.live()
        assert live.push("image", value(3), 0) is None, "no text yet: vision cannot run"
        assert live.push("text", value(5), 1 * MS).outputs["answer"][0] == 40, (
            "the new text runs vision again on the frame it has"
        )
        assert live.push("image", value(1), 2 * MS).outputs["answer"][0] == 20


def test_two_fusions_over_one_encoder_run_at_their_own_rates(tmp_path):
    model = ModelGraph(
        "two",
        {"a": Tensor((1,)), "b": Tensor((1,))},
        (
            Node("a", "double", edges({"x": "input.a"}), ("y",), role="encoder"),
            Node("fast", "add", edges({"a": "a.y", "b": "input.b"}), ("y",), role="fusion"),
            Node(
                "slow",
                "mul",
                edges({"a": "a.y", "b": "input.b"}),
                ("y",),
                role="fusion",
                trigger=Trigger.parse("tick(10)"),
            ),
        ),
        {"sum": Output.of("fast.y", Array()), "product": Output.of("slow.y", Array())},
    )
    path = bundle(
        tmp_path / "b", model, {"double": double(), "add": binary("Add", "a", "b"), "mul": binary("Mul", "a", "b")}
    )
    with edgemm.open(path) as opened:
        live = opened.live()
        live.push("a", value(2), 0)
        first = live.push("b", value(5), 10 * MS)
        assert set(first.outputs) == {"sum"}
        assert first.outputs["sum"][0] == 9
        (ticked,) = live.advance(100 * MS)
        assert ticked.outputs["product"][0] == 20


def test_two_cameras_share_a_graph_but_not_their_embeddings(tmp_path):
    model = ModelGraph(
        "cameras",
        {"front": Tensor((1,)), "rear": Tensor((1,))},
        (
            Node("front", "eye", edges({"x": "input.front"}), ("y",), role="encoder"),
            Node("rear", "eye", edges({"x": "input.rear"}), ("y",), role="encoder"),
            Node("fusion", "minus", edges({"a": "front.y", "b": "rear.y"}), ("y",), role="fusion"),
        ),
        {"answer": Output.of("fusion.y", Array())},
    )
    path = bundle(tmp_path / "b", model, {"eye": double(), "minus": binary("Sub", "a", "b")})
    with edgemm.open(path) as opened:
        assert len(opened.runners) == 2
        live = opened.live()
        live.push("front", value(10), 0)
        assert live.push("rear", value(1), 1).outputs["answer"][0] == 18
        assert live.push("front", value(2), 2).outputs["answer"][0] == 2


def test_state_is_fed_back_and_never_shared_between_streams(tmp_path):
    model = ModelGraph(
        "counter",
        {"x": Tensor((1,))},
        (Node("sum", "add", edges({"a": "input.x"}), ("y",), state={"y": "b"}),),
        {"total": Output.of("sum.y", Array())},
    )
    path = bundle(tmp_path / "b", model, {"add": binary("Add", "a", "b")})
    with edgemm.open(path) as opened:
        one, other = opened.live(), opened.live()
        totals = [one.push("x", value(2), t).outputs["total"][0] for t in range(4)]
        assert totals == [2, 4, 6, 8]
        assert other.push("x", value(5), 0).outputs["total"][0] == 5
        one.reset()
        assert one.push("x", value(1), 9).outputs["total"][0] == 1


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((Node("n", "g", edges({"x": "input.b"}), ("y",)),), "unknown input read by node 'n': 'b'"),
        ((Node("n", "g", edges({"x": "m.y"}), ("y",)),), "unknown node read by node 'n': 'm'"),
        ((Node("n", "g", edges({"x": "input.a", "z": "n.y"}), ("y",)),), "cycle"),
        (
            (Node("n", "g", edges({"x": "input.a"}), ("y",)), Node("n", "g", edges({"x": "input.a"}), ("y",))),
            "two nodes are named 'n'",
        ),
        (
            (Node("n", "g", edges({"x": "input.a"}), ("y",), trigger=Until("stop")),),
            "unknown output that stops node 'n'",
        ),
        ((Node("n", "g", edges({"x": "input.a"}), ("y",), presence="p"),), "must name its members"),
        ((Node("n", "g", edges({"x": "input.a"}), ()),), "at least one output"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_node_named(nodes, message):
    with pytest.raises(edgemm.EdgeMMError, match=message):
        ModelGraph("m", {"a": Image(2, 2)}, nodes, {"answer": Output.of("n.y", Array())})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("until", "write until"),
        ("until(eos, 3, later)", "unknown what until"),
        ("tick", "expected a number"),
        ("tick(0)", "needs a rate above 0"),
        ("arival", "did you mean 'arrival'"),
        ("hop", "expected a number"),
        ("hop(0)", "whole number of arrivals"),
        ("change(3)", "takes no arguments"),
    ],
)
def test_triggers_that_cannot_be(text, message):
    with pytest.raises(edgemm.EdgeMMError, match=message):
        Trigger.parse(text)


@pytest.mark.parametrize(
    "text", ["arrival", "hop(4)", "change", "tick(2.5)", "until(eos)", "until(eos, 64)", "until(eos, 0, finish)"]
)
def test_triggers_are_written_as_they_are_read(text):
    assert str(Trigger.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["input.image", "input.text.mask", "audio.tokens", "audio.tokens[8]", "input.imu[4, 250].mask", "a.b[2].age"],
)
def test_edges_are_written_as_they_are_read(text):
    assert str(Edge.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["image", "input.", "a.b.c", "a.b[0]", "a.b[9999]", "a.b.mask[3]", "a.b[3].mean", "a b.c", 3]
)
def test_what_is_no_edge_is_refused(text):
    with pytest.raises(edgemm.EdgeMMError, match=r"edge|window holds"):
        Edge.parse(text)


def test_an_onnx_with_other_tensors_than_the_manifest_says_is_refused(tmp_path):
    model = ModelGraph(
        "m",
        {"x": Tensor((1,))},
        (Node("n", "g", edges({"x": "input.x"}), ("y",)),),
        {"answer": Output.of("n.y", Array())},
    )
    content = double()
    with BundleWriter(tmp_path / "b") as writer:
        files = {"g": writer.add("graphs/g/model.onnx", content)}
        wrong = tuple(OnnxRuntimeRunner(binary("Add", "x", "b"), "g").inputs)
        writer.finish(
            lambda records: Manifest(
                "m", model.inputs, {"g": GraphRecord(wrong, ())}, model.nodes, model.outputs,
                {"cpu.onnxruntime.fp32": Variant("cpu", "onnxruntime", "1", "fp32", files)}, records,
            )
        )  # fmt: skip
    with pytest.raises(edgemm.EdgeMMError, match="the manifest says"):
        edgemm.open(tmp_path / "b")
    onnx.checker.check_model(onnx.load_from_string(content))
