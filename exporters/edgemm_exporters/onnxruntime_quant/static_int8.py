"""Static INT8 quantization of a graph's convolutions and matrix products, as Q/DQ pairs.

Everything else stays FP32: masks, indices, softmax and norms are untouched, and nodes named in `keep_fp32` read and write what they did
before. Ranges are the minima and maxima over all calibration samples. It knows nothing of devices.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from edgemm.errors import ExportError
from edgemm_exporters.onnxruntime_quant.calibration import SampleReader

if TYPE_CHECKING:
    from edgemm.host.interfaces import Feeds

QUANTIZED_OPS = ("Conv", "MatMul", "Gemm")
_NOT_FINITE = (
    "calibration: the range of {tensor} is not finite; a sample holds or produces NaN or infinity. "
    "Run the FP32 graph on the samples to find which"
)


@dataclass(frozen=True)
class Recipe:
    """How INT8 is written for one family of kernels."""

    activation: str
    reduce_range: bool
    options: dict[str, object] = field(default_factory=dict)


# 8-bit unsigned activations and 7-bit weights: CPUs without VNNI add products in 16 bits, which 8-bit weights overflow.
CPU = Recipe("QUInt8", True, {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]})
# TensorRT takes no zero points and no quantized biases, and fuses best with Q/DQ on inputs alone.
TENSORRT = Recipe(
    "QInt8",
    False,
    {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "OpTypesToExcludeOutputQuantization": list(QUANTIZED_OPS),
    },
)


def int8_from_float32(
    model: ModelProto, recipe: Recipe, calibration: Callable[[], Iterable[Feeds]], keep_fp32: Collection[str]
) -> ModelProto:
    """Quantize a copy of `model`; node names survive.

    Raises:
        ExportError: no samples, samples that do not fit the graph, or ranges that are not finite.
    """
    quantizable = [node for node in model.graph.node if node.op_type in QUANTIZED_OPS and node.name not in keep_fp32]
    if not quantizable:
        raise ExportError(f"nothing to quantize: the graph has no {', '.join(QUANTIZED_OPS)} outside keep_fp32")
    quantized = _quantize(model, recipe, SampleReader(model, calibration), keep_fp32)
    _read_unquantized(quantized, model, keep_fp32)
    _check_scales(quantized)
    return quantized


def _quantize(model: ModelProto, recipe: Recipe, reader: SampleReader, keep_fp32: Collection[str]) -> ModelProto:
    with tempfile.TemporaryDirectory(prefix="edgemm-int8-") as folder:
        # the tools write temporary files beside their input
        source, target = Path(folder) / "source.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, str(source))
        try:
            quantize_static(
                str(source),
                str(target),
                reader,
                quant_format=QuantFormat.QDQ,
                calibrate_method=CalibrationMethod.MinMax,
                activation_type=getattr(QuantType, recipe.activation),
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=recipe.reduce_range,
                op_types_to_quantize=list(QUANTIZED_OPS),
                nodes_to_exclude=[node.name for node in model.graph.node if node.name in keep_fp32],
                extra_options=dict(recipe.options),
            )
        except AssertionError as error:  # how the tool says that a range is NaN
            raise ExportError(_NOT_FINITE.format(tensor="a tensor")) from error
        return onnx.load(str(target))


def _read_unquantized(quantized: ModelProto, original: ModelProto, keep_fp32: Collection[str]) -> None:
    """Let kept nodes read the values before Q/DQ: the tool redirects every reader of a tensor that it quantizes."""
    producers = {output: node for node in quantized.graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in original.graph.initializer}
    present = {tensor.name for tensor in quantized.graph.initializer}
    before = {node.name: node for node in original.graph.node}
    for node in quantized.graph.node:
        if node.name not in keep_fp32:
            continue
        for index, name in enumerate(node.input):
            dequantize = producers.get(name)
            if dequantize is None or dequantize.op_type != "DequantizeLinear" or dequantize.name in before:
                continue
            quantize = producers.get(dequantize.input[0])
            if quantize is not None:
                node.input[index] = quantize.input[0]
                continue
            weight = before[node.name].input[index]
            node.input[index] = weight
            if weight not in present:
                quantized.graph.initializer.add().CopyFrom(constants[weight])
                present.add(weight)


def _check_scales(quantized: ModelProto) -> None:
    constants = {tensor.name: tensor for tensor in quantized.graph.initializer}
    for node in quantized.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[1] in constants:
            scale = numpy_helper.to_array(constants[node.input[1]])
            if not (np.isfinite(scale).all() and (scale > 0).all()):
                raise ExportError(_NOT_FINITE.format(tensor=f"tensor '{node.input[0]}'"))
