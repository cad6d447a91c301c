"""The microphone, by PortAudio. Its callback only copies; time is counted in samples, so that bursts do not make it jump.

A device that refuses the model's rate is opened at its own, and resampled.

Source: https://python-sounddevice.readthedocs.io
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemm.errors import MissingDependencyError, SourceError
from edgemm.host.interfaces import Packet
from edgemm.host.optional import require
from edgemm.inputs.kind import InputKind
from edgemm.uris import parse
from edgemm_plugins.inputs.audio import Sound
from edgemm_plugins.sources.asked_inputs import one_input, sample_rate_hz
from edgemm_plugins.sources.stream_clock import StreamClock

if TYPE_CHECKING:
    from types import ModuleType

BLOCK_MS = 20
HELD_BLOCKS = 256  # 5 s: more than that behind, and the oldest sound is of no use
POLL_S = 0.1  # how soon a waiting reader notices that its stream has stopped


def build(uri: str, inputs: Mapping[str, InputKind], options: Mapping[str, Any]) -> Microphone:
    """`mic:` or `mic:DEVICE`, a number or a part of the device's name, for one audio input.

    Raises:
        MissingDependencyError: PortAudio is not installed.
        SourceError: there is no such device, or the input does not say at which rate it takes sound.
    """
    name, spec = one_input(uri, inputs, "audio")
    rate_hz = sample_rate_hz(uri, name, spec)
    return Microphone(load_sounddevice(), parse(uri).rest, name, rate_hz, options)


def load_sounddevice() -> ModuleType:
    """The sounddevice module.

    Raises:
        MissingDependencyError: it, or the PortAudio library below it, is not installed.
    """
    try:
        return require("sounddevice", "media", "the microphone")
    except MissingDependencyError as error:
        if not isinstance(error.__cause__, OSError):
            raise
    raise MissingDependencyError(
        "the microphone needs the PortAudio library, which is not installed: sudo apt install libportaudio2"
    )


class Microphone:
    """A `Source` that reads one microphone.

    Attributes:
        overflows: how often the device reported that sound was lost.
        dropped: blocks dropped because nobody read them in time.
    """

    live = True

    def __init__(
        self, sounddevice: ModuleType, device: str, input: str, sample_rate_hz: int, options: Mapping[str, Any]
    ) -> None:
        self.inputs: tuple[str, ...] = (input,)
        self.overflows = 0
        self.dropped = 0
        self._device: int | str | None = int(device) if device.isdigit() else device or None
        self._name = f"mic:{device}"
        self._rate = sample_rate_hz
        self._options = options
        self._sounddevice = sounddevice
        self._closed = False
        self._blocks: queue.Queue[tuple[np.ndarray, int] | None] = queue.Queue(HELD_BLOCKS)
        self._device_rate = self._choose_rate()

    def packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        """`Sound` blocks of 20 ms at the input's rate; silence is sound too.

        Raises:
            SourceError: when the device cannot be opened, or gives no sound for `read_timeout_s`.
        """
        stream = self._open()
        try:
            yield from self._packets(stopped)
        finally:
            self._closed = True
            stream.close(ignore_errors=True)

    def close(self) -> None:
        """End `packets` at once."""
        self._closed = True
        with suppress(queue.Full):  # then the reader is not waiting
            self._blocks.put_nowait(None)

    def __repr__(self) -> str:
        return f"Microphone({self._name!r}, input={self.inputs[0]!r})"

    def _choose_rate(self) -> int:
        """The model's rate where the device takes it, else the device's own."""
        sounddevice = self._sounddevice
        try:
            own = sounddevice.query_devices(self._device, "input")
        except (ValueError, sounddevice.PortAudioError) as error:
            raise SourceError(f"'{self._name}': {_one_line(error)}\n  {_known(sounddevice)}") from None
        try:
            sounddevice.check_input_settings(self._device, channels=1, dtype="float32", samplerate=self._rate)
        except (ValueError, sounddevice.PortAudioError):
            return int(own["default_samplerate"])
        return self._rate

    def _open(self) -> Any:
        sounddevice = self._sounddevice
        try:
            stream = sounddevice.InputStream(
                device=self._device,
                channels=1,
                dtype="float32",
                samplerate=self._device_rate,
                blocksize=max(1, self._device_rate * BLOCK_MS // 1000),
                latency=self._options["latency_s"],
                callback=self._take,
            )
            stream.start()
        except (ValueError, sounddevice.PortAudioError) as error:
            raise SourceError(f"'{self._name}' cannot be opened: {_one_line(error)}\n  {_known(sounddevice)}") from None
        return stream

    def _take(self, block: np.ndarray, frames: int, times: Any, status: Any) -> None:
        """PortAudio's callback, on its thread: copy and go."""
        arrival_ns = time.monotonic_ns()
        if status.input_overflow:
            self.overflows += 1
        try:
            self._blocks.put_nowait((block[:, 0].copy(), arrival_ns))
        except queue.Full:
            self.dropped += 1

    def _packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        clock, resample = StreamClock(), _resampler(self._device_rate, self._rate)
        arrived = given = sequence = 0  # samples in, samples out, packets
        heard = time.monotonic()
        while not stopped() and not self._closed:
            try:
                taken = self._blocks.get(timeout=POLL_S)
            except queue.Empty:
                self._check_alive(heard)
                continue
            if taken is None:
                return
            block, arrival_ns = taken
            heard = time.monotonic()
            arrived += block.size
            # What arrives was captured up to its arrival: the end of the block is what the clock maps.
            end_ns = arrived * 1_000_000_000 // self._device_rate
            offset_ns = clock.stamp(end_ns, arrival_ns) - end_ns
            samples = resample(block)
            if samples.size:
                captured_ns = offset_ns + given * 1_000_000_000 // self._rate
                yield Packet(self.inputs[0], Sound(samples, self._rate), captured_ns, sequence)
                given += samples.size
                sequence += 1

    def _check_alive(self, heard: float) -> None:
        if time.monotonic() - heard > self._options["read_timeout_s"]:
            raise SourceError(
                f"'{self._name}' gave no sound for {self._options['read_timeout_s']:g} s; was it unplugged, or its server stopped?"
            )


def _resampler(source_hz: int, target_hz: int) -> Callable[[np.ndarray], np.ndarray]:
    """Blocks at one rate to blocks at another, 2 ms late; FFmpeg's, because soxr holds streams back by 60 to 120 ms."""
    if source_hz == target_hz:
        return lambda block: block
    av = require("av", "media", f"a microphone of {source_hz} Hz for a model of {target_hz} Hz")
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=target_hz)
    taken = 0

    def resample(block: np.ndarray) -> np.ndarray:
        nonlocal taken
        frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = source_hz, taken
        taken += block.size
        made = [part.to_ndarray()[0] for part in resampler.resample(frame)]
        limited: np.ndarray = np.clip(np.concatenate(made), -1.0, 1.0) if made else np.zeros(0, np.float32)
        return limited

    return resample


def _known(sounddevice: ModuleType) -> str:
    found = [device["name"] for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    if not found:
        return "this machine has no microphone that PortAudio sees; leave the input out, or give it a file"
    return "known: " + ", ".join(f"mic:{name}" for name in found)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
