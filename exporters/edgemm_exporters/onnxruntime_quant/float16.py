"""Writes a graph in FP16 with islands of FP32 that are FP32 all the way through.

`onnxruntime.transformers.float16` rounds to FP16 between any two nodes that it was told to leave alone, and shares rounded constants
with them; a log-mel front end would lose its quiet bands. It also writes one cast per reader under one name. Here constants are
separated before it runs, and repeated casts and round trips removed afterwards. It knows nothing of quantization.
"""

from __future__ import annotations

from collections.abc import Collection

from onnx import ModelProto, NodeProto, TensorProto, helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel


def float16_from_float32(model: ModelProto, keep_fp32: Collection[str]) -> ModelProto:
    """Convert to FP16; graph inputs and outputs, and nodes named in `keep_fp32`, stay FP32. `model` is not changed."""
    prepared = ModelProto()
    prepared.CopyFrom(model)
    _initializers_from_constants(prepared)
    _separate_constants(prepared, keep_fp32)
    converted = convert_float_to_float16(prepared, keep_io_types=True, node_block_list=list(keep_fp32))
    _remove_repeated_casts(converted)
    _remove_round_trips(converted, {node.name for node in prepared.graph.node})
    del converted.graph.value_info[:]  # it still calls the islands FP16
    sorter = OnnxModel(converted)
    sorter.topological_sort()
    result: ModelProto = sorter.model
    return result


def _initializers_from_constants(model: ModelProto) -> None:
    """Turn float Constant nodes into initializers, which the converter tracks per consumer."""
    for node in list(model.graph.node):
        if node.op_type != "Constant" or node.attribute[0].name != "value":
            continue
        tensor = node.attribute[0].t
        if tensor.data_type == TensorProto.FLOAT:
            model.graph.initializer.add().CopyFrom(tensor)
            model.graph.initializer[-1].name = node.output[0]
            model.graph.node.remove(node)


def _separate_constants(model: ModelProto, keep_fp32: Collection[str]) -> None:
    """Give kept nodes their own copy of each float initializer that other nodes read too."""
    shared = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    elsewhere = {name for node in model.graph.node if node.name not in keep_fp32 for name in node.input}
    copied: dict[str, str] = {}
    for node in model.graph.node:
        if node.name not in keep_fp32:
            continue
        for index, name in enumerate(node.input):
            if name in shared and name in elsewhere:
                if name not in copied:
                    copied[name] = f"{name}_fp32"
                    model.graph.initializer.add().CopyFrom(shared[name])
                    model.graph.initializer[-1].name = copied[name]
                node.input[index] = copied[name]


def _remove_repeated_casts(model: ModelProto) -> None:
    seen: set[str] = set()
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.output[0] in seen:
            model.graph.node.remove(node)
        seen.update(node.output)


def _remove_round_trips(model: ModelProto, own: Collection[str]) -> None:
    """Where FP32 was rounded to FP16 only to become FP32 again, read the original; drop casts that nobody reads then.

    Args:
        model: as it was converted.
        own: names of the nodes before. A cast of the user's own may mean to round; how the converter calls its casts changes with its version.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    originals: dict[str, str] = {}
    for node in model.graph.node:
        down = producers.get(node.input[0]) if _casts_to(node, TensorProto.FLOAT) else None
        if down is not None and _casts_to(down, TensorProto.FLOAT16) and down.name not in own:
            originals[node.output[0]] = down.input[0]
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.output and node.output[0] in outputs and node.output[0] in originals:
            node.CopyFrom(helper.make_node("Identity", [originals[node.output[0]]], [node.output[0]], name=node.name))
            continue
        for index, name in enumerate(node.input):
            if name in originals:
                node.input[index] = originals[name]
    _drop_unread_casts(model, outputs, own)


def _casts_to(node: NodeProto, data_type: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == data_type for a in node.attribute)


def _drop_unread_casts(model: ModelProto, outputs: Collection[str], own: Collection[str]) -> None:
    read = {name for node in model.graph.node for name in node.input} | set(outputs)
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.name not in own and node.output[0] not in read:
            model.graph.node.remove(node)
            read = {name for other in model.graph.node for name in other.input} | set(outputs)
