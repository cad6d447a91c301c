"""Runs one engine synchronously: checked inputs, copies through pinned memory, one stream, one event, results of the caller's own.

All memory is allocated when the engine is loaded, for the largest shapes that it takes; a run allocates nothing on the GPU or pinned. It has no
CUDA graphs, no zero copy, no pipelining and no worker process: a GPU error that spoils the process is reported as such, and only a new process
goes on. Not yet run on hardware.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from edgemm.bundle.manifest import GraphRecord
from edgemm.errors import InputError
from edgemm.tensors import BATCH, TensorSpec
from edgemm_exporters.tensorrt_engine.runner.device import Device, Memory
from edgemm_exporters.tensorrt_engine.runner.engine import Engine, InputRange, Shape
from edgemm_exporters.tensorrt_engine.runner.failures import DeviceLostError, EngineError
from edgemm_exporters.tensorrt_engine.runner.kernel_cache import KernelCache

_log = logging.getLogger("edgemm.exporters.tensorrt_engine")


@dataclass(frozen=True)
class _Tensor:
    """One tensor's memory, for its largest shape."""

    spec: TensorSpec
    device: Memory
    pinned: Memory

    def view(self, shape: Shape) -> np.ndarray:
        """The pinned memory as an array; a smaller shape is the first part of it."""
        assert self.pinned.host is not None
        size = _bytes(self.spec, shape)
        found: np.ndarray = self.pinned.host[:size].view(self.spec.dtype).reshape(shape)
        return found


