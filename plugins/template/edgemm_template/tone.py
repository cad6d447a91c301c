"""A source of sound: `tone:440` is a sine of 440 Hz, ten seconds long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import edgemm
from edgemm.errors import UsageError

SECONDS = 10
BLOCK_MS = 20


def build(uri: str, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> Tone:
    """Make the source of `uri` for the one input that asked for it."""
    (name, spec), *others = inputs.items()
    if others or spec.modality != "audio":
        raise UsageError(f"'{uri}' gives one audio input; asked for: {', '.join(inputs)}")
    try:
        pitch_hz = float(uri.partition(":")[2])
    except ValueError:
        raise UsageError(f"write tone:HERTZ, such as tone:440; got '{uri}'") from None
    return Tone(name, spec.sample_rate_hz, pitch_hz)


class Tone:
    """Recorded, not live: packets carry times from 0 on, and EdgeMM paces them."""

    live = False

    def __init__(self, input: str, sample_rate_hz: int, pitch_hz: float) -> None:
        self.inputs = (input,)
        self._rate = sample_rate_hz
        self._pitch_hz = pitch_hz
        self._closed = False

    def packets(self, stopped: Callable[[], bool]) -> Iterator[edgemm.Packet]:
        """Blocks of 20 ms, until the end or until nobody wants more."""
        size = self._rate * BLOCK_MS // 1000
        for sequence in range(SECONDS * 1000 // BLOCK_MS):
            if stopped() or self._closed:
                return
            time_s = (sequence * size + np.arange(size)) / self._rate
            samples = (0.5 * np.sin(2 * np.pi * self._pitch_hz * time_s)).astype(np.float32)
            captured_ns = sequence * size * 1_000_000_000 // self._rate
            yield edgemm.Packet(self.inputs[0], edgemm.Sound(samples, self._rate), captured_ns, sequence)

    def close(self) -> None:
        """End `packets`; called from another thread."""
        self._closed = True
