"""Network cameras that show what a test gives them."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from edgemm.errors import MissingDependencyError, UsageError
from edgemm.host.optional import require
from edgemm.testing.faults.servers.child import Server, command_output

LOGIN = "admin:hunter2"
"""Who is let in at `/locked`."""
SYSTEM_PYTHON = "/usr/bin/python3"  # GStreamer's bindings come with the system, not from PyPI
_HERE = Path(__file__).parent
_NEEDS_GSTREAMER = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def red(height: int, width: int) -> np.ndarray:
    """A red picture."""
    return np.full((height, width, 3), (220, 20, 20), np.uint8)


class MjpegCamera(Server):
    """An MJPEG camera over HTTP. The path says what it does:

    `cam` sends pictures until the reader goes; `short` ends after five; `stall` sends five and then nothing; `drip` sends five, and then a byte now and
    then; `lie` sends every other time what is no picture; `locked` asks for `LOGIN`; `page` is a web page; anything else is not there.

    Args:
        picture: what it shows: uint8 RGB `(H, W, 3)`, which is encoded by PyAV, or a JPEG.
        rate_hz: pictures per second, at most.

    Raises:
        MissingDependencyError: PyAV is not installed, and an array was given.
        SourceError: it does not start.
    """

    def __init__(self, picture: np.ndarray | bytes | None = None, *, rate_hz: float = 30.0) -> None:
        jpeg = _jpeg(red(48, 64) if picture is None else picture)
        super().__init__(sys.executable, "-I", str(_HERE / "mjpeg_server.py"), str(rate_hz))
        self.send(jpeg)

    def url(self, path: str = "cam", login: str = "") -> str:
        """Where it is read."""
        return f"http://{login}{'@' if login else ''}127.0.0.1:{self.port}/{path}"

    def show(self, picture: np.ndarray | bytes) -> None:
        """Show this from now on."""
        self.send(_jpeg(picture))


class RtspCamera(Server):
    """An RTSP camera with H.264, by GStreamer; its path is `cam`.

    Args:
        picture: what it shows, uint8 RGB `(H, W, 3)`, sides in multiples of 4.
        rate_hz: pictures per second.

    Raises:
        MissingDependencyError: GStreamer's RTSP server is not installed.
        SourceError: it does not start.
    """

    def __init__(self, picture: np.ndarray | None = None, *, rate_hz: int = 20) -> None:
        picture = red(120, 160) if picture is None else picture
        self._shape = picture.shape
        if picture.ndim != 3 or picture.shape[2] != 3 or any(side % 4 for side in picture.shape[:2]):
            raise UsageError(f"expected a picture (H, W, 3) with sides in multiples of 4, got {picture.shape}")
        if command_output([SYSTEM_PYTHON, "-c", _NEEDS_GSTREAMER]) is None:
            raise MissingDependencyError("no GStreamer RTSP server: apt install python3-gi gir1.2-gst-rtsp-server-1.0")
        height, width, _ = picture.shape
        words = (str(rate_hz), str(width), str(height))
        super().__init__(SYSTEM_PYTHON, "-I", str(_HERE / "rtsp_server.py"), *words)
        self.show(picture)

    def url(self, login: str = "") -> str:
        """Where it is read."""
        return f"rtsp://{login}{'@' if login else ''}127.0.0.1:{self.port}/cam"

    def show(self, picture: np.ndarray) -> None:
        """Show this from now on; of the same size as the first."""
        if picture.shape != self._shape or picture.dtype != np.uint8:
            raise UsageError(f"expected uint8 {self._shape}, got {picture.dtype} {picture.shape}")
        self.send(picture.tobytes())


def _jpeg(picture: np.ndarray | bytes) -> bytes:
    if isinstance(picture, bytes):
        return picture
    av = require("av", "media", "a camera that is shown arrays")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
