"""Models so small that nearly all of their time is overhead, or of a length that is asked for; shared by the benchmarks. Runs nothing itself.

one encoder, three and a fusion inputs have real sizes (a 640x480 frame, a second of sound, 32 ids); answers are computed in a microsecond
a counter beside a fast node    a loop of so many steps of so many ms, and a node of another length
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Barrier, Trigger
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array

NAMES = ("image", "audio", "text")
INPUTS = {"image": Image(480, 640), "audio": Tensor((16000,), modality="sound"), "text": Tensor((32,), "int32", "ids")}
TYPES = {"image": TensorProto.UINT8, "audio": TensorProto.FLOAT, "text": TensorProto.INT32}
WIDTH = 16


def encoder_onnx(dtype: int, shape: tuple[int, ...]) -> bytes:
    """x -> tokens (B, 1, 16) = its first 16 values, valid (B, 1) = true."""
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["row"]),
        helper.make_node("Slice", ["row", "zero", "width", "one"], ["first"]),
        helper.make_node("Cast", ["first"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["values", "one"], ["tokens"]),
        helper.make_node("ReduceMax", ["values", "one"], ["largest"], keepdims=1),
        helper.make_node("Greater", ["largest", "limit"], ["valid"]),
    ]
    constants = {
        "flat": np.array([0, int(np.prod(shape))]),
        "zero": np.array([0]),
        "width": np.array([WIDTH]),
        "one": np.array([1]),
        "limit": np.float32(-1e9),
    }
    outputs = [("tokens", TensorProto.FLOAT, [1, WIDTH]), ("valid", TensorProto.BOOL, [1])]
    return onnx_bytes(nodes, [("x", dtype, list(shape))], outputs, constants)


def fusion_onnx() -> bytes:
    """answer (B, 16) = sum of the tokens, each times its presence and validity."""
    nodes, inputs = [], []
    for index, name in enumerate(NAMES):
        nodes += [
            helper.make_node("Cast", [f"{name}_valid"], [f"v{index}"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", [f"{name}_tokens"], [f"t{index}"]),
            helper.make_node("Mul", [f"t{index}", f"v{index}"], [f"m{index}"]),
        ]
        inputs += [(f"{name}_tokens", TensorProto.FLOAT, [1, WIDTH]), (f"{name}_valid", TensorProto.BOOL, [1])]
    nodes += [
        helper.make_node("Sum", ["m0", "m1", "m2"], ["sum"]),
        helper.make_node("Mul", ["presence", "age_ms"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "one"], ["ages"], keepdims=1),
        helper.make_node("Add", ["sum", "ages"], ["answer"]),
    ]
    inputs += [("presence", TensorProto.FLOAT, [3]), ("age_ms", TensorProto.FLOAT, [3])]
    return onnx_bytes(nodes, inputs, [("answer", TensorProto.FLOAT, [WIDTH])], {"one": np.array([1])})


def onnx_bytes(nodes: Any, inputs: Any, outputs: Any, constants: dict[str, Any]) -> bytes:
    """A checked model with a dynamic batch axis."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, dtype, ["batch", *shape]) for name, dtype, shape in inputs],
        [helper.make_tensor_value_info(name, dtype, ["batch", *shape]) for name, dtype, shape in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def write_tiny(path: Path) -> Path:
    """The bundle of the tiny graphs."""
    graphs = {name: encoder_onnx(TYPES[name], tuple(spec.tensors[0].shape[1:])) for name, spec in INPUTS.items()}
    graphs["fusion"] = fusion_onnx()
    reads = {f"{name}_{part}": f"{name}.{part}" for name in NAMES for part in ("tokens", "valid")}
    nodes = [Node(n, n, edges({"x": f"input.{n}"}), ("tokens", "valid"), role="encoder", usable="valid") for n in NAMES]
    fusion = Node(
        "fusion", "fusion", edges(reads), ("answer",), role="fusion", members=NAMES, presence="presence", age="age_ms",
        policy=Barrier(),
    )  # fmt: skip
    model = ModelGraph("tiny", INPUTS, (*nodes, fusion), {"answer": Output.of("fusion.answer", Array())})
    return write_bundle(path, model, graphs)


def write_one(path: Path) -> Path:
    """The bundle of the image's encoder alone; its tokens are the answer."""
    node = Node("image", "image", edges({"x": "input.image"}), ("tokens", "valid"))
    model = ModelGraph("one", {"image": INPUTS["image"]}, (node,), {"answer": Output.of("image.tokens", Array())})
    return write_bundle(path, model, {"image": encoder_onnx(TYPES["image"], (480, 640, 3))})


def write_bundle(path: Path, model: ModelGraph, graphs: dict[str, bytes]) -> Path:
    """A bundle with the FP32 variant only."""
    runners = {name: OnnxRuntimeRunner(content, name) for name, content in graphs.items()}
    with BundleWriter(path) as writer:
        files = {name: writer.add(f"graphs/{name}/model.onnx", content) for name, content in graphs.items()}
        writer.finish(
            lambda records: Manifest(
                model.name, model.inputs,
                {name: GraphRecord(tuple(runner.inputs), tuple(runner.outputs)) for name, runner in runners.items()},
                model.nodes, model.outputs,
                {"cpu.onnxruntime.fp32": Variant("cpu", "onnxruntime", ort.__version__, "fp32", files)}, records,
            )
        )  # fmt: skip
    return path


def write_counter(path: Path, steps: int) -> Path:
    """A loop that says 1000 a + its step, and a node that says b."""
    single = [1]
    counts = [
        helper.make_node("Add", ["n", "one"], ["count"]),
        helper.make_node("Mul", ["x", "thousand"], ["much"]),
        helper.make_node("Add", ["much", "count"], ["said"]),
        helper.make_node("GreaterOrEqual", ["count", "last"], ["stop"]),
    ]
    inputs = [(name, TensorProto.FLOAT, single) for name in ("x", "n")]
    outputs = [(name, TensorProto.FLOAT, single) for name in ("said", "count")] + [("stop", TensorProto.BOOL, single)]
    numbers = {"one": np.float32(1), "thousand": np.float32(1000), "last": np.float32(steps)}
    same = helper.make_node("Identity", ["x"], ["y"])
    graphs = {
        "loop": onnx_bytes(counts, inputs, outputs, numbers),
        "fast": onnx_bytes([same], inputs[:1], [("y", TensorProto.FLOAT, single)], {}),
    }
    names = tuple(name for name, _, _ in outputs)
    until = Trigger.parse("until(stop)")
    nodes = (
        Node("loop", "loop", edges(x="input.a"), names, state={"count": "n"}, trigger=until),
        Node("fast", "fast", edges(x="input.b"), ("y",)),
    )
    answers = {"story": Output.of("loop.said", Array()), "fast": Output.of("fast.y", Array())}
    model = ModelGraph("counter", {name: Tensor((1,)) for name in ("a", "b")}, nodes, answers)
    return write_bundle(path, model, graphs)
