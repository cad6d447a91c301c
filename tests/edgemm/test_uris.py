import pytest

from edgemm.errors import UsageError
from edgemm.uris import parse, redact, split_options


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


@pytest.mark.parametrize(
    ("uri", "rest", "options"),
    [
        ("rtsp://cam/1?edgemm.transport=udp", "rtsp://cam/1", {"transport": "udp"}),
        ("rtsp://cam/1?a=b&edgemm.x=1&c=d", "rtsp://cam/1?a=b&c=d", {"x": "1"}),
        ("rtsp://cam/1?edgemm.x=1&a=b", "rtsp://cam/1?a=b", {"x": "1"}),
        ("rtsp://cam/1?edgemm.x=1&edgemm.y=2&a=b", "rtsp://cam/1?a=b", {"x": "1", "y": "2"}),
        ("rtsp://cam/1?a=b&edgemm.x=1&edgemm.y=2", "rtsp://cam/1?a=b", {"x": "1", "y": "2"}),
        ("http://cam/x?edgemm.x=a%26b%20c#part", "http://cam/x#part", {"x": "a&b c"}),
        ("http://u:p?w@cam/x?edgemm.x=1", "http://u:p?w@cam/x", {"x": "1"}),
        ("http://cam/x?url=http://y?z=1&edgemm.x=1", "http://cam/x?url=http://y?z=1", {"x": "1"}),
        ("camera:0?edgemm.size=640x480", "camera:0", {"size": "640x480"}),
        ("clip.mp4?edgemm.x=", "clip.mp4", {"x": ""}),
    ],
)
def test_options_of_our_own_are_taken_out_of_a_uri(uri, rest, options):
    assert split_options(uri) == (rest, options)


@pytest.mark.parametrize(
    "uri",
    ["rtsp://cam/1?transport=udp&channel=2", "http://cam/edgemm.x=1", "what?.mp4", "http://cam/?myedgemm.x=1", "mic:"],
)
def test_a_camera_s_own_query_is_left_alone(uri):
    assert split_options(uri) == (uri, {})


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("rtsp://ann:secret@cam/1?edgemm.loop", "an option is written edgemm.name=value; got 'edgemm.loop'"),
        ("rtsp://ann:secret@cam/1?edgemm.=1", "an option is written edgemm.name=value; got 'edgemm.'"),
        ("rtsp://ann:secret@cam/1?edgemm.x=1&edgemm.x=2", "option edgemm.x is given twice"),
    ],
)
def test_a_wrong_option_in_a_uri_is_refused_and_shows_no_password(uri, message):
    with pytest.raises(UsageError, match=message) as caught:
        split_options(uri)
    assert "secret" not in str(caught.value)
