"""The microphone, by PortAudio. Its callback only copies; time is counted in samples, so that bursts do not make it jump.

A device that refuses the model's rate is opened at its own, and resampled.

Source: https://python-sounddevice.readthedocs.io
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemm.errors import MissingDependencyError, SourceError
from edgemm.host.interfaces import Packet
from edgemm.host.optional import require
from edgemm.inputs.kind import InputKind
from edgemm.log import clean
from edgemm.uris import parse
from edgemm_plugins.inputs.audio import Sound
from edgemm_plugins.sources.asked_inputs import one_input, sample_rate_hz
from edgemm_plugins.sources.reconnecting import LOG, STEADY_S, Backoff
from edgemm_plugins.sources.stream_clock import StreamClock

if TYPE_CHECKING:
    from types import ModuleType

BLOCK_MS = 20
HELD_BLOCKS = 256  # 5 s: more than that behind, and the oldest sound is of no use
_OPEN: set[Microphone] = set()  # those of this process: PortAudio has one list of devices, made once for all
_LOOKING = threading.Lock()
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
        absent: why it delivers nothing at the moment; "" while it does.
        overflows: how often the device reported that sound was lost.
        dropped: blocks dropped because nobody read them in time.
    """

    live = True

    def __init__(
        self, sounddevice: ModuleType, device: str, input: str, sample_rate_hz: int, options: Mapping[str, Any]
    ) -> None:
        self.inputs: tuple[str, ...] = (input,)
        self.absent = ""
        self.overflows = 0
        self.dropped = 0
        self._device: int | str | None = int(device) if device.isdigit() else device or None
        self._name = f"mic:{device}"
        self._rate = sample_rate_hz
        self._options = options
        self._sounddevice = sounddevice
        self._closed = False
        self._blocks: queue.Queue[tuple[np.ndarray, int] | None] = queue.Queue(HELD_BLOCKS)
        self._sequence = 0  # of the next packet
        self._device_rate = sample_rate_hz
        if not options["wait_at_start"]:
            self._checked_rate()

    def packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        """`Sound` blocks of 20 ms at the input's rate; silence is sound too.

        Raises:
            SourceError: when the device cannot be opened; later only with `reconnect` off, when it gives no sound for `read_timeout_s`.
        """
        backoff = Backoff()
        while not stopped() and not self._closed:
            started, before = time.monotonic(), self._sequence
            reason = yield from self._open_and_read(stopped)
            if not reason:
                return
            if not (self._options["reconnect"] if self._sequence else self._options["wait_at_start"]):
                raise SourceError(f"'{self._name}' {reason}")
            self.absent = reason
            LOG.warning("'%s' %s; it is tried again", self._name, clean(reason))
            steady = self._sequence > before and time.monotonic() - started > STEADY_S
            until = time.monotonic() + backoff.wait_s(steady=steady)
            while time.monotonic() < until and not stopped() and not self._closed:
                time.sleep(POLL_S / 2)

    def _open_and_read(self, stopped: Callable[[], bool]) -> Generator[Packet, None, str]:
        """One opening of the device: says why it ended, "" when that was asked for."""
        try:
            stream = self._open()
        except SourceError as error:
            return str(error)
        try:
            return (yield from self._packets(stopped, stream))
        finally:
            stream.close(ignore_errors=True)
            _OPEN.discard(self)
            self._blocks = queue.Queue(HELD_BLOCKS)  # what nobody took is of before

    def close(self) -> None:
        """End `packets` at once."""
        self._closed = True
        with suppress(queue.Full):  # then the reader is not waiting
            self._blocks.put_nowait(None)

    def __repr__(self) -> str:
        return f"Microphone({self._name!r}, input={self.inputs[0]!r})"

    def _checked_rate(self) -> int:
        """As `_choose_rate`; the error names the microphone."""
        try:
            return self._choose_rate()
        except SourceError as error:
            raise SourceError(f"'{self._name}' {error}") from None

    def _choose_rate(self) -> int:
        """The model's rate where the device takes it, else the device's own."""
        sounddevice = self._sounddevice
        try:
            own = sounddevice.query_devices(self._device, "input")
        except (ValueError, sounddevice.PortAudioError) as error:
            raise SourceError(f"is not there: {_one_line(error)}\n  {_known(sounddevice)}") from None
        try:
            sounddevice.check_input_settings(self._device, channels=1, dtype="float32", samplerate=self._rate)
        except (ValueError, sounddevice.PortAudioError):
            return int(own["default_samplerate"])
        return self._rate

    def _open(self) -> Any:
        with _LOOKING:
            if (
                self.absent and not _OPEN
            ):  # let PortAudio find devices that have come since it began, which closes all that are open
                self._sounddevice._terminate()
                self._sounddevice._initialize()
            stream = self._started()
            _OPEN.add(self)
        return stream

    def _started(self) -> Any:
        sounddevice = self._sounddevice
        self._device_rate = self._choose_rate()
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
            raise SourceError(f"cannot be opened: {_one_line(error)}\n  {_known(sounddevice)}") from None
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

    def _packets(self, stopped: Callable[[], bool], stream: Any) -> Generator[Packet, None, str]:
        clock, resample = StreamClock(), _resampler(self._device_rate, self._rate)
        arrived = given = 0  # samples in, samples out
        heard = time.monotonic()
        while not stopped() and not self._closed:
            try:
                taken = self._blocks.get(timeout=POLL_S)
            except queue.Empty:
                if time.monotonic() - heard > self._options["read_timeout_s"] or not getattr(stream, "active", True):
                    return (
                        f"gave no sound for {time.monotonic() - heard:.1f} s; was it unplugged, or its server stopped?"
                    )
                continue
            if taken is None:
                return ""
            block, arrival_ns = taken
            heard = time.monotonic()
            arrived += block.size
            # What arrives was captured up to its arrival: the end of the block is what the clock maps.
            end_ns = arrived * 1_000_000_000 // self._device_rate
            offset_ns = clock.stamp(end_ns, arrival_ns) - end_ns
            samples = resample(block)
            if samples.size:
                captured_ns = offset_ns + given * 1_000_000_000 // self._rate
                self.absent = ""
                yield Packet(self.inputs[0], Sound(samples, self._rate), captured_ns, self._sequence)
                given += samples.size
                self._sequence += 1
        return ""


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
