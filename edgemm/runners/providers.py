"""ONNX Runtime's execution providers, by the names that people use. Names only: nothing is imported.

    cpu        every build
    cuda       any NVIDIA GPU: pip install onnxruntime-gpu
    tensorrt   the same build, compiling graphs at first use
    openvino   Intel: pip install onnxruntime-openvino

Source: https://onnxruntime.ai/docs/execution-providers/
"""

from __future__ import annotations

ONNX_RUNTIME = "onnxruntime"
"""The backend that runs ONNX as it is, as profiles and manifests name it."""

CPU = "cpu"
PROVIDERS = {
    CPU: "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
BROUGHT_BY = {"cuda": "onnxruntime-gpu", "tensorrt": "onnxruntime-gpu", "openvino": "onnxruntime-openvino"}
ON_GPU = ("cuda", "tensorrt")