class EngineRunner:
    """One engine on one GPU; implements `edgemm.host.interfaces.Runner`. `run` may be called from several threads: they take turns.

    Args:
        content: the serialized engine.
        trt: `tensorrt` or `tensorrt_rtx`.
        device: the GPU.
        graph: for messages.
        record: the graph's tensors as the manifest has them; the engine's own names and order when None.
        cache: where TensorRT-RTX keeps what it compiles.

    Raises:
        BundleError: the engine does not fit this TensorRT, GPU or manifest.
        EngineError: it could not be loaded; nothing of it is left then.
    """

    def __init__(
        self,
        content: bytes,
        *,
        trt: ModuleType,
        device: Device,
        graph: str,
        record: GraphRecord | None = None,
        cache: KernelCache | None = None,
    ) -> None:
        self._graph = graph
        self._device = device
        self._lock = threading.Lock()
        self._closed = False
        self._stream: Any = None
        self._done: Any = None
        self._engine: Engine | None = None
        self._ranges: dict[str, InputRange] = {}
        self._memory: list[Memory] = []
        self._tensors: dict[str, _Tensor] = {}
        self._shapes: dict[str, Shape] = {}
        self._views: dict[str, np.ndarray] = {}
        self.inputs: Sequence[TensorSpec] = ()
        self.outputs: Sequence[TensorSpec] = ()
        try:
            self._load(content, trt, record, cache)
        except BaseException:
            self._release()
            raise
        atexit.register(self.close)  # in order, while the driver is still there

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in declared order; the arrays belong to the caller. Blocks until they are there.

        Raises:
            InputError: a tensor is missing, or has another type or a shape that the engine was not built for.
            EngineError: the GPU failed; `DeviceLostError` when only a new process can use it again.
        """
        shapes = self._checked(feeds)
        with self._lock:
            if self._closed:
                raise EngineError(f"graph '{self._graph}': its engine was closed")
            self._device.activate()
            try:
                if shapes != self._shapes:
                    self._bind(shapes)
                for name in shapes:
                    np.copyto(self._views[name], feeds[name])
                self._run_once()
            except BaseException as error:
                self._settle()
                if self._device.lost and not isinstance(error, DeviceLostError):
                    raise DeviceLostError(self._device.lost) from error
                raise
            return [self._views[spec.name].copy() for spec in self.outputs]

    def close(self) -> None:
        """Wait for what runs, keep compiled kernels, and give everything back. Further calls do nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            atexit.unregister(self.close)
            self._release()

    def _load(self, content: bytes, trt: ModuleType, record: GraphRecord | None, cache: KernelCache | None) -> None:
        device = self._device
        device.activate()
        self._stream = device.create_stream()
        self._done = device.create_event()
        engine = self._engine = Engine(trt, content, graph=self._graph, device=device, stream=self._stream, cache=cache)
        if record is not None:
            engine.take_record(record)
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._ranges = engine.ranges
        largest = {spec.name: engine.ranges[spec.name].maximum for spec in self.inputs}
        shapes = {**largest, **engine.set_shapes(largest)}
        for spec in (*self.inputs, *self.outputs):
            self._allocate(spec, shapes[spec.name])
            engine.set_address(spec.name, self._tensors[spec.name].device.address)
        self._warm_up()
        self._attempt(engine.keep_kernels)

    def _allocate(self, spec: TensorSpec, largest: Shape) -> None:
        size = _bytes(spec, largest)
        for pinned in (False, True):
            self._memory.append(self._device.allocate(size, pinned=pinned))
        tensor = self._tensors[spec.name] = _Tensor(spec, *self._memory[-2:])
        if tensor.pinned.host is not None:
            tensor.pinned.host.fill(0)

    def _warm_up(self) -> None:
        """Run every declared shape once, on zeros: kernels are compiled and memory mapped before the first frame comes."""
        ranges = [self._ranges[spec.name] for spec in self.inputs]
        declared = dict.fromkeys(
            tuple(getattr(found, size) for found in ranges) for size in ("maximum", "usual", "minimum")
        )
        for shapes in declared:
            self._bind(dict(zip((spec.name for spec in self.inputs), shapes, strict=True)))
            self._run_once()

    def _bind(self, shapes: dict[str, Shape]) -> None:
        """Make the next runs take these shapes; addresses stay."""
        assert self._engine is not None
        self._shapes = {}  # none, until all of it succeeded
        both = {**shapes, **self._engine.set_shapes(shapes)}
        self._views = {name: tensor.view(both[name]) for name, tensor in self._tensors.items()}
        self._shapes = shapes

    def _run_once(self) -> None:
        """Copy in, run, copy out, wait."""
        assert self._engine is not None
        device, stream, views = self._device, self._stream, self._views
        for spec in self.inputs:
            tensor = self._tensors[spec.name]
            device.upload(tensor.device, tensor.pinned, views[spec.name].nbytes, stream)
        self._engine.enqueue(stream)
        for spec in self.outputs:
            tensor = self._tensors[spec.name]
            device.download(tensor.pinned, tensor.device, views[spec.name].nbytes, stream)
        device.record(self._done, stream)
        device.wait(self._done)

    def _settle(self) -> None:
        """After a failed run: let pending copies end, so that the next run does not overwrite what they read."""
        self._attempt(lambda: self._device.synchronize(self._stream))

    def _checked(self, feeds: Mapping[str, np.ndarray]) -> dict[str, Shape]:
        """The shape of every input."""
        shapes = {}
        batch = 0
        for spec in self.inputs:
            array = feeds.get(spec.name)
            if array is None or array.dtype != spec.dtype or not self._fits(spec, array.shape):
                raise InputError(self._complaint(spec, array))
            shapes[spec.name] = array.shape
            if spec.shape and spec.shape[0] == BATCH:
                if batch not in (0, array.shape[0]):
                    raise InputError(
                        f"graph '{self._graph}': input '{spec.name}' has a batch of {array.shape[0]}, the inputs before it {batch}"
                    )
                batch = array.shape[0]
        unknown = sorted(set(feeds) - set(shapes))
        if unknown:
            raise InputError(f"graph '{self._graph}' has no input '{unknown[0]}'; it has: {', '.join(shapes)}")
        return shapes

    def _fits(self, spec: TensorSpec, shape: Shape) -> bool:
        found = self._ranges[spec.name]
        return len(shape) == len(found.minimum) and all(
            low <= size <= high for low, size, high in zip(found.minimum, shape, found.maximum, strict=True)
        )

    def _complaint(self, spec: TensorSpec, array: np.ndarray | None) -> str:
        got = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
        found = self._ranges[spec.name]
        sizes = (str(a) if a == b else f"{a} to {b}" for a, b in zip(found.minimum, found.maximum, strict=True))
        return f"graph '{self._graph}': the engine takes {spec.dtype} [{', '.join(sizes)}] for input '{spec.name}', got {got}"

    def _release(self) -> None:
        """Everything back, in the order that TensorRT needs; a lost device is left as it is, and ends with the process."""
        device = self._device
        if not self._attempt(device.activate):
            return
        if self._stream is not None:
            self._attempt(lambda: device.synchronize(self._stream))
        engine = self._engine
        if engine is not None and not device.lost:
            self._attempt(engine.keep_kernels)
            engine.release()
        del engine
        if device.lost:
            return
        self._engine = None
        if self._done is not None:
            self._attempt(lambda: device.destroy_event(self._done))
        if self._stream is not None:
            self._attempt(lambda: device.destroy_stream(self._stream))
        self._views, self._tensors, self._shapes = {}, {}, {}
        while self._memory:
            memory = self._memory.pop()
            self._attempt(lambda memory=memory: device.free(memory))  # type: ignore[misc]
        self._done = self._stream = None

    def _attempt(self, call: Callable[[], None]) -> bool:
        """Call what may fail without harm: it is logged, and the rest goes on."""
        try:
            call()
        except Exception as error:  # bindings raise what they like
            _log.warning("graph '%s': %s", self._graph, error)
            return False
        return True


def _bytes(spec: TensorSpec, shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
