"""Cameras, a microphone and media files for the tests of the sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from edgemm.testing.faults.fixtures import mjpeg_camera, rtsp_camera, virtual_microphone

__all__ = ["mjpeg_camera", "rtsp_camera", "virtual_microphone"]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


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
