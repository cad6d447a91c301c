"""What TensorRT and CUDA report when an engine cannot be loaded or run, in words that a user can act on.

TensorRT answers None or False; the reason goes to an error recorder, mostly under the code "unspecified", so lines are told apart by their
text. It knows nothing of engines or devices.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import Any

from edgemm.errors import BundleError, EdgeMMError, MissingDependencyError

LINES_KEPT = 8
INSUFFICIENT_DRIVER, NO_DEVICE, OUT_OF_MEMORY = 35, 100, 2
STICKY = frozenset({214, 700, 702, 710, 714, 715, 716, 717, 718, 719})
"""CUDA errors after which every further call of the process fails."""

_log = logging.getLogger("edgemm.exporters.tensorrt_engine")


class EngineError(EdgeMMError):
    """An engine could not be loaded or run on this GPU."""


class DeviceLostError(EngineError):
    """The GPU cannot be used by this process any more; only a new process can."""


_LOST = "this process cannot use the GPU any more: restart it. If it happens again, run the variant on the CPU and report it"
_STICKY_CODES = "|".join(str(code) for code in sorted(STICKY))
_REBUILD = "build the engines on this machine: edgemm build BUNDLE"

# (what the recorder says, class of the error, what to do); the first that fits gives the class.
_TABLE: tuple[tuple[str, type[EdgeMMError], str], ...] = (
    (
        rf"cudaError(?:_t)?\W*(?:{_STICKY_CODES})\b|illegal memory access|misaligned address|device-side assert|"
        r"unspecified launch failure|illegal instruction|launch timed out|hardware stack error|uncorrectable ECC",
        DeviceLostError,
        _LOST,
    ),
    (
        r"Version tag does not match|VERSION_MISMATCH|incompatible serialization version",
        BundleError,
        f"the engine was written by another version of TensorRT, or is no engine; {_REBUILD}",
    ),
    (
        r"plan\.header\.size == blobSize|magicTag|MALFORMED_ENGINE",
        BundleError,
        "the engine is truncated, or is no engine: copy the bundle again, then: edgemm verify BUNDLE",
    ),
    (
        r"incompatible device, expecting compute|UNSUPPORTED_CC",
        BundleError,
        f"the engine was built for another GPU; {_REBUILD}",
    ),
    (
        r"getEngineHostCodeAllowed\(\) is false",
        BundleError,
        f"the engine carries code for the processor, which is not run; {_REBUILD}",
    ),
    (
        r"not found in plugin registry|[Pp]lugin creator",
        BundleError,
        "the engine uses a TensorRT plugin that is not loaded; rewrite the module without that operator, or load its library first",
    ),
    (
        r"driver version is insufficient|cudaError(?:_t)?\W*35\b|OLD_CUDA_DRIVER",
        MissingDependencyError,
        "the NVIDIA driver is older than the CUDA packages: update it, or install the packages of its CUDA version (nvidia-smi shows it)",
    ),
    (
        r"[Oo]ut ?[Oo]f ?[Mm]emory|NvMapMemAlloc|cudaError(?:_t)?\W*2\b|INSUFFICIENT_GPU_MEMORY",
        EngineError,
        "the GPU's memory is used up: close other programs, build for a smaller largest batch, or restart a Jetson, whose memory fragments",
    ),
    (
        r"does not satisfy any optimization profiles|Static dimension mismatch",
        EngineError,
        f"the engine was not built for these shapes; {_REBUILD}",
    ),
    (
        r"Address is not set|[Nn]either address or allocator|setDeviceMemoryV2 should be called",
        EngineError,
        "this is a mistake in EdgeMM: please report it with these lines",
    ),
)


def failure(what: str, lines: Iterable[str] = (), *, otherwise: type[EdgeMMError] = EngineError) -> EdgeMMError:
    """The error for a call that failed, from the recorder's lines: their class and remedy where they are known."""
    lines = list(lines) or ["TensorRT gave no reason"]
    text = "\n".join(lines)
    found = [(kind, remedy) for pattern, kind, remedy in _TABLE if re.search(pattern, text)]
    message = what + "".join(f"\n  {line}" for line in lines[-LINES_KEPT:])
    if found:
        message += f"\n  what to do: {found[0][1]}"
    return (found[0][0] if found else otherwise)(message)


def cuda_failure(what: str, code: int, text: str) -> EdgeMMError:
    """The error for a CUDA call that answered `code`."""
    if code == NO_DEVICE:
        return MissingDependencyError(f"{what}: no NVIDIA GPU can be used here; 'edgemm doctor' checks it")
    if code in STICKY:
        return DeviceLostError(f"{what}: CUDA error {code}, {text}\n  what to do: {_LOST}")
    return failure(what, [f"cudaError {code}: {text}"])


def recorder_for(trt: ModuleType) -> Any:
    """A `trt.IErrorRecorder` that keeps the last lines; `drain()` takes them. TensorRT calls it from several threads."""
    base: Any = trt.IErrorRecorder

    class Recorder(base):  # type: ignore[misc]  # the base class exists only at run time
        def __init__(self) -> None:
            base.__init__(self)
            self._lock = threading.Lock()
            self._found: deque[tuple[Any, str]] = deque(maxlen=LINES_KEPT)

        def num_errors(self) -> int:
            with self._lock:
                return len(self._found)

        def get_error_code(self, index: int) -> Any:
            with self._lock:
                return self._found[index][0]

        def get_error_desc(self, index: int) -> str:
            with self._lock:
                return self._found[index][1]

        def has_overflowed(self) -> bool:
            return False  # the oldest line makes room

        def clear(self) -> None:
            with self._lock:
                self._found.clear()

        def report_error(self, code: Any, description: str) -> bool:
            with self._lock:
                self._found.append((code, description.strip()))
            return True  # as NVIDIA's samples: what fails ends there

        def drain(self) -> list[str]:
            with self._lock:
                lines = list(dict.fromkeys(description for _, description in self._found))
                self._found.clear()
            return lines

    return Recorder()


@cache
def logger_of(trt: ModuleType) -> Any:
    """The process's one `trt.ILogger` for that module, to Python's logging; TensorRT ignores a second one."""
    base: Any = trt.ILogger
    levels = {"INTERNAL_ERROR": logging.ERROR, "ERROR": logging.ERROR, "WARNING": logging.WARNING}

    class Logger(base):  # type: ignore[misc]  # the base class exists only at run time
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            _log.log(levels.get(severity.name, logging.DEBUG), "%s", message.strip())

    return Logger()
