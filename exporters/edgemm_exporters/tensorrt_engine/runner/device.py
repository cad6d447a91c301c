"""The CUDA side: memory, streams and events of one GPU, through `cuda.bindings.runtime`.

Every answer is checked. After an error that spoils the whole process (an illegal address, say) the device is *lost*, for everything in this
process that uses it, and no further call is made. It knows nothing of TensorRT.

Source: https://nvidia.github.io/cuda-python/cuda-bindings/latest/module/runtime.html
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from edgemm.errors import EdgeMMError
from edgemm_exporters.tensorrt_engine.runner.failures import OUT_OF_MEMORY, DeviceLostError, cuda_failure

ALIGNMENT = 256  # of every pointer that an engine is given


@dataclass(frozen=True)
class Memory:
    """A block of memory.

    Attributes:
        address: where it is; a multiple of `ALIGNMENT`.
        size: bytes.
        host: uint8 `(size,)` over it when it is pinned host memory, which must not be read after `free`; None on the device.
    """

    address: int
    size: int
    host: np.ndarray | None = None

    def view(self, shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
        """Pinned memory as an array; a smaller shape is the first part of it."""
        assert self.host is not None
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        found: np.ndarray = self.host[:size].view(dtype).reshape(shape)
        return found


class Device(Protocol):
    """What the runner needs of a GPU. A stream and an event are handles that `int()` takes.

    Attributes:
        lost: why no call can be made any more; "" while it works.
        memory: what its memory is called: `cuda:0`.
        lock: held by whoever enqueues work or gives memory back, so that no engine closes while another one is about to read its outputs; it is
            not held while anybody waits for the GPU.
    """

    lost: str
    memory: str
    lock: threading.Lock

    def activate(self) -> None:
        """Make it the calling thread's GPU."""

    def allocate(self, size: int, *, pinned: bool = False) -> Memory:
        """At least `size` bytes on the device, or pinned on the host."""

    def free(self, memory: Memory) -> None:
        """Give a block back."""

    def create_stream(self) -> Any:
        """A stream that does not wait for the default stream."""

    def destroy_stream(self, stream: Any) -> None:
        """Give a stream back."""

    def create_event(self) -> Any:
        """An event for ordering, without a time."""

    def destroy_event(self, event: Any) -> None:
        """Give an event back."""

    def upload(self, target: Memory, source: Memory, size: int, stream: Any) -> None:
        """Enqueue a copy from pinned memory; `source` must stay as it is until the stream has passed it."""

    def download(self, target: Memory, source: Memory, size: int, stream: Any) -> None:
        """Enqueue a copy to pinned memory; `target` may be read only when the stream has passed it."""

    def clear(self, target: Memory, size: int, stream: Any) -> None:
        """Enqueue filling memory of the device with zeros."""

    def record(self, event: Any, stream: Any) -> None:
        """Let `event` stand for all that was enqueued so far."""

    def hold_back(self, stream: Any, event: Any) -> None:
        """Let what is enqueued from now on wait, on the device, for what `event` stands for now."""

    def wait(self, event: Any) -> None:
        """Block until what `event` stands for is done."""

    def synchronize(self, stream: Any) -> None:
        """Block until the stream is empty."""

    def synchronize_all(self) -> None:
        """Block until every stream of the device is empty."""

    def lose(self, reason: str) -> None:
        """Make no further call."""


