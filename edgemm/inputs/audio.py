"""Sound to windows: one window for a single call, a sliding one for a stream. Resampling belongs to the sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgemm.errors import InputError
from edgemm.inputs.declarations import Audio


@dataclass(frozen=True)
class Sound:
    """A piece of sound that carries its rate.

    Attributes:
        samples: float32 mono `(n,)` in [-1, 1], or int16 `(n,)`.
        sample_rate_hz: the rate they were taken at.
    """

    samples: np.ndarray
    sample_rate_hz: int


class AudioAdapter:
    """A `Sound`, or bare samples at the model's rate, to float32 `(1, window_samples)`.

    A single call takes the newest window of what it is given; shorter sound is padded with silence in front.
    """

    def __init__(self, name: str, spec: Audio) -> None:
        self.name = name
        self.spec = spec
        self.tensor = spec.tensor

    def samples(self, raw: Any) -> np.ndarray:
        """float32 mono `(n,)`, checked.

        Raises:
            InputError: for another rate, type, dtype or number of axes.
        """
        if type(raw) is Sound:
            if raw.sample_rate_hz != self.spec.sample_rate_hz:
                raise InputError(
                    f"input '{self.name}': the model takes sound at {self.spec.sample_rate_hz} Hz, got "
                    f"{raw.sample_rate_hz} Hz; resample it first, e.g. "
                    f"soxr.resample(samples, {raw.sample_rate_hz}, {self.spec.sample_rate_hz})"
                )
            raw = raw.samples
        if not isinstance(raw, np.ndarray) or raw.ndim != 1:
            raise InputError(self._expected(raw))
        if raw.dtype == np.int16:
            return raw.astype(np.float32) / np.float32(32768.0)
        if raw.dtype != np.float32:
            raise InputError(self._expected(raw))
        return raw

    def convert(self, raw: Any) -> np.ndarray:
        """The newest window of one sound."""
        samples = self.samples(raw)
        size = self.spec.window_samples
        if samples.size >= size:
            return np.ascontiguousarray(samples[samples.size - size :])[np.newaxis]
        window = np.zeros((1, size), np.float32)
        window[0, size - samples.size :] = samples
        return window

    def _expected(self, raw: Any) -> str:
        got = f"{raw.dtype} {list(raw.shape)}" if isinstance(raw, np.ndarray) else type(raw).__name__
        return (
            f"input '{self.name}': expected sound as edgemm.Sound(samples, sample_rate_hz), or a mono numpy array (n,) of "
            f"float32 in [-1, 1] or int16 at {self.spec.sample_rate_hz} Hz; got {got}"
        )


class SlidingWindow:
    """A window over a stream of samples that moves on by hops, without copying what stays.

    The buffer is written twice (mirrored), so that the window is always one contiguous view, valid until the next `push`.
    Time is counted in samples from the first one's capture time; a gap in capture times of more than half a window starts anew,
    a smaller one is slewed slowly, so that bursts of a sound card do not make time jump.
    """

    def __init__(self, spec: Audio) -> None:
        self._size = spec.window_samples
        self._hop = spec.hop_samples
        self._rate = spec.sample_rate_hz
        self._buffer = np.zeros(2 * self._size, np.float32)
        self.restart()

    def restart(self) -> None:
        """Forget everything; the next sample starts a new stream."""
        self._buffer[:] = 0
        self._written = 0  # samples since the start
        self._until_hop = self._hop
        self._start_ns: int | None = None

    def feed(self, samples: np.ndarray, captured_ns: int) -> _Windows:
        """Take samples `(n,)`; iterate over (window float32 `(1, window_samples)`, capture time of its end) per finished hop.

        A window is a view: use it before asking for the next.
        """
        self._keep_time(captured_ns)
        return _Windows(self, samples)

    def end_ns(self) -> int:
        """Capture time of the end of the newest sample."""
        return (self._start_ns or 0) + self._written * 1_000_000_000 // self._rate

    def _keep_time(self, captured_ns: int) -> None:
        if self._start_ns is None:
            self._start_ns = captured_ns
            return
        drift_ns = captured_ns - self.end_ns()
        if abs(drift_ns) > self._size * 500_000_000 // self._rate:
            self.restart()
            self._start_ns = captured_ns
        else:
            self._start_ns += drift_ns // 64

    def _write(self, samples: np.ndarray) -> None:
        count, size = samples.size, self._size
        position = self._written % size
        first = min(count, size - position)
        for start in (position, position + size):
            self._buffer[start : start + first] = samples[:first]
        if first < count:
            rest = samples[first:]
            self._buffer[: rest.size] = rest
            self._buffer[size : size + rest.size] = rest
        self._written += count

    def _window(self) -> np.ndarray:
        position = self._written % self._size
        return self._buffer[position : position + self._size][np.newaxis]


class _Windows:
    """Iterates over the hops that a block of samples completes."""

    def __init__(self, sliding: SlidingWindow, samples: np.ndarray) -> None:
        self._sliding = sliding
        self._samples = samples

    def __iter__(self) -> _Windows:
        return self

    def __next__(self) -> tuple[np.ndarray, int]:
        sliding = self._sliding
        if self._samples.size < sliding._until_hop:
            sliding._write(self._samples)
            sliding._until_hop -= self._samples.size
            self._samples = self._samples[:0]
            raise StopIteration
        sliding._write(self._samples[: sliding._until_hop])
        self._samples = self._samples[sliding._until_hop :]
        sliding._until_hop = sliding._hop
        return sliding._window(), sliding.end_ns()
