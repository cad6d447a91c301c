import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemm.errors import SinkError, UsageError
from edgemm.outputs.results import InputState, Result
from edgemm_plugins.outputs.array import Array
from edgemm_plugins.outputs.classes import Classes
from edgemm_plugins.sinks.json_lines import BoundedFile, JsonLines, build

OPTIONS = {"path": "", "limit_mb": 1024}
ABSENT = {"image": InputState("absent", None, False, "no data")}


def result(scores: list[float], sequence: int = 0) -> Result:
    at_ns = 1_500_000_000
    return Result(
        {"answer": {"scores": np.array(scores, np.float32)}},
        {"answer": Classes(("零", "1"))},
        None,
        lambda _: ABSENT,
        (at_ns, at_ns, at_ns),
        sequence,
    )


def test_each_result_is_one_flushed_line(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []

    class File(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    sink = JsonLines(File())
    sink.write(result([2.0, 1.0]))
    assert len(flushed) == 1
    record = json.loads(flushed[0])
    assert flushed[0].endswith("}\n")
    assert "零" in flushed[0]
    assert record["t"] == 1.5
    assert record["outputs"]["answer"]["label"] == "零"
    assert record["inputs"]["image"] == {"state": "absent", "age_ms": None, "cached": False, "reason": "no data"}


def test_a_number_that_json_cannot_hold_becomes_null() -> None:
    file = io.StringIO()
    at = (0, 0, 0)
    scores = np.array([np.nan, np.inf, 1.0], np.float32)
    JsonLines(file).write(Result({"values": {"value": scores}}, {"values": Array()}, None, lambda _: {}, at, 0))
    assert json.loads(file.getvalue())["outputs"]["values"]["values"] == [None, None, 1.0]


def test_a_broken_pipe_ends_quietly() -> None:
    code = (
        "import sys, numpy as np\n"
        "from edgemm_plugins.outputs.array import Array\n"
        "from edgemm.outputs.results import Result\n"
        "from edgemm_plugins.sinks.json_lines import build\n"
        "sink = build(None, {'path': ''})\n"
        "written = 0\n"
        "while not sink.finished:\n"
        "    sink.write(Result({'a': {'value': np.zeros(2, np.float32)}}, {'a': Array()}, None, lambda _: {}, (0, 0, 0), written))\n"
        "    written += 1\n"
        "sink.write(Result({'a': {'value': np.zeros(2, np.float32)}}, {'a': Array()}, None, lambda _: {}, (0, 0, 0), written))\n"
        "sink.close()\n"
        "sys.exit(7 if written > 1 else 1)\n"
    )
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert os.read(reader, 10).startswith(b'{"t":')
    os.close(reader)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (7, "")


def test_nothing_is_written_once_the_reader_has_gone() -> None:
    class Gone(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise BrokenPipeError

    file = Gone()
    sink = JsonLines(file)
    for _ in range(2):
        sink.write(result([1.0]))
    sink.close()
    assert (file.writes, sink.finished) == (1, True)


def test_results_go_to_a_file(tmp_path: Path) -> None:
    sink = build(None, OPTIONS | {"path": str(tmp_path / "out.jsonl")})
    sink.write(result([0.0, 1.0], 0))
    sink.write(result([0.0, 1.0], 1))
    sink.close()
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [0, 1]
    with pytest.raises(UsageError, match="cannot write results"):
        build(None, OPTIONS | {"path": str(tmp_path / "absent" / "out.jsonl")})


def test_every_line_of_a_file_can_be_read_at_once(tmp_path: Path) -> None:
    sink = build(None, OPTIONS | {"path": str(tmp_path / "out.jsonl")})
    sink.write(result([0.0, 1.0], 7))
    assert json.loads((tmp_path / "out.jsonl").read_text("utf-8"))["sequence"] == 7
    sink.close()


def test_a_file_is_begun_anew_at_its_limit_and_the_one_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    file = BoundedFile(path, 10)
    for word in ("aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "a line that is longer than the limit\n", "eeee\n"):
        file.write(word)
        assert path.stat().st_size <= 10 or path.read_text().count("\n") == 1
    file.close()
    assert path.read_text() == "eeee\n"
    assert Path(f"{path}.1").read_text() == "a line that is longer than the limit\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_line_that_just_fits_does_not_begin_a_file(tmp_path: Path) -> None:
    file = BoundedFile(tmp_path / "out.jsonl", 10)
    file.write("aaaa\n")
    file.write("bbbb\n")
    file.close()
    assert (tmp_path / "out.jsonl").read_text() == "aaaa\nbbbb\n"


def test_a_pipe_has_no_limit(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    file = BoundedFile(tmp_path / "pipe", 10)
    file.write("a line that is longer than the limit\n")
    file.write("another\n")
    file.close()
    assert os.read(reader, 100) == b"a line that is longer than the limit\nanother\n"
    os.close(reader)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_says_so_and_what_was_to_be_written() -> None:
    sink = build(None, OPTIONS | {"path": "/dev/full"})
    with pytest.raises(SinkError, match="cannot write results to '/dev/full': No space left on device"):
        sink.write(result([0.0, 1.0]))
    sink.close()


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    file = BoundedFile(path, 1000)
    file.write("whole\n")

    class Filling(io.FileIO):
        def write(self, data) -> int:
            if self.tell() >= 8:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(bytes(data)[:2])

    file._file.close()
    file._file = Filling(path, "r+")
    file._file.seek(0, os.SEEK_END)
    with pytest.raises(SinkError, match="No space left"):
        file.write("cut short\n")
    file.close()
    assert path.read_text() == "whole\n"


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="limit_mb must be at least 1, got 0"):
        build(None, {"path": str(tmp_path / "out.jsonl"), "limit_mb": 0})
