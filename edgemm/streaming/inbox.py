"""An input that the embedding program pushes into: `edgemm.stream(bundle, inputs={"text": inbox})`.

Bounded and safe between threads. It knows nothing of what the values mean; the input's adapter checks them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from operator import index
from typing import Any

from edgemm.errors import UsageError
from edgemm.host.interfaces import Packet

POLL_S = 0.1  # how soon a waiting reader notices that its stream has stopped


class Inbox:
    """Values on their way into one input of one stream.

    A full inbox drops its oldest value and counts it in `dropped`: what is newest matters, and a program that pushes must
    never wait for a model.

    Args:
        limit: how many values it holds.
    """

    def __init__(self, limit: int = 64) -> None:
        if limit < 1:
            raise UsageError(f"an inbox holds at least 1 value, got limit={limit}")
        self.limit = limit
        self.dropped = 0
        self._values: deque[tuple[int, int, Any]] = deque()
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False
        self._reader = ""

    def put(self, value: Any, captured_ns: int | None = None) -> None:
        """Push one value, captured now or at `captured_ns` of `time.monotonic_ns()`; never blocks.

        The value belongs to the stream from now on.

        Raises:
            UsageError: when the inbox is closed, or the time is no whole number.
        """
        try:
            stamp = time.monotonic_ns() if captured_ns is None else index(captured_ns)
        except TypeError:
            raise UsageError(
                f"captured_ns must be a whole number of ns on time.monotonic_ns(), got {type(captured_ns).__name__}"
            ) from None
        with self._changed:
            if self._closed:
                raise UsageError("this inbox is closed: its stream has ended, or close() was called")
            if len(self._values) >= self.limit:
                self._values.popleft()
                self.dropped += 1
            self._values.append((stamp, self._count, value))
            self._count += 1
            self._changed.notify()

    def close(self) -> None:
        """Nothing more will come; the stream takes what is left. May be called more than once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def source(self, input: str) -> InboxSource:
        """The source that reads this inbox for `input`, as a stream asks for it; once.

        Raises:
            UsageError: when another input reads it already.
        """
        with self._changed:
            if self._reader:
                raise UsageError(f"this inbox feeds '{self._reader}' already; make another one for '{input}'")
            self._reader = input
        return InboxSource(self, input)

    def take(self, timeout_s: float) -> tuple[int, int, Any] | None:
        """The oldest (captured_ns, sequence, value); None when none came in time, or none will."""
        with self._changed:
            if not self._values and not self._closed:
                self._changed.wait(timeout_s)
            return self._values.popleft() if self._values else None

    @property
    def is_finished(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._closed and not self._values


class InboxSource:
    """The `Source` face of an inbox."""

    live = True

    def __init__(self, inbox: Inbox, input: str) -> None:
        self.inputs: tuple[str, ...] = (input,)
        self._inbox = inbox

    @property
    def dropped(self) -> int:
        """Values that the inbox dropped because it was full."""
        return self._inbox.dropped

    def packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        """What was put, in order, until the inbox is closed and empty."""
        while not stopped():
            taken = self._inbox.take(POLL_S)
            if taken is not None:
                captured_ns, sequence, value = taken
                yield Packet(self.inputs[0], value, captured_ns, sequence)
            elif self._inbox.is_finished:
                return

    def close(self) -> None:
        """Close the inbox; a later `put` says so."""
        self._inbox.close()
