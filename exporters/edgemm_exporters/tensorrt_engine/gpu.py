"""Which GPUs engines can be made for and run on: the machine says what it has, CUDA which of them a process may use, and by what number."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from edgemm.errors import BundleError
from edgemm.machine.probe import this_machine
from edgemm_exporters.tensorrt_engine.runner.failures import cuda_failure


def compute_capabilities() -> tuple[int, ...]:
    """Of each GPU of this machine, as 89 for 8.9; empty without a working driver."""
    return this_machine().compute_capabilities


@cache
def cuda_index(rt: ModuleType, compute_capability: int) -> int:
    """CUDA's number of the first GPU of that compute capability; CUDA sorts them in its own way, and `CUDA_VISIBLE_DEVICES` hides some. Asked once:
    a GPU that was lost since must not be touched again.

    Args:
        rt: `cuda.bindings.runtime`.
        compute_capability: as 89 for 8.9.

    Raises:
        MissingDependencyError, EngineError: CUDA does not work here.
        BundleError: it shows no such GPU to this process.
    """
    attribute = rt.cudaDeviceAttr
    seen = []
    for index in range(_answer(rt, "cudaGetDeviceCount")):
        major = _answer(rt, "cudaDeviceGetAttribute", attribute.cudaDevAttrComputeCapabilityMajor, index)
        minor = _answer(rt, "cudaDeviceGetAttribute", attribute.cudaDevAttrComputeCapabilityMinor, index)
        if major * 10 + minor == compute_capability:
            return index
        seen.append(f"SM{major * 10 + minor}")
    raise BundleError(
        f"these engines were built for SM{compute_capability}, and CUDA shows this process {', '.join(seen) or 'no GPU'}; see CUDA_VISIBLE_DEVICES"
    )


def _answer(rt: ModuleType, function: str, *arguments: Any) -> int:
    error, value = getattr(rt, function)(*arguments)
    if int(error):
        text = rt.cudaGetErrorString(error)[1]
        raise cuda_failure(f"{function} failed", int(error), text.decode() if isinstance(text, bytes) else str(text))
    return int(value)
