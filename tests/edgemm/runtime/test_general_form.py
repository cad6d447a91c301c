"""The general form of a model, run: an encoder that reads another's tokens, two fusions over one encoder, two cameras on one graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgemm
from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.inputs.declarations import Image, Tensor
from edgemm.model.graph import ModelGraph, Node, Output, Runs
from edgemm.runners.onnxruntime import OnnxRuntimeRunner

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
                "image", "film", {"x": "input.image", "gain": "text.y"}, ("y",), role="encoder"
            ),  # declared before what it reads
            Node("text", "double", {"x": "input.text"}, ("y",), role="encoder", runs=Runs.parse("change")),
            Node("head", "add", {"a": "image.y", "b": "text.y"}, ("y",), role="head"),
        ),
        {"answer": Output("head.y")},
    )
    assert [node.name for node in model.nodes] == ["text", "image", "head"]
    path = bundle(
        tmp_path / "b", model, {"film": binary("Mul", "x", "gain"), "double": double(), "add": binary("Add", "a", "b")}
    )
    with edgemm.open(path) as opened:
        assert opened.infer(image=value(3), text=value(5)).outputs["answer"].scores[0] == 3 * 10 + 10
        live = opened.live()
        assert live.push("image", value(3), 0) is None, "no text yet: vision cannot run"
        assert live.push("text", value(5), 1 * MS).outputs["answer"].scores[0] == 40, (
            "the new text runs vision again on the frame it has"
        )
        assert live.push("image", value(1), 2 * MS).outputs["answer"].scores[0] == 20


def test_two_fusions_over_one_encoder_run_at_their_own_rates(tmp_path):
    model = ModelGraph(
        "two",
        {"a": Tensor((1,)), "b": Tensor((1,))},
        (
            Node("a", "double", {"x": "input.a"}, ("y",), role="encoder"),
            Node("fast", "add", {"a": "a.y", "b": "input.b"}, ("y",), role="fusion"),
            Node("slow", "mul", {"a": "a.y", "b": "input.b"}, ("y",), role="fusion", runs=Runs.parse("tick(10)")),
        ),
        {"sum": Output("fast.y"), "product": Output("slow.y")},
    )
    path = bundle(
        tmp_path / "b", model, {"double": double(), "add": binary("Add", "a", "b"), "mul": binary("Mul", "a", "b")}
    )
    with edgemm.open(path) as opened:
        live = opened.live()
        live.push("a", value(2), 0)
        first = live.push("b", value(5), 10 * MS)
        assert set(first.outputs) == {"sum"}
        assert first.outputs["sum"].scores[0] == 9
        (ticked,) = live.advance(100 * MS)
        assert ticked.outputs["product"].scores[0] == 20


def test_two_cameras_share_a_graph_but_not_their_embeddings(tmp_path):
    model = ModelGraph(
        "cameras",
        {"front": Tensor((1,)), "rear": Tensor((1,))},
        (
            Node("front", "eye", {"x": "input.front"}, ("y",), role="encoder"),
            Node("rear", "eye", {"x": "input.rear"}, ("y",), role="encoder"),
            Node("fusion", "minus", {"a": "front.y", "b": "rear.y"}, ("y",), role="fusion"),
        ),
        {"answer": Output("fusion.y")},
    )
    path = bundle(tmp_path / "b", model, {"eye": double(), "minus": binary("Sub", "a", "b")})
    with edgemm.open(path) as opened:
        assert len(opened.runners) == 2
        live = opened.live()
        live.push("front", value(10), 0)
        assert live.push("rear", value(1), 1).outputs["answer"].scores[0] == 18
        assert live.push("front", value(2), 2).outputs["answer"].scores[0] == 2


def test_state_is_fed_back_and_never_shared_between_streams(tmp_path):
    model = ModelGraph(
        "counter",
        {"x": Tensor((1,))},
        (Node("sum", "add", {"a": "input.x"}, ("y",), state={"y": "b"}),),
        {"total": Output("sum.y")},
    )
    path = bundle(tmp_path / "b", model, {"add": binary("Add", "a", "b")})
    with edgemm.open(path) as opened:
        one, other = opened.live(), opened.live()
        totals = [one.push("x", value(2), t).outputs["total"].scores[0] for t in range(4)]
        assert totals == [2, 4, 6, 8]
        assert other.push("x", value(5), 0).outputs["total"].scores[0] == 5
        one.reset()
        assert one.push("x", value(1), 9).outputs["total"].scores[0] == 1


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((Node("n", "g", {"x": "input.b"}, ("y",)),), "unknown input read by node 'n': 'b'"),
        ((Node("n", "g", {"x": "m.y"}, ("y",)),), "unknown node read by node 'n': 'm'"),
        ((Node("n", "g", {"x": "input.a", "z": "n.y"}, ("y",)),), "cycle"),
        (
            (Node("n", "g", {"x": "input.a"}, ("y",)), Node("n", "g", {"x": "input.a"}, ("y",))),
            "two nodes are named 'n'",
        ),
        ((Node("n", "g", {"x": "input.a"}, ("y",), runs=Runs("hop")),), "reads no audio input"),
        ((Node("n", "g", {"x": "input.a"}, ("y",), presence="p"),), "must name its members"),
        ((Node("n", "g", {"x": "input.a"}, ()),), "at least one output"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_node_named(nodes, message):
    with pytest.raises(edgemm.EdgeMMError, match=message):
        ModelGraph("m", {"a": Image(2, 2)}, nodes, {"answer": Output("n.y")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("until(eos)", "reserved for decoder loops"),
        ("tick", "expected a number"),
        ("tick(0)", "needs a rate above 0"),
        ("arival", "did you mean 'arrival'"),
        ("hop(3)", "takes no arguments"),
    ],
)
def test_rates_that_cannot_be(text, message):
    with pytest.raises(edgemm.EdgeMMError, match=message):
        Runs.parse(text)
    assert str(Runs.parse("tick(2.5)")) == "tick(2.5)"


def test_an_onnx_with_other_tensors_than_the_manifest_says_is_refused(tmp_path):
    model = ModelGraph("m", {"x": Tensor((1,))}, (Node("n", "g", {"x": "input.x"}, ("y",)),), {"answer": Output("n.y")})
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
