"""Decoded sound of any rate and layout to mono blocks of 20 ms at the model's rate, with the time of their first sample.

Time is the decoder's at the start, then counted in samples; a gap in the decoder's time starts a new count, so that lost sound
does not shift what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemm.errors import SourceError
from edgemm.limits import HIGHEST_HZ, LOWEST_HZ
from edgemm_plugins.inputs.audio import Sound

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

BLOCK_MS = 20
GAP_NS = 40_000_000  # containers round to the millisecond; a frame is 20 ms or so
SECOND_NS = 1_000_000_000


class SoundBlocks:
    """Converts the frames of one sound stream.

    Channels are averaged, so that mono is never louder than what it was made of.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._size = max(1, sample_rate_hz * BLOCK_MS // 1000)
        self._resampler: Any = None
        self._rest = np.zeros(0, np.float32)
        self._start_ns = 0
        self._given = 0  # samples given out since the start
        self._expected_ns = 0
        self._form: tuple[Any, ...] = ()  # what the frames are; it may change midway

    def push(self, time_ns: int, frame: AudioFrame) -> Iterator[tuple[int, Sound]]:
        """Take a frame whose first sample is at `time_ns`; yields (time of first sample, block).

        Raises:
            SourceError: it has a rate that no recorder has.
        """
        if not LOWEST_HZ <= frame.sample_rate <= HIGHEST_HZ:
            raise SourceError(f"sound at {frame.sample_rate} Hz is not read, only at {LOWEST_HZ} to {HIGHEST_HZ} Hz")
        form = (frame.sample_rate, frame.format.name, frame.layout.name)
        if self._resampler is None or abs(time_ns - self._expected_ns) > GAP_NS or form != self._form:
            yield from self.flush()
            time_ns = max(time_ns, self._expected_ns)  # sound that overlaps what was given follows it
            self._restart(time_ns)
            self._expected_ns, self._form = time_ns, form
        self._expected_ns += frame.samples * SECOND_NS // frame.sample_rate
        yield from self._blocks(self._resampler.resample(frame))

    def flush(self) -> Iterator[tuple[int, Sound]]:
        """What is left, the last block short; the next frame starts anew."""
        if self._resampler is None:
            return
        resampler, self._resampler = self._resampler, None
        yield from self._blocks(resampler.resample(None))
        if self._rest.size:
            yield self._block(self._rest)
            self._rest = self._rest[:0]

    def _restart(self, time_ns: int) -> None:
        import av

        # Packed: of planes PyAV sees more than there are when a damaged file has many channels, and reads what is nobody's.
        self._resampler = av.AudioResampler(format="flt", rate=self._rate)
        self._start_ns, self._given, self._rest = time_ns, 0, np.zeros(0, np.float32)

    def _blocks(self, frames: list[AudioFrame]) -> Iterator[tuple[int, Sound]]:
        for frame in filter(lambda frame: frame.samples, frames):
            mono = frame.to_ndarray().reshape(frame.samples, -1).mean(axis=1, dtype=np.float32)
            self._rest = np.concatenate([self._rest, mono])
        while self._rest.size >= self._size:
            block, self._rest = self._rest[: self._size], self._rest[self._size :]
            yield self._block(block)

    def _block(self, samples: np.ndarray) -> tuple[int, Sound]:
        time_ns = self._start_ns + self._given * SECOND_NS // self._rate
        self._given += samples.size
        return time_ns, Sound(np.clip(samples, -1.0, 1.0), self._rate)
