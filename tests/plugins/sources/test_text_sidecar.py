from pathlib import Path

import pytest

from edgemm.errors import SourceError
from edgemm.host.interfaces import Source
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.sources.text_sidecar import build

TEXT = {"text": Text()}
SRT = """1
00:00:00,500 --> 00:00:01,000
add them

2
00:01:02.003 --> 00:01:04,000 X1:1
two
lines

3
01:00:00,000 --> 01:00:00,000

"""


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_bytes(text.encode())
    return str(folder / name)


def read(uri: str) -> list[tuple[int, str]]:
    source = build(uri, TEXT, {})
    assert isinstance(source, Source)
    assert not source.live
    return [(packet.captured_ns, packet.value) for packet in source.packets(lambda: False)]


@pytest.mark.parametrize(
    "change", [lambda text: text, lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text]
)
def test_srt(tmp_path: Path, change) -> None:
    assert read(write(tmp_path, "clip.srt", change(SRT))) == [
        (500_000_000, "add them"),
        (62_003_000_000, "two lines"),
        (3600_000_000_000, ""),
    ]


def test_jsonl(tmp_path: Path) -> None:
    lines = '{"t": 0, "text": "加起来"}\n\n{"start": 1.25, "text": "a\\u2028b", "truth": 7}\n{"t": 1.25, "text": ""}'
    assert read(write(tmp_path, "clip.JSONL", lines)) == [
        (0, "加起来"),
        (1_250_000_000, "a\u2028b"),
        (1_250_000_000, ""),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("add them", "line 2: not JSON"),
        ('["t", 1]', "line 2: expected .* got list"),
        ('{"text": "x"}', 'line 2: expected one of "t" and "start"'),
        ('{"t": 1, "start": 1, "text": "x"}', 'line 2: expected one of "t" and "start"'),
        ('{"t": "1", "text": "x"}', "line 2: the time must be seconds from 0 on, at most 1e\\+09, got '1'"),
        ('{"t": true, "text": "x"}', "line 2: the time must be"),
        ('{"t": -1, "text": "x"}', "line 2: the time must be"),
        ('{"t": NaN, "text": "x"}', "line 2: not JSON that can be read \\(NaN is no number"),
        ('{"t": Infinity, "text": "x"}', "line 2: not JSON that can be read \\(Infinity is no number"),
        ('{"t": 1e300, "text": "x"}', "line 2: the time must be seconds from 0 on"),
        ('{"t": 1, "t": 2, "text": "x"}', "line 2: not JSON that can be read .the key 't' is there twice"),
        ('{"t": 1}', 'line 2: expected "text" as a string, got None'),
        ('{"t": 0.1, "text": "x"}', "line 2: starts before the text above it"),
        ("[" * 100_000, "line 2: not JSON"),
    ],
)
def test_a_wrong_json_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    uri = write(tmp_path, "clip.jsonl", f'{{"t": 0.5, "text": "fine"}}\n{line}\n')
    with pytest.raises(SourceError, match=rf"'clip\.jsonl' {message}"):
        build(uri, TEXT, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\n", "line 1: expected a cue's number, got 'one'"),
        ("1\n", "line 2: expected a timing"),
        ("1\n00:00:01 --> 00:00:02\nx\n", "line 2: expected a timing"),
        ("1\n00:61:01,000 --> 00:61:02,000\nx\n", "line 2: expected a timing"),
        ("1\n00:00:02,000 --> 00:00:01,000\nx\n", "line 2: the cue ends before it starts"),
        ("1\n00:00:02,000 --> 00:00:03,000\nx\n\n2\n00:00:01,000 --> 00:00:02,000\ny\n", "line 6: starts before"),
    ],
)
def test_a_wrong_srt_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=rf"'clip\.srt' {message}"):
        build(write(tmp_path, "clip.srt", text), TEXT, {})


def test_files_that_are_no_sidecars(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"\.srt or \.jsonl; got '\.txt'"):
        build(write(tmp_path, "clip.txt", "x"), TEXT, {})
    with pytest.raises(SourceError, match=r"cannot read .*No such file"):
        build(str(tmp_path / "absent.srt"), TEXT, {})
    (tmp_path / "latin.srt").write_bytes(b"1\n\xe4")
    with pytest.raises(SourceError, match=r"not UTF-8 \(byte 2\)"):
        build(str(tmp_path / "latin.srt"), TEXT, {})
    with pytest.raises(SourceError, match="input 'audio' takes audio"):
        build("clip.srt", {"audio": Audio(8000)}, {})


def test_closing_ends_reading(tmp_path: Path) -> None:
    source = build(write(tmp_path, "clip.srt", SRT), TEXT, {})
    packets = source.packets(lambda: False)
    next(packets)
    source.close()
    assert list(packets) == []


@pytest.mark.parametrize("uri", ["//ann:hunter2@camera/cam.srt", "//ann:hunter2@camera/cam.mov?pw=hunter2"])
def test_a_login_by_mistake_is_not_shown(uri) -> None:
    with pytest.raises(SourceError) as caught:
        build(uri, {"text": Text()}, {})
    assert "hunter2" not in str(caught.value)
