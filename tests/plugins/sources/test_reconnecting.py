"""Cameras and microphones that break down are taken up again."""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import av
import numpy as np
import pytest

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.sources import camera, edgemm_sources, microphone
from edgemm_plugins.sources.camera_opening import LoginRefusedError
from edgemm_plugins.sources.reconnecting import FIRST_S, LIMIT_S, REFUSED_S, Backoff

OPTIONS = {entry.name: {option.name: option.default for option in entry.options} for entry in edgemm_sources()}
CAMERA = OPTIONS["camera"] | {"read_timeout_s": 2.0}
IMAGE, AUDIO = {"cam": Image(96, 96)}, {"audio": Audio(8000)}
BACK_S = 5.0  # what is promised; the server's own start does not count


class Reader:
    """Reads a source on a thread of its own, as a stream does."""

    def __init__(self, source) -> None:
        self.source, self.packets, self.error = source, [], None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for packet in self.source.packets(lambda: False):
                self.packets.append(packet)
        except SourceError as error:
            self.error = error

    def next_packets(self, count: int, timeout_s: float) -> list[Packet]:
        """The next ones to come."""
        have = len(self.packets)
        assert until(lambda: len(self.packets) >= have + count, timeout_s), (self.source.absent, self.error)
        return self.packets[have : have + count]

    def close(self) -> None:
        self.source.close()
        self._thread.join(5)
        assert not self._thread.is_alive()


def until(holds: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


@pytest.fixture
def reading() -> Iterator[Callable[..., Reader]]:
    readers: list[Reader] = []

    def read(source) -> Reader:
        readers.append(Reader(source))
        return readers[-1]

    yield read
    for reader in readers:
        reader.close()


def in_order(packets: list[Packet]) -> bool:
    times = [packet.captured_ns for packet in packets]
    numbers = [packet.sequence for packet in packets]
    return times == sorted(times) and all(np.diff(numbers) > 0)


@pytest.mark.slow
@pytest.mark.media
@pytest.mark.parametrize("which", ["mjpeg_camera", "rtsp_camera"])
def test_a_network_camera_is_back_soon_after_its_server_three_times(which, request, reading) -> None:
    server = request.getfixturevalue(which)
    reader = reading(camera.build(server.url(), IMAGE, CAMERA))
    reader.next_packets(3, 10)
    for _ in range(3):
        assert reader.source.absent == ""
        server.kill()
        assert until(lambda: "refused" in reader.source.absent, 10)
        server.start()
        reader.next_packets(3, BACK_S)
    assert in_order(reader.packets)
    assert reader.error is None


@pytest.mark.media
def test_a_camera_may_come_later_where_that_is_asked_for(mjpeg_camera, reading) -> None:
    mjpeg_camera.kill()
    reader = reading(camera.build(mjpeg_camera.url(), IMAGE, CAMERA | {"wait_at_start": True}))
    assert until(lambda: "refused" in reader.source.absent, 5)
    mjpeg_camera.start()
    reader.next_packets(3, BACK_S)


def test_a_camera_that_was_never_there_is_an_error(unused_port, reading) -> None:
    reader = reading(camera.build(f"http://127.0.0.1:{unused_port}/cam", IMAGE, CAMERA))
    assert until(lambda: reader.error is not None, 5)


# What has no server here: a local camera that is plugged out and in, a login that is refused, a recording that ends


class Plugged:
    """What a v4l2 camera's container is to its reader: `count` pictures, then the error of a device that has gone."""

    duration = None

    def __init__(self, count: int = 3, error: Exception | None = None) -> None:
        decoder = SimpleNamespace(options={})
        self.streams = SimpleNamespace(video=[SimpleNamespace(thread_type="", codec_context=decoder)])
        self._count, self._error, self.closed = count, error, False

    def demux(self, stream):
        for _ in range(self._count):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            yield SimpleNamespace(decode=lambda frame=frame: [frame])
        if self._error:
            raise self._error

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def openings(monkeypatch, tmp_path) -> Callable[..., camera.Camera]:
    """A local camera whose openings are given, one after the other."""

    def make(*script, **options) -> camera.Camera:
        left = list(script)

        def open_camera(location, options):
            opened = left.pop(0) if left else SourceError("cannot be opened: No such device")
            if isinstance(opened, Exception):
                raise opened
            return opened

        monkeypatch.setattr(camera, "open_camera", open_camera)
        (tmp_path / "video").touch()
        return camera.build(f"camera:{tmp_path}/video", IMAGE, CAMERA | options)

    return make


def test_a_local_camera_that_is_plugged_in_again_goes_on(openings, reading) -> None:
    gone = OSError(19, "No such device")
    first, second = Plugged(error=gone), Plugged(error=gone)
    reader = reading(openings(first, SourceError("cannot be opened: No such file"), second))
    assert until(lambda: second.closed, 5)
    assert until(lambda: "cannot be opened: No such device" in reader.source.absent, 5)
    assert first.closed
    assert reader.packets[-1].sequence == 5
    assert reader.error is None


def test_without_reconnect_a_break_down_is_an_error(openings, reading) -> None:
    reader = reading(openings(Plugged(error=OSError(19, "No such device")), Plugged(), reconnect=False))
    assert until(lambda: reader.error is not None, 5)
    assert "broke down: No such device" in str(reader.error)


def test_a_recording_that_is_over_is_not_played_again(openings, reading) -> None:
    recording, again = Plugged(), Plugged()
    recording.duration = 120_000
    reader = reading(openings(recording, again))
    assert until(lambda: reader.error is not None, 5)
    assert not again.closed


def test_closing_ends_the_waiting(openings) -> None:
    reader = Reader(openings(Plugged()))
    assert until(lambda: "cannot be opened" in reader.source.absent, 5)
    reader.close()
    assert reader.error is None


def test_closing_ends_the_readers_thread_too_while_it_waits(openings, monkeypatch) -> None:
    monkeypatch.setattr(Backoff, "wait_s", lambda self, **said: 30.0)
    reader = Reader(openings(Plugged()))
    assert until(lambda: bool(reader.source.absent), 5)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "edgemm camera cam"]
    reader.close()
    thread.join(2)
    assert not thread.is_alive()


