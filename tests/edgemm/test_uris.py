import pytest

from edgemm.errors import UsageError
from edgemm.uris import parse, redact


@pytest.mark.parametrize(
    ("uri", "scheme", "rest"),
    [
        ("clip.mp4", "file", "clip.mp4"),
        ("/a/b c.mp4", "file", "/a/b c.mp4"),
        ("./odd:name.mp4", "file", "./odd:name.mp4"),
        ("file:///a%20b.mp4", "file", "/a b.mp4"),
        ("file:a.mp4", "file", "a.mp4"),
        ("FILE:a.mp4", "file", "a.mp4"),
        ("camera:0", "camera", "0"),
        ("mic:", "mic", ""),
        ("rtsp://host:554/cam", "rtsp", "//host:554/cam"),
    ],
)
def test_parse_splits_scheme_and_rest(uri: str, scheme: str, rest: str) -> None:
    location = parse(uri)
    assert (location.scheme, location.rest, location.text) == (scheme, rest, uri)


def test_an_empty_uri_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        parse("  ")


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://admin:hunter2@10.0.0.1/cam",
        "rtsp://hunter2@10.0.0.1/cam",
        "rtsp://admin:hunter2@x@10.0.0.1/cam",
        "rtsp://admin:a/hunter2@10.0.0.1/cam",
        "rtsp://admin:a?hunter2@10.0.0.1/cam",
        "http://10.0.0.1/video?user=admin&password=hunter2",
        "http://10.0.0.1/video?channel=1&TOKEN=hunter2#x",
        "http://10.0.0.1/video?api_key=hunter2",
        "rtsp://10.0.0.1/user=admin_password=hunter2_x_channel=1_stream=0.sdp",
        "rtsp://10.0.0.1/user=admin&password=hunter2&channel=1&stream=0.sdp",
    ],
)
def test_credentials_are_hidden(uri: str) -> None:
    assert "hunter2" not in redact(uri)
    assert "hunter2" not in str(parse(uri))
    assert "hunter2" not in repr(parse(uri))
    assert "hunter2" not in redact(f"could not open {uri} today")


def test_what_is_not_secret_stays_readable() -> None:
    assert redact("rtsp://admin:pw@10.0.0.1:554/cam?channel=1") == "rtsp://***@10.0.0.1:554/cam?channel=1"
    assert (
        redact("rtsp://10.0.0.1/user=a_password=b_channel=1.sdp")
        == "rtsp://10.0.0.1/user=***_password=***_channel=1.sdp"
    )
    assert redact("me@home.mp4") == "me@home.mp4"
