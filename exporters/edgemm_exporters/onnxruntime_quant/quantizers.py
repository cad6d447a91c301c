"""The quantizers that this plugin registers: which recipe a backend and a precision get, and how the file is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import ModelProto

from edgemm.errors import EdgeMMError, ExportError
from edgemm.runners.self_contained import check_self_contained
from edgemm_exporters.onnxruntime_quant.float16 import float16_from_float32
from edgemm_exporters.onnxruntime_quant.quiet import quiet_tools
from edgemm_exporters.onnxruntime_quant.static_int8 import CPU, TENSORRT, int8_from_float32

if TYPE_CHECKING:
    from edgemm.host.interfaces import Feeds

Calibration = Callable[[], Iterable["Feeds"]]
Convert = Callable[[ModelProto, Calibration, Collection[str]], ModelProto]

FP16_SCALES_OPSET = 19  # the first whose QuantizeLinear takes FP16


class GraphQuantizer:
    """Converts graphs with one function per precision; implements `edgemm.host.interfaces.Quantizer`."""

    def __init__(self, converters: dict[str, Convert]) -> None:
        self._converters = converters

    def quantize(
        self,
        source: Path,
        target: Path,
        *,
        precision: str,
        calibration: Calibration,
        keep_fp32: Sequence[str],
    ) -> None:
        """Convert `source` to `precision` at `target`, which appears only when it is complete and valid.

        `calibration()` returns a fresh iterable of feeds: every graph input, with a batch of 1 or more. It is not called for fp16.

        Raises:
            ExportError: when the graph cannot be converted, or a name in `keep_fp32` is not a node of it.
        """
        if precision not in self._converters:
            raise ExportError(f"this quantizer writes {', '.join(self._converters)}; it was asked for {precision}")
        model = _load(source)
        unknown = sorted(set(keep_fp32) - {node.name for node in model.graph.node})
        if unknown:
            raise ExportError(f"{source.name}: keep_fp32 names '{unknown[0]}', which is not a node of the graph")
        try:
            with quiet_tools():
                converted = self._converters[precision](model, calibration, frozenset(keep_fp32))
                onnx.checker.check_model(converted, full_check=True)
        except EdgeMMError as error:
            raise ExportError(f"{source.name} to {precision}: {error}") from error
        except Exception as error:  # the tools raise whatever they meet, down to KeyError
            raise ExportError(
                f"{source.name} could not be converted to {precision}: {type(error).__name__}: {error}"
            ) from error
        _write(converted, target)


def cpu_int8() -> GraphQuantizer:
    """INT8 for ONNX Runtime's CPU kernels."""
    return GraphQuantizer({"int8": lambda model, samples, keep: int8_from_float32(model, CPU, samples, keep)})


def tensorrt_fp16() -> GraphQuantizer:
    """FP16 for strongly typed TensorRT networks."""
    return GraphQuantizer({"fp16": lambda model, samples, keep: float16_from_float32(model, keep)})


def tensorrt_int8() -> GraphQuantizer:
    """INT8 for strongly typed TensorRT networks, the rest in FP32 or FP16."""
    return GraphQuantizer(
        {
            "int8": lambda model, samples, keep: int8_from_float32(model, TENSORRT, samples, keep),
            "int8+fp16": _int8_and_float16,
        }
    )


def _int8_and_float16(model: ModelProto, calibration: Calibration, keep_fp32: Collection[str]) -> ModelProto:
    _raise_opset(model, FP16_SCALES_OPSET)
    return float16_from_float32(int8_from_float32(model, TENSORRT, calibration, keep_fp32), keep_fp32)


def _raise_opset(model: ModelProto, version: int) -> None:
    """Declare at least `version`. From 18 to 19 operators only gained types and options, so no node changes."""
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < version:
            if opset.version < version - 1:
                raise ExportError(f"int8+fp16 needs a graph of opset 18 or later, this one has {opset.version}")
            opset.version = version


def _load(source: Path) -> ModelProto:
    try:
        content = source.read_bytes()
        check_self_contained(content, source.name)
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's DecodeError, OSError, and data that is in another file
        raise ExportError(f"{source} is not a readable ONNX file: {error}") from error
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"unnamed_{node.op_type}_{index}"  # the tools address nodes by name
    return model


def _write(model: ModelProto, target: Path) -> None:
    aside = target.with_name(f".{target.name}.partial")
    try:
        onnx.save(model, str(aside))
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
