"""Cameras, a microphone and media files for the tests of the sources. Every server ends with its test."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

SERVERS = Path(__file__).parent / "servers"
SYSTEM_PYTHON = "/usr/bin/python3"
START_S = 20.0
FEEDER = """
import sys, time
data, file, start, block = sys.stdin.buffer.read(), open(sys.argv[1], "wb", 0), time.monotonic(), 640
for number in range(6000):
    time.sleep(max(0, start + number * 0.02 - time.monotonic()))
    position = number * block % len(data)
    file.write(data[position : position + block])
"""


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _start(command: list[str]) -> tuple[subprocess.Popen, int]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else ""
    if not line.strip():
        _stop(process)
        pytest.fail(f"{Path(command[1]).name} did not start within {START_S:g} s")
    return process, int(line)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


class Restartable:
    """A camera's server that can be killed, and started again at its port."""

    def __init__(self, python: str, script: str) -> None:
        self._command = [python, str(SERVERS / script)]
        self.process, self.port = _start([*self._command, "0"])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)

    def start(self) -> None:
        _stop(self.process)
        self.process, _ = _start([*self._command, str(self.port)])

    def close(self) -> None:
        _stop(self.process)


@pytest.fixture
def mjpeg_server() -> Iterator[Restartable]:
    """The MJPEG camera, to be killed and started again."""
    server = Restartable(sys.executable, "mjpeg_server.py")
    yield server
    server.close()


@pytest.fixture
def mjpeg_camera(mjpeg_server: Restartable) -> str:
    """`127.0.0.1:PORT` of the MJPEG camera."""
    return f"127.0.0.1:{mjpeg_server.port}"


@pytest.fixture
def rtsp_server() -> Iterator[Restartable]:
    """The RTSP camera, to be killed and started again."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip("no GStreamer RTSP server: apt install python3-gi gir1.2-gst-rtsp-server-1.0")
    server = Restartable(SYSTEM_PYTHON, "rtsp_server.py")
    yield server
    server.close()


@pytest.fixture
def rtsp_camera(rtsp_server: Restartable) -> tuple[str, subprocess.Popen]:
    """The URL of the RTSP camera, and its process to kill."""
    return f"rtsp://127.0.0.1:{rtsp_server.port}/cam", rtsp_server.process


class Pulse:
    """A PulseAudio server in a folder of its own, with a microphone that hears a FIFO; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.fifo = folder / "mic.fifo"
        self._script = folder / "mic.pa"
        self._script.write_text(
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={folder}/native\n"
            f"load-module module-pipe-source source_name=mic file={self.fifo} format=s16le rate=16000 channels=1\n"
            "set-default-source mic\n"
        )
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        for left in (self.fifo, self.fifo.with_name("native")):  # by a server that was killed
            left.unlink(missing_ok=True)
        options = ["--daemonize=no", "--exit-idle-time=-1", "--realtime=no", "--high-priority=no", "--use-pid-file=no"]
        self.process = subprocess.Popen(
            ["pulseaudio", "-n", "-F", str(self._script), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_S
        while subprocess.run(["pactl", "info"], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.fail(f"pulseaudio did not start within {START_S:g} s")
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(5)


@pytest.fixture
def pulse(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    """The server of the virtual microphone."""
    for program in ("pulseaudio", "pactl"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}: apt install pulseaudio pulseaudio-utils libasound2-plugins")
    try:
        import sounddevice
    except OSError as error:
        pytest.skip(f"{error}: apt install libportaudio2")
    folder = tmp_path_factory.mktemp("pulse")
    for name, value in {"XDG_RUNTIME_DIR": folder, "HOME": folder, "PULSE_SERVER": f"unix:{folder}/native"}.items():
        monkeypatch.setenv(name, str(value))
    server = Pulse(folder)
    try:
        server.start()
        sounddevice._terminate()
        sounddevice._initialize()  # look for devices again, now that there is one
        yield server
    finally:
        sounddevice._terminate()
        sounddevice._initialize()
        if server.process is not None:
            _stop(server.process)


@pytest.fixture
def virtual_microphone(pulse: Pulse) -> Path:
    """A microphone that hears what is written, as s16le mono at 16 kHz, into the FIFO at this path."""
    return pulse.fifo


@pytest.fixture
def write_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write a film: frame i is grey 10 * (i % 20), ten a second, with a 440 Hz tone at 48 kHz that sounds from `tone_from_s` on."""

    def write(
        name: str = "clip.mp4",
        seconds: int = 2,
        tone_from_s: float = 0.0,
        sound: bool = True,
        start: int = 0,
        **options: str,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=options) as container:
            video = container.add_stream("libx264", rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            audio = container.add_stream("aac", rate=48000, layout="stereo") if sound else None
            for number in range(seconds * 10):
                grey = np.full((48, 64, 3), 10 * (number % 20), np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts = number + start
                container.mux(video.encode(frame))
                if audio is not None:
                    container.mux(audio.encode(_tone(number, tone_from_s, start)))
            for stream in (video, audio):
                if stream is not None:
                    container.mux(stream.encode(None))
        return path

    return write


def _tone(number: int, tone_from_s: float, start: int) -> av.AudioFrame:
    time_s = (np.arange(4800) + number * 4800) / 48000
    wave = 0.5 * np.sin(2 * np.pi * 440 * time_s) * (time_s >= tone_from_s)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo")
    frame.rate, frame.pts = 48000, (number + start) * 4800
    return frame


@pytest.fixture
def feed_fifo() -> Iterator[Callable[[Path, np.ndarray], subprocess.Popen]]:
    """Write int16 samples at 16 kHz into a FIFO from a process of its own, as fast as they sound, until the test ends."""
    started: list[subprocess.Popen] = []

    def feed(fifo: Path, samples: np.ndarray) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", FEEDER, str(fifo)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        process.stdin.write(samples.astype("<i2").tobytes())
        process.stdin.close()
        started.append(process)
        return process

    yield feed
    for process in started:
        process.kill()
        process.wait(5)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe, closed after the test."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


@pytest.fixture
def unused_port() -> int:
    """A loopback port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
