"""An engine bound to what one node of one stream reads (IO binding): its outputs stay on the GPU, and the next engine reads them there.

A run copies up what lies on the host, through pinned memory, and returns when all of it is enqueued; who looks at an output waits. Several
bindings of one engine, on one thread or several, take turns on its stream. Every binding has memory of its own, so that what it wrote stays until
it writes again. Not yet run on hardware.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgemm.errors import InputError
from edgemm.runners.values import HOST, Value
from edgemm.tensors import TensorSpec
from edgemm_exporters.tensorrt_engine.runner.device import Memory
from edgemm_exporters.tensorrt_engine.runner.engine import Shape
from edgemm_exporters.tensorrt_engine.runner.session import EngineSession
from edgemm_exporters.tensorrt_engine.runner.values import EngineValue, Owner


@dataclass
class _Staged:
    """An input that lies on the host: copied into `view`, which is pinned, and from there up."""

    array: np.ndarray
    device: Memory
    pinned: Memory
    view: np.ndarray


class EngineBinding(Owner):
    """One engine bound for a number of rows; implements `edgemm.runners.values.Bound`. Used by one thread at a time.

    Args:
        session: the loaded engine.
        inputs, outputs: its tensors, in order.
        shapes: of its inputs, batch included.

    Attributes:
        copied_bytes: what was copied up and down so far.

    Raises:
        EngineError: there is no memory for it, or the engine does not take these shapes.
    """

    def __init__(
        self,
        session: EngineSession,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        shapes: Mapping[str, Shape],
    ) -> None:
        super().__init__(session)
        self._shapes = dict(shapes)
        self._dtypes = {spec.name: np.dtype(spec.dtype) for spec in inputs}
        with session.turn:
            found = session.engine.set_shapes(self._shapes)
        self._outputs = [(spec.name, found[spec.name], spec.dtype) for spec in outputs]
        self._addresses: dict[str, int] = {}
        self._staged: dict[str, _Staged] = {}  # every input that was ever fed keeps its memory
        self._fed: dict[str, _Staged] = {}
        self._linked: dict[str, EngineValue] = {}
        self._elsewhere: dict[str, Value] = {}  # linked, but in other memory, or another array after each run

    def new_outputs(self) -> tuple[EngineValue, ...]:
        """Values of zeros on the GPU."""
        return tuple(EngineValue(self, shape, dtype) for _, shape, dtype in self._outputs)

    def feed(self, name: str, array: np.ndarray) -> None:
        """Read `array` at the next runs: it is copied up at each.

        Raises:
            InputError: the engine has no such input, or it is bound to another shape or type.
        """
        self._elsewhere.pop(name, None)
        self._feed(name, array)

    def link(self, name: str, value: Value) -> None:
        """Read another node's output: where it lies, if an engine wrote it on this GPU, else as a host array.

        Raises:
            InputError: as `feed`.
        """
        if isinstance(value, EngineValue) and value.owner.session.device is self.session.device:
            self._check(name, value)
            self._elsewhere.pop(name, None)
            self._fed.pop(name, None)
            self._linked[name] = value
            self._addresses[name] = value.handle
            if value.owner.session is not self.session and self.mark not in value.readers:
                value.readers.append(self.mark)
            return
        self._feed(name, value.array)
        if value.fixed and value.memory == HOST:
            self._elsewhere.pop(name, None)
        else:
            self._elsewhere[name] = value

    def run(self, outputs: Sequence[Value]) -> None:
        """Enqueue a run that writes into `outputs`, which must be of `new_outputs`.

        Raises:
            InputError: an input is not bound.
            EngineError: the GPU failed, or an engine that is needed was closed; `DeviceLostError` when only a new process can use the GPU again.
        """
        for name, value in self._elsewhere.items():  # before the lock: another GPU's value takes its own
            self._feed(name, value.array)
        session, fed = self.session, self._fed
        if len(fed) + len(self._linked) < len(self._shapes):
            raise InputError(f"graph '{session.graph}': input '{self._unbound()}' was neither fed nor linked")
        with self.lock:
            session.check_open()
            if fed:
                self.wait_locked()  # the copies up of the run before may still read the pinned memory
                for staged in fed.values():
                    np.copyto(staged.view, staged.array)
            with session.turn:
                self._enqueue(outputs)

    def _enqueue(self, outputs: Sequence[Value]) -> None:
        session, device, stream = self.session, self.session.device, self.session.stream
        written = []
        for (name, _, _), value in zip(self._outputs, outputs, strict=True):
            if not isinstance(value, EngineValue) or value.owner is not self:
                raise InputError(
                    f"graph '{session.graph}' writes only into values that its own binding made, output '{name}' is not one"
                )
            written.append(value)
            self._addresses[name] = value.handle
            value.enqueue_after_readers()
        for linked in self._linked.values():
            linked.enqueue_after_writer(session)
        engine = session.engine
        engine.set_shapes(self._shapes)
        engine.set_addresses(self._addresses)
        self.mark.pending = True
        for staged in self._fed.values():
            device.upload(staged.device, staged.pinned, staged.view.nbytes, stream)
            self.copied_bytes["up"] += staged.view.nbytes
        engine.enqueue(stream)
        coming = [value for value in written if value.enqueue_copy()]
        self.record()
        for value in coming:
            value.expect()

    def _feed(self, name: str, array: np.ndarray) -> None:
        self._check(name, array)
        staged = self._staged.get(name)
        if staged is None:
            staged = self._staged[name] = self._stage(name, array)
        staged.array = array
        if name not in self._fed:
            self._linked.pop(name, None)
            self._fed[name] = staged
            self._addresses[name] = staged.device.address

    def _stage(self, name: str, array: np.ndarray) -> _Staged:
        blocks = self.holding.blocks
        with self.session.turn:
            for pinned in (False, True):
                blocks.append(self.session.allocate(array.nbytes, pinned=pinned))
        device, host = blocks[-2:]
        return _Staged(array, device, host, host.view(array.shape, array.dtype))

    def _check(self, name: str, given: np.ndarray | EngineValue) -> None:
        shape = self._shapes.get(name)
        if shape is None:
            raise InputError(f"graph '{self.session.graph}' has no input '{name}'; it has: {', '.join(self._shapes)}")
        if given.shape != shape or given.dtype != self._dtypes[name]:
            raise InputError(
                f"graph '{self.session.graph}': the engine is bound to {self._dtypes[name]} {list(shape)} for input '{name}', "
                f"got {given.dtype} {list(given.shape)}"
            )

    def _unbound(self) -> str:
        return next(name for name in self._shapes if name not in self._fed and name not in self._linked)
