"""An engine on its GPU: its stream, all memory and events that are used with it, and whose turn it is.

Whoever uses the engine takes turns at enqueueing (`turn`), and waits for the GPU outside of it. What users leave behind without saying so, when
they are garbage, is given back at the next good moment (`reclaim`), since a finalizer may run in the middle of anything. It knows nothing of
arrays or models.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, TracebackType
from typing import Any, Protocol
from weakref import WeakSet

from edgemm.bundle.manifest import GraphRecord
from edgemm_exporters.tensorrt_engine.runner.device import Device, Memory
from edgemm_exporters.tensorrt_engine.runner.engine import Engine
from edgemm_exporters.tensorrt_engine.runner.failures import DeviceLostError, EngineError
from edgemm_exporters.tensorrt_engine.runner.kernel_cache import KernelCache

_log = logging.getLogger("edgemm.exporters.tensorrt_engine")


class Mark:
    """How far the work of one user of a stream has come.

    Attributes:
        stream: where it is enqueued.
        event: recorded after all of it.
        pending: whether some of it may not be done; who reads or overwrites what it uses must then let `event` come first.
    """

    __slots__ = ("event", "pending", "stream")

    def __init__(self, stream: Any, event: Any) -> None:
        self.stream = stream
        self.event = event
        self.pending = False


@dataclass(frozen=True)
class Holding:
    """What one user holds of a session."""

    blocks: list[Memory] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


class User(Protocol):
    """Who uses a session for longer than one call.

    Attributes:
        lock: held while it touches pinned memory or waits for the GPU.
    """

    @property
    def lock(self) -> threading.Lock:
        """Its lock."""


class EngineSession:
    """One engine, loaded; closed by its owner.

    Locks are taken in this order: the owner's or a user's own, then the device's. Nobody takes those of two users.

    Args:
        content: the serialized engine.
        trt: `tensorrt` or `tensorrt_rtx`.
        device: the GPU.
        graph: for messages.
        record: the graph's tensors as the manifest has them.
        cache: where TensorRT-RTX keeps what it compiles.

    Attributes:
        stream: that all of its work is enqueued on.
        turn: `with session.turn:` excludes everybody else on this GPU, and settles what fails inside.
        closed: whether it can be used no more.
        users: whom `close` waits for.
        retired: what garbage has held; anybody may append at any time.

    Raises:
        BundleError, EngineError: as `Engine`; nothing of it is left then.
    """

    def __init__(
        self,
        content: bytes,
        *,
        trt: ModuleType,
        device: Device,
        graph: str,
        record: GraphRecord | None,
        cache: KernelCache | None,
    ) -> None:
        self.graph = graph
        self.device = device
        self.closed = False
        self.turn = _Turn(self)
        self.users: WeakSet[User] = WeakSet()
        self.retired: deque[Holding] = deque()
        self.stream: Any = None
        self._engine: Engine | None = None
        self._unsettled = False  # work of a run that failed may still be under way
        self._memory: dict[int, Memory] = {}
        self._marks: list[Mark] = []
        try:
            device.activate()
            self.stream = device.create_stream()
            self._engine = Engine(trt, content, graph=graph, device=device, stream=self.stream, cache=cache)
            if record is not None:
                self._engine.take_record(record)
        except BaseException:
            self.close()
            raise

    @property
    def engine(self) -> Engine:
        """The engine; only in a turn, and never to be kept."""
        assert self._engine is not None
        return self._engine

    def allocate(self, size: int, *, pinned: bool = False) -> Memory:
        """Memory of the device, or pinned on the host; given back by `close`, or with the `Holding` that it is put into."""
        memory = self.device.allocate(size, pinned=pinned)
        self._memory[memory.address] = memory
        return memory

    def new_mark(self) -> Mark:
        """A mark on this session's stream."""
        mark = Mark(self.stream, self.device.create_event())
        self._marks.append(mark)
        return mark

    def check_open(self) -> None:
        """Raise `EngineError` once it is closed."""
        if self.closed:
            raise EngineError(f"graph '{self.graph}': its engine was closed")

    def wait(self, mark: Mark) -> None:
        """Block until the work of a mark is done. Not in a turn: others may go on meanwhile.

        Raises:
            EngineError: the GPU failed.
        """
        try:
            if self._unsettled:
                with self.turn:
                    pass
            self.device.wait(mark.event)
        except BaseException as error:
            self.recover(error)
            raise
        mark.pending = False

    def settle(self) -> None:
        """After a run that failed: let what it had enqueued end, so that nobody overwrites what it reads."""
        if self._unsettled:
            self.device.synchronize(self.stream)
            self._unsettled = False

    def recover(self, error: BaseException) -> None:
        """Settle after `error`; raises `DeviceLostError` from it where it turns out that the GPU is lost."""
        self._unsettled = True
        self.attempt(self.settle)
        if self.device.lost and not isinstance(error, DeviceLostError):
            raise DeviceLostError(self.device.lost) from error

    def reclaim(self) -> None:
        """Give back what garbage has held, in a turn. Waits for the whole GPU, since other engines may be reading it."""
        if not self.retired:
            return
        self.device.synchronize_all()
        while self.retired:
            self._give_back(self.retired.popleft())

    def close(self) -> None:
        """Wait for what runs, keep compiled kernels, and give everything back. Further calls do nothing."""
        if self.closed:
            return
        self.closed = True
        for user in list(self.users):
            with user.lock:  # whoever is at it finishes; whoever comes later sees that it is closed
                pass
        with self.device.lock:
            self._release()

    def attempt(self, call: Callable[[], None]) -> bool:
        """Call what may fail without harm: it is logged, and the rest goes on."""
        try:
            call()
        except Exception as error:  # bindings raise what they like
            # not the error itself: whoever keeps the record would keep all that its traceback refers to
            _log.warning("graph '%s': %s", self.graph, str(error))
            return False
        return True

    def _release(self) -> None:
        """Everything back, in the order that TensorRT needs; a lost device is left as it is, and ends with the process."""
        device = self.device
        if not self.attempt(device.activate):
            return
        # other engines may be reading what this one wrote; a failure that spoils nothing is no reason to free it under them
        if not self.attempt(device.synchronize_all) and not device.lost:
            self.attempt(device.synchronize_all)
        engine = self._engine
        if engine is not None and not device.lost:
            self.attempt(engine.keep_kernels)
            engine.release()
        del engine
        if device.lost:
            return
        self._engine = None
        self._give_back(Holding(list(self._memory.values()), list(self._marks)))
        if self.stream is not None:
            self.attempt(lambda: device.destroy_stream(self.stream))
        self.stream = None

    def _give_back(self, holding: Holding) -> None:
        """What cannot be given back is kept until `close`, which tries again."""
        device = self.device
        for mark in holding.marks:
            mark.pending = False
            if self.attempt(lambda mark=mark: device.destroy_event(mark.event)):  # type: ignore[misc]
                self._marks.remove(mark)
        for memory in holding.blocks:
            if self.attempt(lambda memory=memory: device.free(memory)):  # type: ignore[misc]
                del self._memory[memory.address]


class _Turn:
    """Excludes every other user of the GPU while work is enqueued."""

    def __init__(self, session: EngineSession) -> None:
        self._session = session

    def __enter__(self) -> None:
        session = self._session
        session.device.lock.acquire()
        try:
            session.check_open()
            session.device.activate()
            session.settle()
        except BaseException:
            session.device.lock.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._session.recover(error)
        finally:
            self._session.device.lock.release()
