import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet, Source
from edgemm.streaming.sources import sources_from_inputs
from edgemm.testing.faults.servers import LOGIN, MjpegCamera, RtspCamera
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.sources import edgemm_sources
from edgemm_plugins.sources.camera import build

OPTIONS = {
    option.name: option.default for entry in edgemm_sources() if entry.name == "camera" for option in entry.options
} | {"reconnect": False}
IMAGE = {"cam": Image(96, 96)}


def never() -> bool:
    return False


def first_packets(source: Source, count: int) -> list[Packet]:
    packets = []
    for packet in source.packets(never):
        packets.append(packet)
        if len(packets) == count:
            source.close()
    return packets


def assert_red_and_live(packets: list[Packet], shape: tuple[int, ...]) -> None:
    now = time.monotonic_ns()
    for packet in packets:
        assert packet.value.shape == shape
        assert packet.value.dtype == np.uint8
        assert packet.value.flags.c_contiguous
        red, green, blue = packet.value.reshape(-1, 3).mean(axis=0)
        assert red > 150 > 90 > max(green, blue)
        assert now - 60 * 10**9 < packet.captured_ns <= now
    times = [packet.captured_ns for packet in packets]
    assert times == sorted(times)
    assert (np.diff([packet.sequence for packet in packets]) > 0).all()


@pytest.mark.media
def test_mjpeg_over_http(mjpeg_camera: MjpegCamera) -> None:
    source = build(mjpeg_camera.url(), IMAGE, OPTIONS)
    assert isinstance(source, Source)
    assert source.live
    packets = first_packets(source, 8)
    assert len(packets) == 8
    assert_red_and_live(packets, (48, 64, 3))


@pytest.mark.media
def test_a_password_opens_a_locked_camera(mjpeg_camera: MjpegCamera) -> None:
    packets = first_packets(build(mjpeg_camera.url("locked", LOGIN), IMAGE, OPTIONS), 2)
    assert_red_and_live(packets, (48, 64, 3))


@pytest.mark.media
@pytest.mark.parametrize(
    ("path", "message"),
    [("locked", "401"), ("nothing", "404"), ("page", "cannot be opened"), ("short", "the connection was lost|ended")],
)
def test_what_goes_wrong_is_said_without_the_password(
    mjpeg_camera: MjpegCamera, path: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = build(mjpeg_camera.url(f"{path}?token=secret7", "joe:secret7"), IMAGE, OPTIONS)
    assert "secret7" not in repr(source)
    with pytest.raises(SourceError, match=message) as caught:
        list(source.packets(never))
    assert "secret7" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    assert "secret7" not in "".join(capfd.readouterr())


@pytest.mark.media
def test_a_camera_that_falls_silent_is_an_error(mjpeg_camera: MjpegCamera) -> None:
    source = build(mjpeg_camera.url("stall"), IMAGE, OPTIONS | {"read_timeout_s": 0.5})
    seen = []
    with pytest.raises(SourceError, match="nothing came within the time-out"):
        seen.extend(packet.sequence for packet in source.packets(never))


@pytest.mark.media
def test_a_camera_that_drips_is_as_silent_as_one_that_stalls(mjpeg_camera: MjpegCamera) -> None:
    source = build(mjpeg_camera.url("drip"), IMAGE, OPTIONS | {"read_timeout_s": 0.5})
    with pytest.raises(SourceError, match="nothing came within the time-out"):
        list(source.packets(never))


@pytest.mark.media
def test_pictures_that_are_none_are_left_out(mjpeg_camera: MjpegCamera) -> None:
    packets = first_packets(build(mjpeg_camera.url("lie"), IMAGE, OPTIONS), 4)
    assert_red_and_live(packets, (48, 64, 3))


@pytest.mark.media
def test_frames_that_a_newer_one_replaced_are_counted(mjpeg_camera: MjpegCamera) -> None:
    source = build(mjpeg_camera.url(), IMAGE, OPTIONS)
    packets = source.packets(never)
    next(packets)
    time.sleep(0.3)
    source.close()
    (last,) = packets
    assert last.sequence > 2
    assert source.dropped == last.sequence - 1


@pytest.mark.media
def test_close_unblocks_a_waiting_reader(mjpeg_camera: MjpegCamera) -> None:
    source = build(mjpeg_camera.url("stall"), IMAGE, OPTIONS | {"read_timeout_s": 20})
    reader = threading.Thread(target=lambda: list(source.packets(never)))
    reader.start()
    time.sleep(0.5)
    assert reader.is_alive()
    source.close()
    source.close()
    reader.join(3)
    assert not reader.is_alive()


@pytest.mark.media
def test_nobody_listens(unused_port: int) -> None:
    source = build(f"rtsp://joe:secret7@127.0.0.1:{unused_port}/cam", IMAGE, OPTIONS)
    with pytest.raises(SourceError, match="refused") as caught:
        list(source.packets(never))
    assert "secret7" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.media
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp(rtsp_camera: RtspCamera, transport: str) -> None:
    packets = first_packets(build(rtsp_camera.url(), IMAGE, OPTIONS | {"transport": transport}), 8)
    assert len(packets) == 8
    assert_red_and_live(packets, (120, 160, 3))


@pytest.mark.media
def test_the_transport_can_be_chosen_in_the_uri(rtsp_camera: RtspCamera) -> None:
    (source,) = sources_from_inputs(IMAGE, dict.fromkeys(IMAGE, f"{rtsp_camera.url()}?edgemm.transport=udp"))
    packets = first_packets(source, 2)
    assert_red_and_live(packets, (120, 160, 3))


@pytest.mark.media
def test_an_rtsp_camera_that_dies_is_an_error(rtsp_camera: RtspCamera) -> None:
    source = build(rtsp_camera.url(), IMAGE, OPTIONS | {"read_timeout_s": 1})
    packets = source.packets(never)
    for _ in range(3):
        next(packets)
    rtsp_camera.kill()
    with pytest.raises(SourceError, match=r"camera 'rtsp://127.0.0.1:\d+/cam': (broke down|the camera ended)"):
        list(packets)


def test_a_local_camera_that_is_not_there() -> None:
    if Path("/dev/video9").exists():
        pytest.skip("this machine has nine cameras")
    with pytest.raises(SourceError, match="there is no /dev/video9; this machine has"):
        build("camera:9", IMAGE, OPTIONS)


@pytest.mark.media
def test_a_local_camera_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(b"no camera")
    source = build(f"camera:{tmp_path}/video", IMAGE, OPTIONS)
    with pytest.raises(SourceError, match="cannot be opened"):
        list(source.packets(never))


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(SourceError, match="input 'audio' takes audio"):
        build("rtsp://host/cam", {"audio": Audio(8000)}, OPTIONS)
    with pytest.raises(SourceError, match="feeds one input, got left, right"):
        build("rtsp://host/cam", {"left": Image(96, 96), "right": Image(96, 96)}, OPTIONS)
