"""Running a graph here as its backend would run it elsewhere: what a graph meant for a GPU computes is judged without one.

ONNX Runtime is told to optimise nothing, since this CPU's kernels would add errors of their own to another's INT8, and FP16 values are rounded,
which it does not do by itself. Export and `verify` judge by the same.
"""

from __future__ import annotations

from edgemm.host.optional import is_installed, missing_message, require
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runners.providers import ONNX_RUNTIME

_WHY = "judging FP16 by values that are rounded to FP16"


def runner_for(content: bytes, graph: str, backend: str) -> OnnxRuntimeRunner:
    """What runs an ONNX graph as `backend` would; FP16 is rounded where `onnx` is installed (see `why_unrounded`)."""
    if backend == ONNX_RUNTIME:
        return OnnxRuntimeRunner(content, graph)
    if not why_unrounded():
        content = _with_float16_kept(content)
    return OnnxRuntimeRunner(content, graph, optimise=False)


def why_unrounded() -> str:
    """Why FP16 graphs would be judged by what they compute in FP32; "" where they are not."""
    return "" if is_installed("onnx") else missing_message(_WHY, "onnx", "export")


def _with_float16_kept(content: bytes) -> bytes:
    """The graph with two Identities behind every FP16 value, which makes ONNX Runtime round there, and overflow.

    It runs nearly every FP16 node of a CPU in FP32, between casts that it adds, and takes out casts that meet, also when it is told to optimise
    nothing. Without this an FP16 graph would be judged by what it computes in FP32. One Identity is not enough: an FP16 node whose neighbours all
    run in FP32 is taken along (ONNX Runtime's InsertCastTransformer), two of them are not.
    """
    onnx = require("onnx", "export", _WHY)
    model = onnx.load_from_string(content)
    values = onnx.shape_inference.infer_shapes(model).graph
    halves = {v.name for v in values.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in halves:
                node.output[index] = f"{name}/unrounded"
                nodes.append(onnx.helper.make_node("Identity", [f"{name}/unrounded"], [f"{name}/rounded"]))
                nodes.append(onnx.helper.make_node("Identity", [f"{name}/rounded"], [name]))
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    del kept.graph.node[:]
    kept.graph.node.extend(nodes)
    rounded: bytes = kept.SerializeToString()
    return rounded
