"""The servers of `edgemm.testing.faults.servers` as pytest fixtures, to be imported in a conftest.py:

    from edgemm.testing.faults.fixtures import mjpeg_camera, rtsp_camera, virtual_microphone

Each ends with its test. Where what it needs is not installed, the test is skipped with the reason. It knows nothing of what is tested.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgemm.errors import MissingDependencyError
from edgemm.testing.faults.servers import MjpegCamera, RtspCamera, VirtualMicrophone

__all__ = ["mjpeg_camera", "rtsp_camera", "virtual_microphone"]


@pytest.fixture
def mjpeg_camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[MjpegCamera]:
    """A camera at `mjpeg_camera.url("cam")`, red, 64 x 48, 30 pictures a second."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    try:
        camera = MjpegCamera()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    with camera:
        yield camera


@pytest.fixture
def rtsp_camera() -> Iterator[RtspCamera]:
    """A camera at `rtsp_camera.url()`, red, 160 x 120, 20 pictures a second."""
    try:
        camera = RtspCamera()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    with camera:
        yield camera


@pytest.fixture
def virtual_microphone(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[VirtualMicrophone]:
    """A microphone that `mic:pulse` reads, and sounddevice sees; silent until something is played."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        pytest.skip(f"{error}: pip install 'edgemm[media]', apt install libportaudio2")
    try:
        microphone = VirtualMicrophone(tmp_path_factory.mktemp("pulse"))
    except MissingDependencyError as error:
        pytest.skip(str(error))
    with microphone:
        for name, value in microphone.environment.items():
            monkeypatch.setenv(name, value)
        sounddevice._terminate()
        sounddevice._initialize()  # it lists devices once; now there is one more
        try:
            yield microphone
        finally:
            sounddevice._terminate()
            sounddevice._initialize()
