import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemm.errors import UsageError
from edgemm.outputs.results import InputState, Result
from edgemm_plugins.sinks.json_lines import JsonLines, build

ABSENT = {"image": InputState("absent", None, False, "no data")}


def result(scores: list[float], sequence: int = 0) -> Result:
    at_ns = 1_500_000_000
    return Result(
        {"answer": np.array(scores, np.float32)},
        {"answer": ("零", "1")},
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
    JsonLines(file).write(Result({"values": scores}, {}, None, lambda _: {}, at, 0))
    assert json.loads(file.getvalue())["outputs"]["values"]["values"] == [None, None, 1.0]


def test_a_broken_pipe_ends_quietly() -> None:
    code = (
        "import sys, numpy as np\n"
        "from edgemm.outputs.results import Result\n"
        "from edgemm_plugins.sinks.json_lines import build\n"
        "sink = build(None, {})\n"
        "written = 0\n"
        "while not sink.finished:\n"
        "    sink.write(Result({'a': np.zeros(2, np.float32)}, {}, None, lambda _: {}, (0, 0, 0), written))\n"
        "    written += 1\n"
        "sink.write(Result({'a': np.zeros(2, np.float32)}, {}, None, lambda _: {}, (0, 0, 0), written))\n"
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


def test_results_go_to_a_file(tmp_path: Path) -> None:
    sink = build(None, {"path": tmp_path / "out.jsonl"})
    sink.write(result([0.0, 1.0], 0))
    sink.write(result([0.0, 1.0], 1))
    sink.close()
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [0, 1]
    with pytest.raises(UsageError, match="cannot write results"):
        build(None, {"path": tmp_path / "absent" / "out.jsonl"})
