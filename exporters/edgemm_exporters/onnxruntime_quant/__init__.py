"""Plugin `onnxruntime_quant`: precision written into ONNX graphs with ONNX Runtime's quantization tools.

CPU and TensorRT need different INT8 graphs: CPU kernels want unsigned activations and quantized biases, TensorRT wants symmetric
signed ones and refuses quantized biases. Hence one quantizer per backend.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import QuantizerEntry
from edgemm.host.marker import hookimpl

_MODULE = "edgemm_exporters.onnxruntime_quant.quantizers"
_NEEDS = ("onnx", "onnxruntime")


@hookimpl
def edgemm_quantizers() -> Iterator[QuantizerEntry]:
    """One quantizer for CPUs; FP16 and INT8 for each of TensorRT's two modules."""
    yield QuantizerEntry(
        name="onnxruntime.int8",
        factory=f"{_MODULE}:cpu_int8",
        summary="static INT8 for CPUs: unsigned activations, 7-bit per-channel weights",
        requires=_NEEDS,
        extra="export",
        backend="onnxruntime",
        precisions=("int8",),
    )
    for backend in ("tensorrt", "tensorrt_rtx"):
        yield QuantizerEntry(
            name=f"{backend}.fp16",
            factory=f"{_MODULE}:tensorrt_fp16",
            summary="FP16 with FP32 inputs, outputs and front ends",
            requires=_NEEDS,
            extra="export",
            backend=backend,
            precisions=("fp16",),
        )
        yield QuantizerEntry(
            name=f"{backend}.int8",
            factory=f"{_MODULE}:tensorrt_int8",
            summary="static symmetric INT8, the rest in FP32 or FP16",
            requires=_NEEDS,
            extra="export",
            backend=backend,
            precisions=("int8", "int8+fp16"),
        )
