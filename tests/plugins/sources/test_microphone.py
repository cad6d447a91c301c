import importlib
import threading
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edgemm.errors import MissingDependencyError, SourceError
from edgemm.host.interfaces import Packet, Source
from edgemm.testing.faults.servers import VirtualMicrophone
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.sources import edgemm_sources, microphone
from edgemm_plugins.sources.microphone import HELD_BLOCKS, Microphone, build

OPTIONS = {
    option.name: option.default for entry in edgemm_sources() if entry.name == "microphone" for option in entry.options
}
AUDIO = {"audio": Audio(8000)}
GOOD = SimpleNamespace(input_overflow=False)


class PortAudioError(Exception):
    pass


class FakeSoundDevice:
    """A sounddevice module with one device, whose callback the test drives."""

    PortAudioError = PortAudioError

    def __init__(self, rates: tuple[int, ...] = (8000, 48000), own_rate: int = 48000) -> None:
        self.rates, self.own_rate = rates, own_rate
        self.opened: dict = {}
        self.closed = False
        self.started = threading.Event()

    def query_devices(self, device=None, kind=None):
        if kind is None:
            return [{"name": "desk mic", "max_input_channels": 1}, {"name": "speaker", "max_input_channels": 0}]
        if device not in (None, 0, "desk mic"):
            raise ValueError(f"No input device matching {device!r}")
        return {"default_samplerate": float(self.own_rate)}

    def check_input_settings(self, device, channels, dtype, samplerate):
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate")

    def InputStream(self, **options):
        self.opened = options
        return SimpleNamespace(start=self.started.set, close=self.close)

    def close(self, ignore_errors=False):
        self.closed = True

    def _terminate(self) -> None:
        pass

    def _initialize(self) -> None:
        pass

    def hear(self, samples: np.ndarray, status=GOOD) -> None:
        self.opened["callback"](samples.astype(np.float32)[:, None], samples.size, None, status)


def listen(fake: FakeSoundDevice, **options: float) -> Microphone:
    return Microphone(fake, "", "audio", 8000, OPTIONS | {"reconnect": False} | options)


def heard(mic: Microphone, fake: FakeSoundDevice, blocks: list[np.ndarray], count: int) -> list[Packet]:
    def speak() -> None:
        fake.started.wait(5)
        for block in blocks:
            fake.hear(block)

    speaker = threading.Thread(target=speak)
    speaker.start()
    packets = []
    for packet in mic.packets(lambda: False):
        packets.append(packet)
        if len(packets) == count:
            mic.close()
    speaker.join(5)
    return packets


def test_blocks_carry_the_time_of_their_first_sample() -> None:
    fake = FakeSoundDevice()
    mic = listen(fake)
    assert isinstance(mic, Source)
    assert mic.live
    before = time.monotonic_ns()
    packets = heard(mic, fake, [np.full(160, number / 10) for number in range(5)], 5)
    assert fake.opened["samplerate"] == 8000
    assert fake.opened["blocksize"] == 160
    assert [packet.sequence for packet in packets] == list(range(5))
    assert [round(float(packet.value.samples[0]), 3) for packet in packets] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert packets[0].captured_ns >= before - 20_000_000
    assert packets[-1].captured_ns <= time.monotonic_ns()
    assert fake.closed


def test_silence_is_sound() -> None:
    fake = FakeSoundDevice()
    packets = heard(listen(fake), fake, [np.zeros(160)] * 10, 10)
    assert len(packets) == 10
    assert all(not packet.value.samples.any() for packet in packets)


def test_a_device_that_refuses_the_rate_is_resampled() -> None:
    fake = FakeSoundDevice(rates=(48000,))
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000) / 2
    packets = heard(listen(fake), fake, list(tone.reshape(50, 960)), 40)
    assert fake.opened["samplerate"] == 48000
    assert all(packet.value.sample_rate_hz == 8000 for packet in packets)
    samples = np.concatenate([packet.value.samples for packet in packets])
    expected = np.sin(2 * np.pi * 440 * np.arange(samples.size) / 8000) / 2
    assert np.abs(samples - expected)[200:].max() < 0.01


def test_overflow_and_unread_blocks_are_counted() -> None:
    fake = FakeSoundDevice()
    mic = listen(fake)
    packets = mic.packets(lambda: False)
    threading.Timer(0.1, lambda: fake.hear(np.zeros(160), SimpleNamespace(input_overflow=True))).start()
    next(packets)
    for _ in range(HELD_BLOCKS + 3):
        fake.hear(np.zeros(160))
    mic.close()
    assert mic.overflows == 1
    assert mic.dropped == 3
    packets.close()
    assert fake.closed


def test_a_device_that_dies_is_an_error() -> None:
    fake = FakeSoundDevice()
    with pytest.raises(SourceError, match=r"'mic:' gave no sound for 0\.2 s; was it unplugged"):
        list(listen(fake, read_timeout_s=0.2).packets(lambda: False))
    assert fake.closed


