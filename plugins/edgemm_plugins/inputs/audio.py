"""Sound to windows: one window for a single call, a ring buffer that moves on by hops for a stream. Resampling belongs to the sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgemm.errors import InputError, SpecError
from edgemm.inputs.kind import Feed, InputKind, Tensors, check_positive, not_this
from edgemm.tensors import BATCH, TensorSpec

_FLOAT32 = np.dtype(np.float32)
_DTYPES = (_FLOAT32, np.dtype(np.int16))


@dataclass(frozen=True)
class Sound:
    """A piece of sound that carries its rate.

    Attributes:
        samples: float32 mono `(n,)` in [-1, 1], or int16 `(n,)`.
        sample_rate_hz: the rate they were taken at.
    """

    samples: np.ndarray
    sample_rate_hz: int


@dataclass(frozen=True)
class Audio(InputKind):
    """Sound, float32 mono in [-1, 1], read as a window that moves on by a hop.

    Attributes:
        sample_rate_hz: rate that the model was trained at; another rate is an error, never a guess.
        window_ms: how much sound one window holds.
        hop_ms: how far the window moves between two encodings of a stream.
    """

    kind: ClassVar[str] = "audio"
    live_packets: ClassVar[int] = 100  # sound comes in blocks of 10 ms or so: a second of them
    sample_rate_hz: int
    window_ms: int = 1000
    hop_ms: int = 100

    def __post_init__(self) -> None:
        check_positive(self, "sample_rate_hz", "window_ms", "hop_ms")
        if self.hop_ms > self.window_ms:
            raise SpecError(f"audio input: hop_ms ({self.hop_ms}) must not exceed window_ms ({self.window_ms})")

    @property
    def window_samples(self) -> int:
        """Samples in one window."""
        return self.sample_rate_hz * self.window_ms // 1000

    @property
    def hop_samples(self) -> int:
        """Samples between two windows."""
        return max(1, self.sample_rate_hz * self.hop_ms // 1000)

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """float32 `(batch, window_samples)`."""
        return (TensorSpec("audio", "float32", (BATCH, self.window_samples)),)

    def convert(self, raw: Any) -> Tensors:
        """The newest window of one sound; shorter sound is padded with silence in front.

        Raises:
            InputError: for another rate, type, dtype or number of axes.
        """
        samples, size = self.samples(raw), self.window_samples
        if samples.size >= size:
            return (np.ascontiguousarray(samples[samples.size - size :])[np.newaxis],)
        window = np.zeros((1, size), np.float32)
        window[0, size - samples.size :] = samples
        return (window,)

    def samples(self, raw: Any) -> np.ndarray:
        """float32 mono `(n,)` of a `Sound`, or of bare samples at the model's rate.

        Raises:
            InputError: for another rate, type, dtype or number of axes.
        """
        if isinstance(raw, Sound):
            if raw.sample_rate_hz != self.sample_rate_hz:
                raise InputError(
                    f"the model takes sound at {self.sample_rate_hz} Hz, got {raw.sample_rate_hz} Hz; resample it first, e.g. "
                    f"soxr.resample(samples, {raw.sample_rate_hz}, {self.sample_rate_hz})"
                )
            raw = raw.samples
        if not isinstance(raw, np.ndarray) or raw.ndim != 1 or raw.dtype not in _DTYPES:
            raise not_this(
                f"sound as edgemm.Sound(samples, sample_rate_hz), or a mono numpy array (n,) of float32 in [-1, 1] or int16 at "
                f"{self.sample_rate_hz} Hz",
                raw,
            )
        return raw if raw.dtype == _FLOAT32 else raw.astype(np.float32) / np.float32(32768.0)

    def open_feed(self) -> Feed:
        """A window that slides over the stream."""
        return SlidingWindow(self)

    def draw(self, count: int, generator: np.random.Generator) -> Tensors:
        """Tones that swell and fade, in a little noise."""
        time_s = np.arange(self.window_samples) / self.sample_rate_hz
        pitches_hz = generator.uniform(100, self.sample_rate_hz / 4, (count, 1))
        loud = np.sin(2 * np.pi * pitches_hz * time_s) * np.sin(np.pi * time_s / max(time_s[-1], 1e-9)) ** 2
        noise = generator.standard_normal((count, self.window_samples)) * 0.05
        return (np.clip(0.5 * loud + noise, -1, 1).astype(np.float32),)

    def example(self, generator: np.random.Generator) -> Any:
        """One hop of sound, as a microphone delivers it."""
        return Sound(self.draw(1, generator)[0][0, -self.hop_samples :], self.sample_rate_hz)

    def describe(self) -> str:
        """One line for people."""
        return f"{self.sample_rate_hz} Hz, {self.window_ms} ms every {self.hop_ms} ms"


class SlidingWindow(Feed):
    """A window over a stream of samples that moves on by hops, without copying what stays.

    A mirrored ring buffer: every sample is written twice, one window apart, so that the newest window is always one contiguous
    view, valid until the next `push`. Time is counted in samples from the first one's capture time. A sound card delivers in bursts, so
    stamps jitter: a gap of more than half a window starts anew, a smaller one is slewed, a sixty-fourth of it per block.
    """

    borrowed = True

    def __init__(self, audio: Audio) -> None:
        super().__init__(audio)
        self._samples = audio.samples
        self._size = audio.window_samples
        self._hop = audio.hop_samples
        self._rate = audio.sample_rate_hz
        self._buffer = np.zeros(2 * self._size, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next sample starts a new stream."""
        self._buffer[:] = 0
        self._written = 0  # samples since the start
        self._until_hop = self._hop
        self._start_ns: int | None = None

    def push(self, raw: Any, captured_ns: int) -> Iterator[tuple[Tensors, int]]:
        """Take a block of sound; iterate over (window float32 `(1, window_samples)`, capture time of its end) per finished hop.

        A window is a view: use it before asking for the next.
        """
        samples = self._samples(raw)
        self._keep_time(captured_ns)
        return self._windows(samples)

    def _windows(self, samples: np.ndarray) -> Iterator[tuple[Tensors, int]]:
        while samples.size >= self._until_hop:
            self._write(samples[: self._until_hop])
            samples = samples[self._until_hop :]
            self._until_hop = self._hop
            yield (self._window(),), self.end_ns()
        self._write(samples)
        self._until_hop -= samples.size

    def end_ns(self) -> int:
        """Capture time of the end of the newest sample."""
        return (self._start_ns or 0) + self._written * 1_000_000_000 // self._rate

    def _keep_time(self, captured_ns: int) -> None:
        if self._start_ns is None:
            self._start_ns = captured_ns
            return
        drift_ns = captured_ns - self.end_ns()
        if abs(drift_ns) > self._size * 500_000_000 // self._rate:
            self.reset()
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
