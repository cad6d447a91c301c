"""Tiny bundles, made of ONNX nodes by hand: no torch, no training, each answer can be computed in the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Policy, Trigger
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runtime.schedule import Live
from edgemm.tensors import TensorSpec
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.outputs.array import Array
from edgemm_plugins.outputs.classes import Classes


def onnx_bytes(nodes, inputs, outputs, constants=()):
    """A model whose batch axis is dynamic."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, t, ["batch", *s]) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, t, ["batch", *s]) for n, t, s in outputs],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def mean_encoder(dtype, shape, usable_above=None):
    """x -> tokens (B, 1, 1) = mean of x; valid (B, 1) = |mean| > usable_above, or true."""
    axes = np.arange(1, len(shape) + 1)
    nodes = [
        helper.make_node("Cast", ["x"], ["xf"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["xf", "axes"], ["m"], keepdims=0),
        helper.make_node("Unsqueeze", ["m", "last"], ["m1"]),
        helper.make_node("Unsqueeze", ["m1", "last"], ["tokens"]),
        helper.make_node("Abs", ["m1"], ["magnitude"]),
        helper.make_node("Greater", ["magnitude", "limit"], ["valid"]),
    ]
    limit = np.float32(-1.0 if usable_above is None else usable_above)
    return onnx_bytes(
        nodes,
        [("x", dtype, shape)],
        [("tokens", TensorProto.FLOAT, [1, 1]), ("valid", TensorProto.BOOL, [1])],
        [("axes", axes), ("last", np.array([1])), ("limit", limit)],
    )


def sum_fusion(names):
    """answer (B, 2) = [sum of present tokens, sum of ages]."""
    count = len(names)
    nodes = []
    for i, name in enumerate(names):
        nodes += [
            helper.make_node("Flatten", [f"{name}_tokens"], [f"flat_{i}"]),
            helper.make_node("Cast", [f"{name}_valid"], [f"v_{i}"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"flat_{i}", f"v_{i}"], [f"masked_{i}"]),
        ]
    nodes += [
        helper.make_node("Concat", [f"masked_{i}" for i in range(count)], ["all"], axis=1),
        helper.make_node("Mul", ["all", "presence"], ["present"]),
        helper.make_node("ReduceSum", ["present", "one"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["age_ms", "one"], ["ages"], keepdims=1),
        helper.make_node("Concat", ["sum", "ages"], ["answer"], axis=1),
    ]
    inputs = []
    for name in names:
        inputs += [(f"{name}_tokens", TensorProto.FLOAT, [1, 1]), (f"{name}_valid", TensorProto.BOOL, [1])]
    inputs += [("presence", TensorProto.FLOAT, [count]), ("age_ms", TensorProto.FLOAT, [count])]
    return onnx_bytes(nodes, inputs, [("answer", TensorProto.FLOAT, [2])], [("one", np.array([1]))])


def write_bundle(path: Path, model: ModelGraph, graphs: dict[str, bytes], *, zipped: bool = False) -> Path:
    """A bundle with the FP32 variant only."""
    runners = {name: OnnxRuntimeRunner(content, name) for name, content in graphs.items()}
    with BundleWriter(path, overwrite=True, zipped=zipped) as writer:
        files = {name: writer.add(f"graphs/{name}/model.onnx", content) for name, content in graphs.items()}
        writer.finish(
            lambda records: Manifest(
                name=model.name,
                inputs=model.inputs,
                graphs={n: GraphRecord(tuple(r.inputs), tuple(r.outputs)) for n, r in runners.items()},
                nodes=model.nodes,
                outputs=model.outputs,
                variants={"cpu.onnxruntime.fp32": Variant("cpu", "onnxruntime", "1", "fp32", files)},
                files=records,
            )
        )
    return path


def encoder_node(name: str, runs: str, **options) -> Node:
    return Node(
        name,
        name,
        edges({"x": f"input.{name}"}),
        ("tokens", "valid"),
        role="encoder",
        trigger=Trigger.parse(runs),
        **options,
    )


def fusion_node(names, runs="arrival", policy="latest", **options) -> Node:
    reads = {}
    for name in names:
        reads |= {f"{name}_tokens": f"{name}.tokens", f"{name}_valid": f"{name}.valid"}
    return Node(
        "fusion", "fusion", edges(reads), ("answer",), role="fusion", members=tuple(names), presence="presence", age="age_ms",
        trigger=Trigger.parse(runs), policy=Policy.parse(policy), **options,
    )  # fmt: skip


@pytest.fixture
def three_inputs(tmp_path):
    """Makes a bundle of image + audio + text and a fusion; options change the fusion's and the audio's schedule."""

    def make(runs="arrival", policy="latest", *, zipped=False, audio=None, image=None):
        names = ("image", "audio", "text")
        model = ModelGraph(
            "three",
            {"image": Image(2, 2), "audio": Audio(1000, 100, 20), "text": Text(8)},
            (
                encoder_node("image", "arrival", **(image or {})),
                encoder_node("audio", "arrival", **({"usable": "valid"} | (audio or {}))),
                encoder_node("text", "change"),
                fusion_node(names, runs, policy),
            ),
            {"answer": Output.of("fusion.answer", Array())},
        )
        graphs = {
            "image": mean_encoder(TensorProto.UINT8, [2, 2, 3]),
            "audio": mean_encoder(TensorProto.FLOAT, [100], usable_above=0.01),
            "text": mean_encoder(TensorProto.INT32, [8]),
            "fusion": sum_fusion(names),
        }
        return write_bundle(tmp_path / ("three.zip" if zipped else "three.edgemm"), model, graphs, zipped=zipped)

    return make


@pytest.fixture
def one_node(tmp_path):
    """A monolithic node that reads two tensors: answer = a + b."""
    content = onnx_bytes(
        [helper.make_node("Add", ["a", "b"], ["answer"])],
        [("a", TensorProto.FLOAT, [3]), ("b", TensorProto.FLOAT, [3])],
        [("answer", TensorProto.FLOAT, [3])],
    )
    model = ModelGraph(
        "one",
        {"a": Tensor((3,)), "b": Tensor((3,))},
        (Node("net", "net", edges({"a": "input.a", "b": "input.b"}), ("answer",)),),
        {"answer": Output.of("net.answer", Classes(("x", "y", "z")))},
    )
    return write_bundle(tmp_path / "one.edgemm", model, {"net": content})


@pytest.fixture
def one_node_of(tmp_path):
    """Makes a bundle of one node from its graph, which reads x (B, 1) and gives y (B, 1), answered as it is."""

    def make(content: bytes) -> Path:
        node = Node("net", "net", edges({"x": "input.x"}), ("y",))
        model = ModelGraph("one", {"x": Tensor((1,))}, (node,), {"answer": Output.of("net.y", Array())})
        return write_bundle(tmp_path / "one.edgemm", model, {"net": content})

    return make


def counter_onnx(last):
    """said (B, 1) = 100 x + count, count (B, 1) = n + 1, stop (B, 1) = count >= last: fed back, it counts."""
    return onnx_bytes(
        [
            helper.make_node("Add", ["n", "one"], ["count"]),
            helper.make_node("Mul", ["x", "hundred"], ["much"]),
            helper.make_node("Add", ["much", "count"], ["said"]),
            helper.make_node("GreaterOrEqual", ["count", "last"], ["stop"]),
        ],
        [("x", TensorProto.FLOAT, [1]), ("n", TensorProto.FLOAT, [1])],
        [("said", TensorProto.FLOAT, [1]), ("count", TensorProto.FLOAT, [1]), ("stop", TensorProto.BOOL, [1])],
        [("one", np.float32(1)), ("hundred", np.float32(100)), ("last", np.float32(last))],
    )


class Plain:
    """A runner in Python that does something before each run, such as waiting or failing: `before(name, feeds)`."""

    def __init__(self, name, inputs, outputs, function, before):
        self.inputs = tuple(TensorSpec(each, "float32", ("batch", 1)) for each in inputs)
        self.outputs = tuple(TensorSpec(each, dtype, ("batch", 1)) for each, dtype in outputs.items())
        self._name, self._function, self._before = name, function, before

    def run(self, feeds):
        self._before(self._name, {name: float(np.ravel(array)[0]) for name, array in feeds.items()})
        return self._function(**feeds)


class CountingModel:
    """As much of an open model as a stream needs: an encoder of `a`, a loop that counts on it, and a fast node beside them.

        encoder  y = a            loop  said = 100 y + count, until count is `last`            fast  y = 2 b

    Args:
        trigger, last, reads: the loop's: until when, what it counts to, the edge that it reads.
        nodes: further ones, or others of the same name: called with this model, gives name -> (node, runner).
        outputs: further ones: name -> edge, or "" for one that shall go.
        before: called with a node's name and what it is fed, before each of its runs.
    """

    def __init__(
        self, trigger="until(stop)", last=30, reads="encoder.y", nodes=None, outputs=None, before=lambda name, feeds: None
    ):  # fmt: skip
        self.before = before
        encoder = Node("encoder", "encoder", edges({"x": "input.a"}), ("y",), role="encoder")
        fast = Node("fast", "fast", edges({"x": "input.b"}), ("y",))
        made = {
            "encoder": (encoder, self.plain("encoder", lambda x: [x])),
            "loop": self.counter("loop", reads, trigger, last),
            "fast": (fast, self.plain("fast", lambda x: [2 * x])),
        }
        made |= nodes(self) if nodes else {}
        answers = {"story": "loop.said", "fast": "fast.y", **(outputs or {})}
        self.graph = ModelGraph(
            "counting",
            {name: Tensor((1,)) for name in ("a", "b")},
            tuple(node for node, _ in made.values()),
            {name: Output.of(edge, Array()) for name, edge in answers.items() if edge},
        )
        self.runners = {name: runner for name, (_, runner) in made.items()}

    def plain(self, name, function, **outputs):
        """A runner for a function of arrays."""
        inputs = function.__code__.co_varnames[: function.__code__.co_argcount]
        return Plain(name, inputs, outputs or {"y": "float32"}, function, self.before)

    def counter(self, name, reads, trigger="until(stop)", last=30):
        """A node that counts, and its runner."""
        outputs = ("said", "count", "stop")
        node = Node(
            name, name, edges({"x": reads}), outputs, state={"count": "n"}, trigger=Trigger.parse(trigger)
        )  # fmt: skip

        def counted(x, n):
            return [100 * x + n + 1, n + 1, n + 1 >= last]

        return node, self.plain(name, counted, said="float32", count="float32", stop="bool")

    def live(self, **options):
        return Live(self.graph, self.runners, **options)

    def close(self):
        pass


@pytest.fixture
def counting():
    """Makes models of a loop that counts beside a fast node."""
    return CountingModel


@pytest.fixture
def counting_bundle(tmp_path):
    """The same as a bundle, of ONNX graphs."""

    def make(trigger="until(stop)", last=30):
        model = CountingModel(trigger, last)
        double = [helper.make_node("Add", ["x", "x"], ["y"])]
        same = [helper.make_node("Identity", ["x"], ["y"])]
        ends = [("x", TensorProto.FLOAT, [1])], [("y", TensorProto.FLOAT, [1])]
        graphs = {"encoder": onnx_bytes(same, *ends), "loop": counter_onnx(last), "fast": onnx_bytes(double, *ends)}
        return write_bundle(tmp_path / "counting.edgemm", model.graph, graphs)

    return make
