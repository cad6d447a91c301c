"""The servers of the kit do what they say, so that tests which use them say something."""

import http.client
import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from edgemm.errors import MissingDependencyError, UsageError
from edgemm.testing.faults import servers
from edgemm.testing.faults.servers import LOGIN, MjpegCamera, RtspCamera, VirtualMicrophone, cameras

PICTURE, ANOTHER = b"\xff\xd8 one \xff\xd9", b"\xff\xd8 another \xff\xd9"


@pytest.fixture(scope="module")
def camera():
    with MjpegCamera(PICTURE, rate_hz=200) as camera:
        yield camera


def read(camera, path, size, timeout_s=5.0, headers=()):
    """Status, and the first bytes of what comes."""
    with closing(http.client.HTTPConnection("127.0.0.1", camera.port, timeout=timeout_s)) as connection:
        connection.request("GET", f"/{path}", headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read(size)


def test_a_camera_goes_on_until_its_reader_has_gone(camera):
    status, content = read(camera, "cam", 4000)
    assert status == 200
    assert content.count(PICTURE) > 30


def test_a_camera_that_is_short_ends(camera):
    assert read(camera, "short", 4000)[1].count(PICTURE) == 5


def test_a_camera_that_stalls_says_nothing_more(camera):
    with pytest.raises(TimeoutError):
        read(camera, "stall", 4000, timeout_s=0.3)


def test_a_camera_that_drips_never_falls_silent(camera):
    frames = len(read(camera, "short", 4000)[1])
    _, content = read(camera, "drip", frames + 3)
    assert content.endswith(PICTURE + b"\r\n---")


def test_a_camera_that_lies_sends_every_other_time_what_is_no_picture(camera):
    parts = read(camera, "lie", 2000)[1].split(b"--frame\r\n")[1:-1]
    assert [PICTURE in part for part in parts] == [number % 2 == 0 for number in range(len(parts))]


def test_a_locked_camera_lets_in_who_has_the_login(camera):
    from base64 import b64encode

    assert read(camera, "locked", 10)[0] == 401
    login = {"Authorization": f"Basic {b64encode(LOGIN.encode()).decode()}"}
    assert read(camera, "locked", 200, headers=login.items())[0] == 200


def test_there_is_a_web_page_and_nothing_else(camera):
    assert b"<html>" in read(camera, "page", 10)[1]
    assert read(camera, "elsewhere", 10)[0] == 404


def test_a_camera_that_was_killed_refuses_and_comes_back_at_its_port_with_what_it_showed_last():
    with MjpegCamera(PICTURE, rate_hz=200) as camera:
        camera.show(ANOTHER)
        camera.kill()
        with pytest.raises(ConnectionRefusedError):
            read(camera, "cam", 10)
        camera.show(ANOTHER)  # nobody is there to be told
        url = camera.url()
        camera.start()
        assert camera.url() == url
        assert ANOTHER in read(camera, "cam", 4000)[1]
    with pytest.raises(ConnectionRefusedError):
        read(camera, "cam", 10)


def test_a_camera_does_not_outlive_who_started_it():
    code = (
        "import time\nfrom edgemm.testing.faults.servers import MjpegCamera\n"
        "camera = MjpegCamera(b'')\nprint(camera.port, flush=True)\ntime.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    port = int(owner.stdout.readline())
    owner.send_signal(signal.SIGKILL)
    owner.wait(5)
    owner.stdout.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.connect()
        except ConnectionRefusedError:
            return
        finally:
            connection.close()
        time.sleep(0.05)
    pytest.fail("it did")


def test_what_is_not_installed_is_said_with_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(cameras, "SYSTEM_PYTHON", "/nowhere/python")
    with pytest.raises(MissingDependencyError, match="apt install python3-gi"):
        RtspCamera()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="apt install pulseaudio"):
        VirtualMicrophone(tmp_path)


def test_an_rtsp_camera_shows_pictures_of_one_size():
    with pytest.raises(UsageError, match="multiples of 4"):
        RtspCamera(np.zeros((50, 64, 3), np.uint8))


def test_the_servers_are_public():
    assert all(getattr(servers, name).__doc__ for name in servers.__all__ if name != "LOGIN")
