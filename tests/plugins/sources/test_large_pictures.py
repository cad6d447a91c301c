"""Pictures with more pixels than anybody shows a model are refused before memory is taken for them, wherever they come from."""

from __future__ import annotations

import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edgemm.errors import InputError, SourceError
from edgemm.limits import PICTURE_PIXELS
from edgemm.testing.faults.servers import MjpegCamera
from edgemm_plugins.inputs.clip import Clip
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.sources import camera, edgemm_sources, frames, media_file

pytestmark = pytest.mark.media
IMAGE = {"image": Image(8, 8)}
OPTIONS = {option.name: option.default for entry in edgemm_sources() for option in entry.options} | {"reconnect": False}
MESSAGE = f"a picture in it is damaged, or has more than {PICTURE_PIXELS} pixels, which are not decoded"
READ_AND_MEASURE = """
import re, sys
from pathlib import Path
from edgemm.errors import SourceError
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.sources.media_file import build

source = build(sys.argv[1], {"image": Image(8, 8)}, {"video_stream": 0, "audio_stream": 0})
try:
    shapes = [packet.value.shape for packet in source.packets(lambda: False)]
except SourceError as error:
    print(error)
else:
    print(shapes)
print("MiB", int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10)  # ru_maxrss has its parent's in it
"""


def grey_png(path: Path, width: int, height: int) -> Path:
    """Black, 8 bits a pixel: a thousand times as large as its file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def jpeg(width: int, height: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1, 25)
    picture = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))


def test_a_file_of_192_megapixels_is_refused_before_they_are_allocated(tmp_path: Path) -> None:
    path = grey_png(tmp_path / "large.png", 16_000, 12_000)
    assert path.stat().st_size < 2**20
    done = subprocess.run([sys.executable, "-c", READ_AND_MEASURE, path], capture_output=True, text=True, check=True)
    said, _, taken_mib = done.stdout.rpartition("MiB")
    assert MESSAGE in said
    assert int(taken_mib) < 150, "one plane alone has 183 MiB"


def test_a_film_whose_pictures_grow_midway_gives_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "LIMITS", {"max_pixels": "5000"})
    (tmp_path / "growing.mjpeg").write_bytes(jpeg(64, 48) * 3 + jpeg(128, 96))
    source = media_file.build(str(tmp_path / "growing.mjpeg"), IMAGE, OPTIONS)
    shapes: list[tuple[int, ...]] = []
    with pytest.raises(SourceError, match=MESSAGE):
        shapes.extend(packet.value.shape for packet in source.packets(lambda: False))
    assert shapes == [(48, 64, 3)] * 3


def test_a_camera_that_sends_them_breaks_down_and_says_why(
    mjpeg_camera: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "LIMITS", {"max_pixels": "3000"})
    with pytest.raises(SourceError, match=MESSAGE):
        list(camera.build(mjpeg_camera.url(), IMAGE, OPTIONS).packets(lambda: False))


@pytest.mark.parametrize("version", ["18.0.0", "18.1.0rc1", "20.0"])
def test_no_stream_is_looked_at_without_the_limit(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(av, "__version__", version)
    assert frames.opening({"a": "b"}) == {"options": {"a": "b", "max_pixels": str(PICTURE_PIXELS)}}


def test_a_pyav_that_would_crash_is_told_nothing_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "__version__", "17.1.0")
    assert frames.opening({"a": "b"}) == {"container_options": {"a": "b"}}


@pytest.mark.parametrize("kind", [Image(8, 8), Image(8, 8, "letterbox"), Clip(2, 8, 8)])
def test_a_frame_from_python_is_refused_before_it_is_resized(kind) -> None:
    frame = np.broadcast_to(np.uint8(0), (12_000, 16_000, 3))
    expected = rf"expected a frame of at most {PICTURE_PIXELS} pixels; got uint8 \[12000, 16000, 3\]"
    with pytest.raises(InputError, match=expected):
        list(kind.open_feed().push(frame, 0))


def test_the_largest_frame_that_is_taken_is_taken() -> None:
    frame = np.broadcast_to(np.uint8(7), (4, PICTURE_PIXELS // 4))
    assert Image(2, 2).checked(frame).shape == (4, PICTURE_PIXELS // 4, 3)
    with pytest.raises(InputError, match="at most"):
        Image(2, 2).checked(np.broadcast_to(np.uint8(7), (4, PICTURE_PIXELS // 4 + 1)))