def test_each_break_down_is_logged_without_the_login(unused_port, caplog, reading) -> None:
    url = f"http://ann:hunter2@127.0.0.1:{unused_port}/cam?token=hunter2"
    reading(camera.build(url, IMAGE, CAMERA | {"wait_at_start": True}))
    assert until(lambda: any(record.name == "edgemm.sources" for record in caplog.records), 5)
    assert "Connection refused" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_refused_login_is_not_tried_often(openings, reading, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(Backoff, "wait_s", lambda self, **said: asked.append(said) or 0.01)
    reader = reading(openings(Plugged(), LoginRefusedError("cannot be opened: (401)")))
    assert until(lambda: len(asked) > 2, 5)
    assert reader.source.absent
    assert [said["refused"] for said in asked[:3]] == [False, True, False]


def test_waiting_grows_to_a_limit_and_begins_anew() -> None:
    backoff = Backoff()
    longest = [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S, LIMIT_S, LIMIT_S]
    waited = [backoff.wait_s(steady=False) for _ in longest]
    assert all(limit / 2 <= wait_s <= limit for wait_s, limit in zip(waited, longest, strict=True))
    assert len({wait_s / limit for wait_s, limit in zip(waited, longest, strict=True)}) == len(waited)
    assert backoff.wait_s(steady=True) <= FIRST_S
    assert backoff.wait_s(steady=True, refused=True) >= REFUSED_S / 2


# Microphones


@pytest.mark.slow
@pytest.mark.media
def test_a_microphone_is_back_soon_after_its_server_three_times(virtual_microphone, reading) -> None:
    tone = 8000 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)
    virtual_microphone.play(tone)
    reader = reading(microphone.build("mic:pulse", AUDIO, OPTIONS["microphone"] | {"read_timeout_s": 1.0}))
    reader.next_packets(10, 10)
    for _ in range(3):
        virtual_microphone.kill()
        assert until(lambda: bool(reader.source.absent), 10)
        virtual_microphone.start()
        virtual_microphone.play(tone)
        packets = reader.next_packets(60, BACK_S + 1.2)  # the sound itself takes 1.2 s
        samples = np.concatenate([packet.value.samples for packet in packets])[-4000:]
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
        assert abs(np.argmax(spectrum) * 8000 / samples.size - 500) < 5
    assert in_order(reader.packets)
    assert reader.error is None
