"""Models of three encoders and a fusion over it, each with one thing that is special, and packets for them."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import edgemm
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Policy, Trigger
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array

CPU, GPU = "cpu.onnxruntime.fp32", "rtx-4090.tensorrt_rtx-1.7.fp32"
TRUSTED = edgemm.Trust(engines=True)
NAMES = ("image", "audio", "text")
MS = 1_000_000
WIDTH = 16  # of tokens
X, TOKENS, FLAG, ANSWER, MEMBERS = (4 * size for size in (4, WIDTH, 0.25, 2, len(NAMES)))  # bytes

FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


def onnx_of(nodes, inputs, outputs, **constants):
    """A graph whose batch axis is dynamic."""
    tensors = [[helper.make_tensor_value_info(n, t, ["batch", *s]) for n, t, s in group] for group in (inputs, outputs)]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", *tensors, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def encoder(gain):
    """tokens (B, 16) = gain * x four times; valid (B, 1): whether |x| exceeds 0.5 anywhere."""
    return onnx_of(
        [
            helper.make_node("Mul", ["x", "gain"], ["y"]), helper.make_node("Tile", ["y", "four"], ["tokens"]),
            helper.make_node("Abs", ["x"], ["loud"]), helper.make_node("ReduceMax", ["loud", "one"], ["most"]),
            helper.make_node("Greater", ["most", "half"], ["valid"]),
        ],
        [("x", FLOAT, [4])], [("tokens", FLOAT, [WIDTH]), ("valid", BOOL, [1])],
        gain=np.float32(gain), four=np.array([1, 4]), one=np.array([1]), half=np.float32(0.5),
    )  # fmt: skip


def recurrent():
    """tokens (B, 16) = x four times + h / 2, and the same as the next h."""
    return onnx_of(
        [
            helper.make_node("Tile", ["x", "four"], ["y"]), helper.make_node("Mul", ["h", "half"], ["kept"]),
            helper.make_node("Add", ["y", "kept"], ["tokens"]), helper.make_node("Identity", ["tokens"], ["next"]),
            helper.make_node("Abs", ["x"], ["loud"]), helper.make_node("ReduceMax", ["loud", "one"], ["most"]),
            helper.make_node("Greater", ["most", "half"], ["valid"]),
        ],
        [("x", FLOAT, [4]), ("h", FLOAT, [WIDTH])], [("tokens", FLOAT, [WIDTH]), ("next", FLOAT, [WIDTH]), ("valid", BOOL, [1])],
        four=np.array([1, 4]), one=np.array([1]), half=np.float32(0.5),
    )  # fmt: skip


def fusion(window=0):
    """answer (B, 2) = [sum of present members' tokens, sum of ages]; the audio's are a window of tokens where asked for."""
    nodes = []
    for index, name in enumerate(NAMES):
        flat = f"{name}_tokens"
        if window and name == "audio":
            nodes += [
                helper.make_node("Cast", ["audio_mask"], ["there"], to=FLOAT), helper.make_node("Unsqueeze", ["there", "two"], ["wide"]),
                helper.make_node("Mul", [flat, "wide"], ["heard"]), helper.make_node("ReduceSum", ["heard", "one"], ["summed"], keepdims=0),
            ]  # fmt: skip
            flat = "summed"
        nodes.append(helper.make_node("ReduceSum", [flat, "one"], [f"sum_{index}"], keepdims=1))
    nodes += [
        helper.make_node("Concat", [f"sum_{index}" for index in range(len(NAMES))], ["sums"], axis=1),
        helper.make_node("Mul", ["sums", "presence"], ["present"]),
        helper.make_node("ReduceSum", ["present", "one"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["age_ms", "one"], ["ages"], keepdims=1),
        helper.make_node("Concat", ["sum", "ages"], ["answer"], axis=1),
    ]
    shapes = {name: [window, WIDTH] if window and name == "audio" else [WIDTH] for name in NAMES}
    inputs = [(f"{name}_tokens", FLOAT, shapes[name]) for name in NAMES]
    inputs += [("audio_mask", BOOL, [window])] if window else []
    inputs += [("presence", FLOAT, [len(NAMES)]), ("age_ms", FLOAT, [len(NAMES)])]
    return onnx_of(nodes, inputs, [("answer", FLOAT, [2])], one=np.array([1]), two=np.array([2]))


def model(kind):
    """Three encoders and a fusion, and their graphs, with one thing that is special."""
    nodes = {
        name: Node(name, name, edges({"x": f"input.{name}"}), ("tokens", "valid"), role="encoder", usable="valid" if name == "audio" else "")
        for name in NAMES
    }  # fmt: skip
    graphs = {name: encoder(gain) for name, gain in zip(NAMES, (1, 10, 100), strict=True)}
    reads = {f"{name}_tokens": f"{name}.tokens" for name in NAMES}
    audio = {
        "name": "audio",
        "graph": "audio",
        "reads": nodes["audio"].reads,
        "outputs": ("tokens", "valid"),
        "usable": "valid",
    }
    stateful = {**audio, "outputs": ("tokens", "next", "valid"), "state": {"next": "h"}}
    rules = {}
    if "hold" in kind:
        audio = {**audio, "hold": True}
        stateful = {**stateful, "hold": True}
    if "state" in kind:
        graphs["audio"] = recurrent()
    nodes["audio"] = Node(**(stateful if "state" in kind else audio))
    if "shown" in kind:  # the fusion reads the state itself
        reads["audio_tokens"] = "audio.next"
    if "window" in kind:
        reads |= {"audio_tokens": "audio.tokens[3]", "audio_mask": "audio.tokens[3].mask"}
    if "shared" in kind:
        nodes["text"] = Node("text", "image", edges({"x": "input.text"}), ("tokens", "valid"))
        del graphs["text"]
    if "tick" in kind:
        rules = {"trigger": Trigger.parse("tick(50)")}
    if "barrier" in kind:
        rules = {"policy": Policy.parse("barrier")}
    graphs["fusion"] = fusion(3 if "window" in kind else 0)
    nodes["fusion"] = Node(
        "fusion", "fusion", edges(reads), ("answer",), members=NAMES, presence="presence", age="age_ms", **rules
    )
    return ModelGraph(
        "net",
        {name: Tensor((4,)) for name in NAMES},
        tuple(nodes.values()),
        {"answer": Output.of("fusion.answer", Array())},
    ), graphs


KINDS = ("plain", "hold", "state", "hold state", "hold state shown", "state shown", "window", "window state", "shared", "tick", "barrier")  # fmt: skip


def script(count=40, seed=0):
    """Packets of all inputs, some of them with nothing in them."""
    random = np.random.default_rng(seed)
    for number in range(count):
        name = NAMES[int(random.integers(3))]
        quiet = random.random() < 0.4
        yield name, (0.1 if quiet else 3.0) * random.uniform(0.5, 1, 4).astype(np.float32), number * 7 * MS


def same(got, expected):
    """Two results, or none."""
    assert (got is None) == (expected is None)
    if got is not None:
        assert set(got.outputs) == set(expected.outputs)
        for name in got.outputs:
            np.testing.assert_allclose(got.outputs[name], expected.outputs[name], rtol=1e-6)
        assert got.inputs == expected.inputs
