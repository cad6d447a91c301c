"""Values in a GPU's memory: where engines write their outputs, and where the next engine on that GPU reads them, uncopied.

The host sees a copy, made when somebody looks. What was looked at after one run is copied down together with the next, so that the GPU has
to be waited for only once. It knows nothing of graphs.
"""

from __future__ import annotations

import threading
from weakref import finalize

import numpy as np

from edgemm.errors import InputError
from edgemm_exporters.tensorrt_engine.runner.device import Memory
from edgemm_exporters.tensorrt_engine.runner.engine import Shape
from edgemm_exporters.tensorrt_engine.runner.failures import EngineError
from edgemm_exporters.tensorrt_engine.runner.session import EngineSession, Holding, Mark


class Owner:
    """Who writes a value, as far as the value is concerned.

    Attributes:
        session: whose stream it writes on.
        lock: held while pinned memory is touched, or the GPU waited for.
        mark: how far its work has come.
        copied_bytes: what was copied up and down so far.
    """

    def __init__(self, session: EngineSession) -> None:
        self.session = session
        self.lock = threading.Lock()
        self.copied_bytes = {"up": 0, "down": 0}
        with session.turn:
            session.reclaim()
            self.mark = session.new_mark()
        self.holding = Holding(marks=[self.mark])
        finalize(self, session.retired.append, self.holding).atexit = False
        session.users.add(self)

    def wait(self) -> None:
        """Block until everything that was enqueued so far is done.

        Raises:
            EngineError: the GPU failed.
        """
        with self.lock:
            self.session.check_open()
            self.wait_locked()

    def wait_locked(self) -> None:
        """The same for who has the lock."""
        if self.mark.pending:
            self.session.wait(self.mark)

    def record(self) -> None:
        """Let the mark stand for what was enqueued so far, in a turn."""
        self.session.device.record(self.mark.event, self.session.stream)


class EngineValue:
    """One output of one binding; implements `edgemm.runners.values.Value`.

    It waits on the device, not on the host: who reads it lets its writer's mark come first, who writes it those of its readers.

    Attributes:
        memory: the GPU's: `cuda:0`.
        handle: its address there.
        shape, dtype: of its content.
        owner: who writes it.
        readers: marks of those on other streams that read it.
    """

    fixed = True

    def __init__(self, owner: Owner, shape: Shape, dtype: str) -> None:
        session = owner.session
        self.owner = owner
        self.memory = session.device.memory
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.readers: list[Mark] = []
        self._array = np.zeros(shape, dtype)
        self._stale = False  # the array is not what the device holds
        self._coming = False  # a copy to pinned memory was enqueued with the run
        self._looked_at = False  # after the run before this one
        self._pinned: Memory | None = None  # made at the first look: most values are never seen by the host
        self._holding = Holding()
        finalize(self, session.retired.append, self._holding).atexit = False
        with session.turn:
            self._device = self._allocate()
            self.handle = self._device.address
            self._enqueue_zeros()

    @property
    def array(self) -> np.ndarray:
        """A copy in host memory, the same array after every run, made at the first look.

        Raises:
            EngineError: the GPU failed, or the engine was closed before anybody looked.
        """
        if self._stale:
            self._look()
        return self._array

    def put(self, row: np.ndarray) -> None:
        """Take a row's content, copied up.

        Raises:
            InputError: it is not such a row.
            EngineError: the GPU failed, or the engine was closed.
        """
        if row.shape != self.shape[1:] or row.dtype != self.dtype:
            raise InputError(
                f"a row of this value is {self.dtype} {list(self.shape[1:])}, got {row.dtype} {list(row.shape)}"
            )
        owner, session = self.owner, self.owner.session
        with owner.lock:
            session.check_open()
            owner.wait_locked()  # a copy may still be under way through the same pinned memory
            self._array[0] = row
            with session.turn:
                pinned, view = self._on_host()
                np.copyto(view, self._array)
                self.enqueue_after_readers()
                owner.mark.pending = True
                session.device.upload(self._device, pinned, self._array.nbytes, session.stream)
                owner.record()
            owner.copied_bytes["up"] += self._array.nbytes
            self._stale = self._coming = False

    def row(self) -> np.ndarray:
        """A copy of the only row, copied down.

        Raises:
            EngineError: as `array`.
        """
        row: np.ndarray = self.array[0]
        return row.copy()

    def clear(self) -> None:
        """Fill it with zeros, on the device.

        Raises:
            EngineError: the GPU failed, or the engine was closed.
        """
        with self.owner.lock:
            with self.owner.session.turn:
                self._enqueue_zeros()
            self._array.fill(0)
            self._stale = self._coming = False

    def enqueue_after_readers(self) -> None:
        """In a turn of the owner's: what is enqueued next may overwrite it."""
        for mark in self.readers:
            if mark.pending:
                self.owner.session.device.hold_back(self.owner.session.stream, mark.event)

    def enqueue_after_writer(self, session: EngineSession) -> None:
        """In a turn of `session`: what is enqueued there next may read it.

        Raises:
            EngineError: the engine that writes it was closed.
        """
        writer = self.owner.session
        if writer.closed:
            raise EngineError(
                f"graph '{session.graph}' reads what graph '{writer.graph}' wrote, and that one's engine was closed"
            )
        if writer is not session and self.owner.mark.pending:
            session.device.hold_back(session.stream, self.owner.mark.event)

    def enqueue_copy(self) -> bool:
        """In a turn, after a run that wrote it: copy it down at once if somebody looked after the run before; whether it is copied."""
        self._stale, self._coming = True, False
        if not self._looked_at:
            return False
        self._looked_at = False
        self._enqueue_download()
        return True

    def expect(self) -> None:
        """A copy that was enqueued will be there with the owner's mark."""
        self._coming = True

    def _look(self) -> None:
        owner, session = self.owner, self.owner.session
        with owner.lock:
            session.check_open()
            if not self._coming:
                with session.turn:
                    self._enqueue_download()
                    owner.record()
                self._coming = True
            owner.wait_locked()
            np.copyto(self._array, self._on_host()[1])
            self._stale = self._coming = False
            self._looked_at = True

    def _enqueue_download(self) -> None:
        session = self.owner.session
        pinned, _ = self._on_host()
        self.owner.mark.pending = True
        session.device.download(pinned, self._device, self._array.nbytes, session.stream)
        self.owner.copied_bytes["down"] += self._array.nbytes

    def _enqueue_zeros(self) -> None:
        session = self.owner.session
        self.enqueue_after_readers()
        self.owner.mark.pending = True
        session.device.clear(self._device, self._array.nbytes, session.stream)
        self.owner.record()

    def _on_host(self) -> tuple[Memory, np.ndarray]:
        """Pinned memory, and an array over it that must not be read once the session is closed."""
        if self._pinned is None:
            self._pinned = self._allocate(pinned=True)
        return self._pinned, self._pinned.view(self.shape, self.dtype)

    def _allocate(self, *, pinned: bool = False) -> Memory:
        memory = self.owner.session.allocate(self._array.nbytes, pinned=pinned)
        self._holding.blocks.append(memory)
        return memory