class Unplugged(FakeSoundDevice):
    """Its first stream falls silent; the next opening fails, and the one after that works. PortAudio must look again for that."""

    def __init__(self) -> None:
        super().__init__()
        self.openings, self.looks = 0, 0

    def InputStream(self, **options):
        self.openings += 1
        if self.openings == 2:
            raise PortAudioError("Device unavailable")
        stream = super().InputStream(**options)
        stream.active = self.openings > 2
        return stream

    def _terminate(self) -> None:
        assert self.closed
        self.looks += 1

    def _initialize(self) -> None:
        self.looks += 10


def test_a_device_that_is_plugged_in_again_goes_on() -> None:
    fake = Unplugged()
    mic = listen(fake, reconnect=True)
    assert mic.absent == ""
    packets = mic.packets(lambda: False)
    threading.Timer(0.1, lambda: fake.hear(np.full(160, 0.25))).start()
    first = next(packets)
    reasons = []

    def speak() -> None:
        deadline = time.monotonic() + 5
        while fake.openings < 3 and time.monotonic() < deadline:
            reasons.append(mic.absent)
            time.sleep(0.01)
        fake.hear(np.full(160, 0.5))

    speaker = threading.Thread(target=speak)
    speaker.start()
    second = next(packets)
    speaker.join(5)
    mic.close()
    assert (first.sequence, second.sequence) == (0, 1)
    assert second.captured_ns > first.captured_ns
    assert second.value.samples[0] == 0.5
    assert any("gave no sound" in reason for reason in reasons)
    assert any("cannot be opened: Device unavailable" in reason for reason in reasons)
    assert mic.absent == ""
    assert fake.looks == 22  # before each try, all closed


def test_portaudio_does_not_look_again_while_another_microphone_is_open() -> None:
    other, fake = FakeSoundDevice(), Unplugged()
    elsewhere = listen(other)
    listening = elsewhere.packets(lambda: False)
    threading.Timer(0.1, lambda: other.hear(np.zeros(160))).start()
    next(listening)
    mic = listen(fake, reconnect=True)
    threading.Timer(2.0, mic.close).start()
    threading.Timer(0.1, lambda: fake.hear(np.zeros(160))).start()
    assert len(list(mic.packets(lambda: False))) == 1
    listening.close()
    assert fake.openings == 3
    assert fake.looks == 0


def test_a_microphone_may_come_later_where_that_is_asked_for() -> None:
    fake = FakeSoundDevice()
    with pytest.raises(SourceError, match="'mic:ear' is not there: No input device matching 'ear'"):
        Microphone(fake, "ear", "audio", 8000, OPTIONS)
    mic = Microphone(fake, "ear", "audio", 8000, OPTIONS | {"wait_at_start": True})
    threading.Timer(0.3, mic.close).start()
    assert list(mic.packets(lambda: False)) == []
    assert "is not there" in mic.absent


def test_an_unknown_device_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone, "load_sounddevice", FakeSoundDevice)
    with pytest.raises(SourceError, match=r"No input device matching 'ear'[\s\S]*known: mic:desk mic$"):
        build("mic:ear", AUDIO, OPTIONS)
    with pytest.raises(SourceError, match="takes image"):
        build("mic:", {"cam": Image(96, 96)}, OPTIONS)


def test_close_unblocks() -> None:
    fake = FakeSoundDevice()
    mic = listen(fake)
    reader = threading.Thread(target=lambda: list(mic.packets(lambda: False)))
    reader.start()
    fake.started.wait(5)
    mic.close()
    mic.close()
    reader.join(5)
    assert not reader.is_alive()


def test_without_portaudio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def refuse(name: str, package: str | None = None) -> ModuleType:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, package)

    monkeypatch.setattr("edgemm.host.optional.importlib.import_module", refuse)
    with pytest.raises(MissingDependencyError, match="sudo apt install libportaudio2"):
        build("mic:", AUDIO, OPTIONS)


@pytest.mark.media
def test_a_virtual_microphone_is_heard(virtual_microphone: VirtualMicrophone) -> None:
    tone = 8000 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)
    virtual_microphone.play(tone)
    mic = build("mic:pulse", AUDIO, OPTIONS)
    packets = []
    for packet in mic.packets(lambda: False):
        packets.append(packet)
        if len(packets) == 60:
            mic.close()
    now = time.monotonic_ns()
    samples = np.concatenate([packet.value.samples for packet in packets])[-4000:]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    assert abs(np.argmax(spectrum) * 8000 / samples.size - 500) < 5
    assert 0.2 < np.abs(samples).max() < 0.3
    times = np.array([packet.captured_ns for packet in packets])
    assert (times <= now).all()
    assert (np.diff(times) >= 0).all()
