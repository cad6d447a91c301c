"""A sensor that is sampled at a rate, as windows: an IMU, a current, a pressure. Single samples or blocks, as drivers deliver them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from edgemm.errors import InputError, SpecError
from edgemm.inputs.kind import Feed, InputKind, Tensors, check_positive, not_this
from edgemm.inputs.windows import SlidingWindow
from edgemm.tensors import BATCH, TensorSpec


@dataclass(frozen=True)
class Motion(InputKind):
    """Samples of a sensor, numbers in its own units, read as a window that moves on by a hop.

    Attributes:
        channels: numbers in one sample; of an IMU six, acceleration and rotation.
        samples: how many a window holds.
        hop: samples between two windows, at most a window.
        rate_hz: samples per second; stamps that are off by more than half a window start anew.
        modality: what it measures, as sources and encoders name it.
    """

    kind: ClassVar[str] = "motion"
    live_packets: ClassVar[int] = 256  # single samples: one or two seconds of them
    channels: int = 6
    samples: int = 100
    hop: int = 10
    rate_hz: float = 100.0
    modality: str = "imu"

    def __post_init__(self) -> None:
        check_positive(self, "channels", "samples", "hop")
        if self.hop > self.samples:
            raise SpecError(f"motion input: hop ({self.hop}) must not exceed samples ({self.samples})")
        rate = self.rate_hz
        if not isinstance(rate, (int, float)) or isinstance(rate, bool) or not isfinite(rate) or rate <= 0:
            raise SpecError(f"motion input: rate_hz must be a number above 0, got {rate!r}")
        object.__setattr__(self, "rate_hz", float(rate))
        if not isinstance(self.modality, str) or not self.modality:
            raise SpecError(f"motion input: modality must be a name such as imu, got {self.modality!r}")

    @property
    def period_ms(self) -> float:
        """A window per hop."""
        return 1000.0 * self.hop / self.rate_hz

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """float32 `(batch, samples, channels)`."""
        return (TensorSpec("motion", "float32", (BATCH, self.samples, self.channels)),)

    def convert(self, raw: Any) -> Tensors:
        """The newest window of a block.

        Raises:
            InputError: for another type or number of channels, or too few samples.
        """
        block = self.block(raw)
        if len(block) < self.samples:
            raise InputError(f"expected at least {self.samples} samples for a window, got {len(block)}")
        return (np.ascontiguousarray(block[len(block) - self.samples :])[np.newaxis],)

    def block(self, raw: Any) -> np.ndarray:
        """float32 `(n, channels)` of one sample `(channels,)` or of a block `(n, channels)`; a view where it is float32 already.

        Raises:
            InputError: for anything else, and for what is not finite.
        """
        expected = f"numbers ({self.channels},), or a block of them (n, {self.channels})"
        if not isinstance(raw, (np.ndarray, list, tuple)):
            raise not_this(expected, raw)
        try:
            block = np.asarray(raw)
        except ValueError:  # lists of several lengths
            raise not_this(expected, raw) from None
        if block.ndim == 1:
            block = block[np.newaxis]
        if block.dtype.kind not in "fiu" or block.ndim != 2 or block.shape[1] != self.channels or not len(block):
            raise not_this(expected, np.asarray(raw))
        block = block.astype(np.float32, copy=False)
        if not np.isfinite(block).all():
            raise InputError(f"expected {expected}; got NaN or infinity among them")
        return block

    def open_feed(self) -> Feed:
        """A window that slides over the stream; nothing until it is full."""
        return SlidingWindow(
            self,
            self.block,
            size=self.samples,
            hop=self.hop,
            rate_hz=self.rate_hz,
            row=(self.channels,),
            first=self.samples,
        )

    def draw(self, count: int, generator: np.random.Generator) -> Tensors:
        """Swings of one to ten periods per window, each channel its own, in a little noise."""
        time = np.linspace(0, 2 * np.pi, self.samples)[:, np.newaxis]
        periods, phases = generator.uniform((1, 0), (10, 2 * np.pi), (count, 1, self.channels, 2)).transpose(3, 0, 1, 2)
        noise = generator.standard_normal((count, self.samples, self.channels)) * 0.05
        return ((np.sin(periods * time + phases) + noise).astype(np.float32),)

    def example(self, generator: np.random.Generator) -> Any:
        """One hop, as a driver that buffers a little delivers it."""
        return self.draw(1, generator)[0][0, -self.hop :]

    def describe(self) -> str:
        """One line for people."""
        return f"{self.channels} channels at {self.rate_hz:g} Hz, {self.samples} samples every {self.hop}"
