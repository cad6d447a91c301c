"""Runs ONNX graphs with ONNX Runtime on the CPU: the runner that is always there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from edgemm.errors import BundleError
from edgemm.tensors import BATCH, TensorSpec

_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
}


class OnnxRuntimeRunner:
    """One session on the CPU.

    Several sessions share a process, so each gets an explicit number of threads and never spins: the library's defaults burn four
    times the CPU here.

    Args:
        model: the ONNX file's content.
        name: for messages.
        threads: intra-op threads.
        optimise: False runs the graph as written, as a Q/DQ graph meant for a GPU must be judged.

    Raises:
        BundleError: the graph cannot be loaded.
    """

    def __init__(self, model: bytes, name: str, *, threads: int = 1, optimise: bool = True) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not optimise:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises many classes, none of them public
            raise BundleError(f"ONNX Runtime {ort.__version__} cannot load graph '{name}': {error}") from error
        self.inputs: Sequence[TensorSpec] = tuple(_spec(value) for value in self.session.get_inputs())
        self.outputs: Sequence[TensorSpec] = tuple(_spec(value) for value in self.session.get_outputs())

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in declared order; the arrays belong to the caller."""
        outputs: list[np.ndarray] = self.session.run(None, feeds)
        return outputs

    def close(self) -> None:
        """Release the session's memory."""
        del self.session


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else (size or BATCH) for size in value.shape)
    return TensorSpec(value.name, _DTYPES.get(value.type, value.type), shape)
