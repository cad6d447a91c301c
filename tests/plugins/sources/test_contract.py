"""Every source keeps the contract that plugin authors' sources are checked against."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgemm.streaming.inbox import Inbox
from edgemm.testing.faults.servers import MjpegCamera, RtspCamera, VirtualMicrophone
from edgemm.testing.sources import check_source
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.sources import camera, edgemm_sources, media_file, microphone, text_sidecar
from edgemm_plugins.sources.standard_input import StandardInput

OPTIONS = {entry.name: {option.name: option.default for option in entry.options} for entry in edgemm_sources()}
IMAGE, AUDIO, TEXT = {"image": Image(96, 96)}, {"audio": Audio(8000)}, {"text": Text()}


@pytest.mark.media
def test_media_file(write_clip: Callable[..., Path]) -> None:
    inputs = {**IMAGE, **AUDIO}
    packets = check_source(media_file.build(str(write_clip()), inputs, OPTIONS["media_file"]), inputs, count=60)
    assert {packet.input for packet in packets} == {"image", "audio"}


def test_text_sidecar(tmp_path: Path) -> None:
    (tmp_path / "clip.jsonl").write_text('{"t": 0, "text": "add"}\n{"t": 2, "text": "multiply"}\n')
    assert len(check_source(text_sidecar.build(str(tmp_path / "clip.jsonl"), TEXT, {}), TEXT)) == 2


def test_standard_input(pipe: tuple[int, int]) -> None:
    class Reading:
        def fileno(self) -> int:
            return pipe[0]

    os.write(pipe[1], b"add\nmultiply\n")
    assert len(check_source(StandardInput("text", Reading()), TEXT, timeout_s=1)) == 2


def test_inbox() -> None:
    inbox = Inbox()
    inbox.put("add")
    assert len(check_source(inbox.source("text"), TEXT, timeout_s=1)) == 1


@pytest.mark.media
def test_mjpeg_camera(mjpeg_camera: MjpegCamera) -> None:
    assert len(check_source(camera.build(mjpeg_camera.url(), IMAGE, OPTIONS["camera"]), IMAGE)) == 20


@pytest.mark.media
def test_rtsp_camera(rtsp_camera: RtspCamera) -> None:
    assert len(check_source(camera.build(rtsp_camera.url(), IMAGE, OPTIONS["camera"]), IMAGE)) == 20


@pytest.mark.media
def test_microphone(virtual_microphone: VirtualMicrophone) -> None:
    virtual_microphone.play(np.zeros(16000))
    packets = check_source(microphone.build("mic:pulse", AUDIO, OPTIONS["microphone"]), AUDIO)
    assert len(packets) == 20
    assert not any(packet.value.samples.any() for packet in packets)
