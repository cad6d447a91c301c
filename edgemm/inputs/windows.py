"""Windows over streams: a mirrored ring buffer, and the feed of whatever is sampled at a rate (sound, an IMU, a current).

It knows nothing of what a sample means, nor of when nodes run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgemm.inputs.kind import Feed, InputKind, Tensors

_SLEW = 64  # the share of a small gap that one block makes up for


class Ring:
    """The newest rows of a stream, as one contiguous view at any time (a mirrored ring buffer).

    Every row is written twice, `size` rows apart: wherever the newest ends, the `size` rows before it lie in one piece, so that a window moves
    on without copying what stays.

    Args:
        size: rows of the window.
        row: shape of one row.
        dtype: of what is kept.

    Attributes:
        written: rows since it was cleared.
    """

    __slots__ = ("_both", "_rows", "_size", "written")

    def __init__(self, size: int, row: tuple[int, ...], dtype: Any) -> None:
        self._rows = np.zeros((2 * size, *row), dtype)
        self._both = self._rows.reshape(2, size, *row)  # the same memory: a row and its mirror are one assignment
        self._size = size
        self.written = 0

    def append(self, row: Any) -> np.ndarray:
        """Take one row; the window with it."""
        size = self._size
        slot = self.written % size
        self._both[:, slot] = row
        self.written += 1
        return self._rows[np.newaxis, slot + 1 : slot + 1 + size]

    def extend(self, rows: np.ndarray) -> None:
        """Take several rows, oldest first."""
        both, count, size = self._both, len(rows), self._size
        if count > size:  # what would be overwritten at once
            self.written += count - size
            rows, count = rows[count - size :], size
        position = self.written % size
        end = position + count
        both[:, position : min(end, size)] = rows[: size - position]
        if end > size:
            both[:, : end - size] = rows[size - position :]
        self.written += count

    def blank(self, slot: int) -> None:
        """Fill one row with zeros: the one that was written as the `slot`-th, or any number of sizes after it."""
        self._both[:, slot] = 0

    def window(self) -> np.ndarray:
        """The newest rows `(1, size, …)`, oldest first, zeros where nothing was written yet; a view, overwritten later."""
        start = self.written % self._size
        return self._rows[np.newaxis, start : start + self._size]

    def clear(self) -> None:
        """Forget every row."""
        self._rows[:] = 0
        self.written = 0


class SlidingWindow(Feed):
    """A window over a stream of samples that moves on by hops, without copying what stays.

    Time is counted in samples from the first one's capture time. Devices deliver in bursts, so stamps jitter: a gap of more than half a window
    starts anew, a smaller one is slewed, a sixty-fourth of it per block.

    Args:
        kind: whose feed it is.
        samples: one raw value as rows `(n, …)`; raises `InputError` for what does not fit.
        size: rows of the window.
        hop: rows between two windows, at most `size`.
        rate_hz: rows per second.
        row: shape of one row.
        first: rows before the first window: `size` waits until it is full, less gives it with zeros in front. `hop` if not given.
    """

    borrowed = True

    def __init__(
        self,
        kind: InputKind,
        samples: Callable[[Any], np.ndarray],
        *,
        size: int,
        hop: int,
        rate_hz: float,
        row: tuple[int, ...] = (),
        first: int = 0,
    ) -> None:
        super().__init__(kind)
        self._samples = samples
        self._hop, self._first = hop, first or hop
        self._rate_hz = rate_hz
        self._gap_ns = int(size * 500_000_000 // rate_hz)
        self._ring = Ring(size, row, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next sample starts a new stream."""
        self._ring.clear()
        self._until_hop = self._first
        self._start_ns: int | None = None

    def push(self, raw: Any, captured_ns: int) -> Iterator[tuple[Tensors, int]]:
        """Take a block of samples; iterate over (window `(1, size, …)`, capture time of its end) per finished hop.

        A window is a view: use it before asking for the next.

        Raises:
            InputError: the block does not fit.
        """
        samples = self._samples(raw)
        self._keep_time(captured_ns)
        return self._windows(samples)

    def _windows(self, samples: np.ndarray) -> Iterator[tuple[Tensors, int]]:
        ring = self._ring
        while len(samples) >= self._until_hop:
            ring.extend(samples[: self._until_hop])
            samples = samples[self._until_hop :]
            self._until_hop = self._hop
            yield (ring.window(),), self.end_ns()
        ring.extend(samples)
        self._until_hop -= len(samples)

    def end_ns(self) -> int:
        """Capture time of the end of the newest sample."""
        return (self._start_ns or 0) + int(self._ring.written * 1_000_000_000 // self._rate_hz)

    def _keep_time(self, captured_ns: int) -> None:
        if self._start_ns is None:
            self._start_ns = captured_ns
            return
        drift_ns = captured_ns - self.end_ns()
        if abs(drift_ns) > self._gap_ns:
            self.reset()
            self._start_ns = captured_ns
        else:
            self._start_ns += drift_ns // _SLEW
