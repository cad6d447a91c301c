import io
import os
import threading
import time

import pytest

from edgemm.errors import SourceError
from edgemm.host.interfaces import Source
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.sources.standard_input import LINE_LIMIT_BYTES, StandardInput, build


@pytest.fixture
def source(pipe: tuple[int, int]) -> StandardInput:
    class Reading:
        def fileno(self) -> int:
            return pipe[0]

    return StandardInput("text", Reading())


def never() -> bool:
    return False


def test_each_line_is_a_text(source: StandardInput, pipe: tuple[int, int]) -> None:
    before = time.monotonic_ns()
    os.write(pipe[1], "add them\r\n\n加起来\n\xff".encode() + b"\xff")
    os.close(pipe[1])
    packets = list(source.packets(never))
    assert isinstance(source, Source)
    assert source.live
    assert [packet.value for packet in packets] == ["add them", "", "加起来", "\xff\ufffd"]
    assert [packet.sequence for packet in packets] == [0, 1, 2, 3]
    assert all(before <= packet.captured_ns <= time.monotonic_ns() for packet in packets)


def test_a_line_comes_before_the_input_ends(source: StandardInput, pipe: tuple[int, int]) -> None:
    packets = source.packets(never)
    os.write(pipe[1], b"fi")
    threading.Timer(0.1, os.write, (pipe[1], b"rst\nsec")).start()
    assert next(packets).value == "first"


def test_close_unblocks(source: StandardInput) -> None:
    reader = threading.Thread(target=lambda: list(source.packets(never)))
    reader.start()
    source.close()
    source.close()
    reader.join(5)
    assert not reader.is_alive()


def test_an_endless_line_is_refused(source: StandardInput, pipe: tuple[int, int]) -> None:
    writer = threading.Thread(target=os.write, args=(pipe[1], b"x" * (LINE_LIMIT_BYTES + 1)), daemon=True)
    writer.start()
    with pytest.raises(SourceError, match="longer than"):
        list(source.packets(never))
    writer.join(5)


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x"))
    with pytest.raises(SourceError, match="closed, or not a file"):
        build("stdin:", {"text": Text()}, {})
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SourceError, match="closed, or not a file"):
        build("stdin:", {"text": Text()}, {})


def test_nothing_follows_the_colon() -> None:
    with pytest.raises(SourceError, match="nothing after its colon"):
        build("stdin:utf-8", {"text": Text()}, {})