class CudaDevice:
    """One GPU of this machine; implements `Device`.

    Args:
        rt: `cuda.bindings.runtime`.
        index: which GPU.
    """

    def __init__(self, rt: ModuleType, index: int) -> None:
        self.lost = ""
        self.memory = f"cuda:{index}"
        self.lock = threading.Lock()
        self._rt: Any = rt
        self._index = index
        self.activate()
        self._call("cudaFree", 0)  # makes the context, so that what cannot work fails here

    def activate(self) -> None:
        """Make it the calling thread's GPU."""
        self._call("cudaSetDevice", self._index)

    def allocate(self, size: int, *, pinned: bool = False) -> Memory:
        """At least `size` bytes on the device, or pinned on the host.

        Raises:
            EngineError: there is no memory left; says how much there is.
        """
        size = -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        if not pinned:
            return Memory(self._call("cudaMalloc", size), size)
        address = self._call("cudaHostAlloc", size, self._rt.cudaHostAllocDefault)
        return Memory(address, size, np.ctypeslib.as_array((ctypes.c_ubyte * size).from_address(address)))

    def free(self, memory: Memory) -> None:
        """Give a block back."""
        self._call("cudaFree" if memory.host is None else "cudaFreeHost", memory.address)

    def create_stream(self) -> Any:
        """A stream that does not wait for the default stream."""
        return self._call("cudaStreamCreateWithFlags", self._rt.cudaStreamNonBlocking)

    def destroy_stream(self, stream: Any) -> None:
        """Give a stream back."""
        self._call("cudaStreamDestroy", stream)

    def create_event(self) -> Any:
        """An event for ordering, without a time."""
        return self._call("cudaEventCreateWithFlags", self._rt.cudaEventDisableTiming)

    def destroy_event(self, event: Any) -> None:
        """Give an event back."""
        self._call("cudaEventDestroy", event)

    def upload(self, target: Memory, source: Memory, size: int, stream: Any) -> None:
        """Enqueue a copy from pinned memory; `source` must stay as it is until the stream has passed it."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", target.address, source.address, size, kind, stream)

    def download(self, target: Memory, source: Memory, size: int, stream: Any) -> None:
        """Enqueue a copy to pinned memory; `target` may be read only when the stream has passed it."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target.address, source.address, size, kind, stream)

    def clear(self, target: Memory, size: int, stream: Any) -> None:
        """Enqueue filling memory of the device with zeros."""
        self._call("cudaMemsetAsync", target.address, 0, size, stream)

    def record(self, event: Any, stream: Any) -> None:
        """Let `event` stand for all that was enqueued so far."""
        self._call("cudaEventRecord", event, stream)

    def hold_back(self, stream: Any, event: Any) -> None:
        """Let what is enqueued from now on wait, on the device, for what `event` stands for now."""
        self._call("cudaStreamWaitEvent", stream, event, 0)

    def wait(self, event: Any) -> None:
        """Block until what `event` stands for is done."""
        self._call("cudaEventSynchronize", event)

    def synchronize(self, stream: Any) -> None:
        """Block until the stream is empty."""
        self._call("cudaStreamSynchronize", stream)

    def synchronize_all(self) -> None:
        """Block until every stream of the device is empty."""
        self._call("cudaDeviceSynchronize")

    def lose(self, reason: str) -> None:
        """Make no further call."""
        self.lost = self.lost or reason

    def _call(self, function: str, *arguments: Any) -> Any:
        """Call and check; answers are `(error, *values)`."""
        if self.lost:
            raise DeviceLostError(self.lost)
        error, *values = getattr(self._rt, function)(*arguments)
        if int(error):
            raise self._failure(function, error)
        return values[0] if values else None

    def _failure(self, function: str, error: Any) -> EdgeMMError:
        code = int(error)
        text = self._rt.cudaGetErrorString(error)[1]
        what = f"GPU {self._index}: {function} failed"
        if code == OUT_OF_MEMORY:
            answer, *sizes = self._rt.cudaMemGetInfo()
            if not int(answer):
                what += f" ({sizes[0] / 2**20:.0f} of {sizes[1] / 2**20:.0f} MiB are free)"
        found = cuda_failure(what, code, text.decode() if isinstance(text, bytes) else str(text))
        if isinstance(found, DeviceLostError):
            self.lose(str(found))
        return found


@cache
def cuda_device(rt: ModuleType, index: int) -> CudaDevice:
    """The process's one object for that GPU, so that all its users know when it is lost."""
    return CudaDevice(rt, index)
