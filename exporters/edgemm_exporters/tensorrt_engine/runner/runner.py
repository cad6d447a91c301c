"""Runs one engine: by itself (`run`), with checked inputs and results of the caller's own, or bound to a stream's values (`bind`).

What `run` needs is allocated when the engine is loaded, for the largest shapes that it takes; a run allocates nothing on the GPU or pinned. It
has no CUDA graphs, no shared memory with the host and no worker process: a GPU error that spoils the process is reported as such, and only a
new process goes on. Not yet run on hardware.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from edgemm.bundle.manifest import GraphRecord
from edgemm.errors import InputError
from edgemm.runners.values import Bound, PlainBound
from edgemm.tensors import BATCH, TensorSpec
from edgemm_exporters.tensorrt_engine.runner.binding import EngineBinding
from edgemm_exporters.tensorrt_engine.runner.device import Device, Memory
from edgemm_exporters.tensorrt_engine.runner.engine import Shape
from edgemm_exporters.tensorrt_engine.runner.kernel_cache import KernelCache
from edgemm_exporters.tensorrt_engine.runner.session import EngineSession


@dataclass(frozen=True)
class _Tensor:
    """One tensor's memory, for its largest shape."""

    spec: TensorSpec
    device: Memory
    pinned: Memory


class EngineRunner:
    """One engine on one GPU; implements `edgemm.host.interfaces.Runner`. `run` may be called from several threads: they take turns.

    Args:
        content: the serialized engine.
        trt: `tensorrt` or `tensorrt_rtx`.
        device: the GPU.
        graph: for messages.
        record: the graph's tensors as the manifest has them; the engine's own names and order when None.
        cache: where TensorRT-RTX keeps what it compiles.

    Attributes:
        memory: where the outputs of what it binds lie: `cuda:0`.

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
        self._lock = threading.Lock()
        self._tensors: dict[str, _Tensor] = {}
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, Shape] = {}
        self._views: dict[str, np.ndarray] = {}
        self._session = EngineSession(content, trt=trt, device=device, graph=graph, record=record, cache=cache)
        self.memory = device.memory
        self.inputs: Sequence[TensorSpec] = self._session.engine.inputs
        self.outputs: Sequence[TensorSpec] = self._session.engine.outputs
        self._ranges = self._session.engine.ranges
        try:
            self._prepare()
        except BaseException:
            self._session.close()
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
            with self._session.turn:
                if shapes != self._shapes:
                    self._set_shapes(shapes)
                for name in shapes:
                    np.copyto(self._views[name], feeds[name])
                self._enqueue()
            self._session.wait(self._done)
            return [self._views[spec.name].copy() for spec in self.outputs]

    def bind(self, batch: int = 1) -> Bound:
        """Bind for repeated runs whose outputs stay on the GPU; by way of `run` where an axis other than the batch may vary.

        Raises:
            InputError: the engine was not built for that batch.
            EngineError: it was closed, or there is no memory left.
        """
        if any(found.minimum[1:] != found.maximum[1:] for found in self._ranges.values()):
            return PlainBound(self, batch)
        shapes = {spec.name: self._shape_at(spec, batch) for spec in self.inputs}
        with self._lock:
            return EngineBinding(self._session, self.inputs, self.outputs, shapes)

    def close(self) -> None:
        """Wait for what runs, keep compiled kernels, and give everything back. Further calls do nothing."""
        with self._lock:
            atexit.unregister(self.close)
            self._session.close()
            self._views, self._tensors, self._shapes = {}, {}, {}

    def _prepare(self) -> None:
        """Allocate for the largest shapes, and run every declared shape once, on zeros: kernels are compiled and memory mapped before the first
        frame comes.
        """
        session = self._session
        self._done = session.new_mark()
        ranges = [self._ranges[spec.name] for spec in self.inputs]
        largest = {spec.name: found.maximum for spec, found in zip(self.inputs, ranges, strict=True)}
        shapes = {**largest, **session.engine.set_shapes(largest)}
        for spec in (*self.inputs, *self.outputs):
            tensor = self._tensors[spec.name] = self._allocate(spec, shapes[spec.name])
            self._addresses[spec.name] = tensor.device.address
        declared = dict.fromkeys(
            tuple(getattr(found, size) for found in ranges) for size in ("maximum", "usual", "minimum")
        )
        for sizes in declared:
            with session.turn:
                self._set_shapes(dict(zip(largest, sizes, strict=True)))
                self._enqueue()
            session.wait(self._done)
        session.attempt(session.engine.keep_kernels)

    def _allocate(self, spec: TensorSpec, largest: Shape) -> _Tensor:
        size = int(np.prod(largest, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
        device, pinned = (self._session.allocate(size, pinned=pinned) for pinned in (False, True))
        pinned.view((size,), np.uint8).fill(0)
        return _Tensor(spec, device, pinned)

    def _set_shapes(self, shapes: dict[str, Shape]) -> None:
        """Make the next runs take these shapes."""
        self._shapes = {}  # none, until all of it succeeded
        both = {**shapes, **self._session.engine.set_shapes(shapes)}
        self._views = {name: t.pinned.view(both[name], t.spec.dtype) for name, t in self._tensors.items()}
        self._shapes = shapes

    def _enqueue(self) -> None:
        """Copy in, run, copy out; in a turn."""
        session, device, stream = self._session, self._session.device, self._session.stream
        session.engine.set_shapes(self._shapes)  # bindings use the engine too
        session.engine.set_addresses(self._addresses)
        for spec in self.inputs:
            tensor = self._tensors[spec.name]
            device.upload(tensor.device, tensor.pinned, self._views[spec.name].nbytes, stream)
        session.engine.enqueue(stream)
        for spec in self.outputs:
            tensor = self._tensors[spec.name]
            device.download(tensor.pinned, tensor.device, self._views[spec.name].nbytes, stream)
        device.record(self._done.event, stream)

    def _shape_at(self, spec: TensorSpec, batch: int) -> Shape:
        """The shape of an input that is bound for that many rows; a graph may have a fixed first axis too."""
        found = self._ranges[spec.name]
        if not spec.shape or spec.shape[0] != BATCH:
            return found.maximum
        if not found.minimum[0] <= batch <= found.maximum[0]:
            raise InputError(
                f"graph '{self._graph}': the engine takes a batch of {found.minimum[0]} to {found.maximum[0]}, got {batch}"
            )
        return (batch, *found.maximum[1:])

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
