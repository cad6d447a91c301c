"""Sound to windows: one window for a single call, one that moves on by hops for a stream. Resampling belongs to the sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgemm.errors import InputError, SpecError
from edgemm.inputs.kind import Feed, InputKind, Tensors, check_positive, not_this
from edgemm.inputs.windows import SlidingWindow
from edgemm.limits import HIGHEST_HZ
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
        if self.sample_rate_hz > HIGHEST_HZ:
            raise SpecError(f"audio input: sample_rate_hz must be at most {HIGHEST_HZ}, got {self.sample_rate_hz}")
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
    def period_ms(self) -> float:
        """A window per hop."""
        return 1000.0 * self.hop_samples / self.sample_rate_hz

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
        """A window that slides over the stream; silence stands in front of its beginning."""
        return SlidingWindow(
            self, self.samples, size=self.window_samples, hop=self.hop_samples, rate_hz=self.sample_rate_hz
        )

    def draw(self, count: int, generator: np.random.Generator) -> Tensors:
        """Tones that swell and fade, in a little noise."""
        time_s = np.arange(self.window_samples) / self.sample_rate_hz
        highest_hz = self.sample_rate_hz / 4
        pitches_hz = generator.uniform(min(100, highest_hz / 2), highest_hz, (count, 1))
        loud = np.sin(2 * np.pi * pitches_hz * time_s) * np.sin(np.pi * time_s / max(time_s[-1], 1e-9)) ** 2
        noise = generator.standard_normal((count, self.window_samples)) * 0.05
        return (np.clip(0.5 * loud + noise, -1, 1).astype(np.float32),)

    def example(self, generator: np.random.Generator) -> Any:
        """One hop of sound, as a microphone delivers it."""
        return Sound(self.draw(1, generator)[0][0, -self.hop_samples :], self.sample_rate_hz)

    def describe(self) -> str:
        """One line for people."""
        return f"{self.sample_rate_hz / 1000:g} kHz, {self.window_ms} ms by {self.hop_ms}"
