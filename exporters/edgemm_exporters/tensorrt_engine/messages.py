"""What a TensorRT builder says: which of its lines matter, and what a user can do about them.

TensorRT reports failure as None; the reason is only in its log. It knows nothing of how a build is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

WARNINGS_KEPT = 5
_ACTIVATION_MEMORY = re.compile(r"Total Activation Memory:\s*(\d+)\s*bytes")

# (what the log says, what to do)
_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"FP32 GEMM is not supported",
        "this GPU generation multiplies no FP32 matrices; use --precision fp16 or int8+fp16",
    ),
    (
        r"HW-specific datatypes",
        "this GPU generation lacks that data type; 'edgemm devices' lists what each device takes",
    ),
    (
        r"Non-zero zero point|input type of UINT8|input has type Int32",
        "the graph was quantized for CPUs; TensorRT needs symmetric int8 without quantized biases: "
        "use the tensorrt quantizer (edgemm export --device NAME)",
    ),
    (
        r"UInt8 but must have type",
        "an operator reads uint8; in the model, convert a frame with .float() before permuting or normalising it",
    ),
    (r"nbdims_bias", "a 3-D convolution followed by a scalar addition; write it as Conv2d with a (1, k) kernel"),
    (r"plugin registry|[Pp]lugin creator", "this TensorRT does not bring that operator; rewrite the module without it"),
    (
        r"[Oo]ut of memory|OutOfMemory|NvMapMemAlloc|cudaErrorMemoryAllocation|insufficient memory",
        "the builder ran out of memory; close other programs, add swap, or lower the largest batch",
    ),
    (
        r"no CUDA-capable device|CUDA driver version is insufficient|cudaError(?:: | )?(?:35|100)\b|CUDA initialization",
        "this module builds only where an NVIDIA GPU and its driver work; 'edgemm doctor' checks both",
    ),
)


@dataclass
class Log:
    """The lines of one build that matter."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    activation_bytes: int = 0

    def take(self, severity: str, message: str) -> None:
        """Sort one line in; `severity` is TensorRT's name for it."""
        message = message.strip()
        if severity in ("ERROR", "INTERNAL_ERROR"):
            _append_new(self.errors, message)
        elif severity == "WARNING":
            _append_new(self.warnings, message)
        else:
            found = _ACTIVATION_MEMORY.search(message)
            if found:
                self.activation_bytes = max(self.activation_bytes, int(found[1]))


def logger_for(trt: ModuleType, log: Log) -> Any:
    """A `trt.ILogger` that fills `log`. TensorRT may call it from several threads; appending is safe."""
    base: Any = trt.ILogger

    class Logger(base):  # type: ignore[misc]  # the base class exists only at run time
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log.take(severity.name, message)

    return Logger()


def parser_errors(parser: Any) -> list[str]:
    """The ONNX parser's errors, each with the node that it is about."""
    lines: list[str] = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        operator, name = _call(error, "node_operator"), _call(error, "node_name")
        where = f"{operator} node '{name}': " if operator or name else ""
        _append_new(lines, f"{where}{str(error.desc()).strip()}")
    return lines


def explanation(lines: Iterable[str]) -> str:
    """Error lines, indented, and what to do where that is known."""
    lines = list(lines) or ["the builder gave no reason"]
    text = "".join(f"\n  {line}" for line in lines[:8])
    if len(lines) > 8:
        text += f"\n  ... and {len(lines) - 8} more"
    advice = dict.fromkeys(remedy for pattern, remedy in _REMEDIES if re.search(pattern, "\n".join(lines)))
    return text + "".join(f"\n  what to do: {remedy}" for remedy in advice)


def _call(error: Any, method: str) -> str:
    return str(getattr(error, method)()) if hasattr(error, method) else ""


def _append_new(lines: list[str], line: str) -> None:
    if line and line not in lines:
        lines.append(line)
