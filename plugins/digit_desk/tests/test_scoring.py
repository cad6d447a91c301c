from __future__ import annotations

import numpy as np
import pytest

import edgemm
from edgemm.errors import UsageError
from edgemm.outputs.results import Result
from edgemm_digit_desk.scoring import read_truth, score_stream

MS = 1_000_000
LABELS = ("0", "1", "2")
TRUTH = [{"from_ms": 1000, "to_ms": 2000, "answer": "1"}, {"from_ms": 2500, "to_ms": 3000, "answer": "2"}]


def result(at_ms, label):
    outputs = {} if label is None else {"answer": {"scores": np.eye(3)[LABELS.index(label)]}}
    return Result(
        outputs, {"answer": edgemm.Classes(LABELS)}, None, lambda rows: {}, (at_ms * MS, at_ms * MS, at_ms * MS), 0
    )


def test_only_results_inside_intervals_count():
    moments = [(900, "0"), (1000, "1"), (1500, "1"), (1999, "0"), (2000, "0"), (2600, "2"), (3000, "0")]
    score = score_stream([result(*moment) for moment in moments], TRUTH)
    first, second = score.intervals
    assert (first.count, first.correct, first.said, first.right) == (3, 2, "1", True)
    assert (second.count, second.correct) == (1, 1)
    assert score.interval_accuracy == 1.0
    assert score.result_accuracy == 0.75


def test_half_right_is_not_right():
    score = score_stream([result(1100, "1"), result(1200, "0")], TRUTH[:1])
    assert score.intervals[0].share == 0.5
    assert score.interval_accuracy == 0.0


def test_silence_and_no_results_are_wrong():
    score = score_stream([result(1100, None)], TRUTH)
    assert [interval.right for interval in score.intervals] == [False, False]
    assert score.intervals[0].said is None
    assert score.intervals[1].count == 0
    assert score.result_accuracy == 0.0
    assert "0 of 2 scored intervals right (0.0%)" in str(score)


def test_truth_is_read_and_refused_with_its_line(tmp_path):
    path = tmp_path / "clip.jsonl"
    path.write_text('{"from_ms": 1, "to_ms": 2, "answer": "3", "seen": 4}\n\n', encoding="utf-8")
    assert read_truth(path) == [{"from_ms": 1, "to_ms": 2, "answer": "3", "seen": 4}]
    path.write_text('{"from_ms": 1, "to_ms": 2, "answer": "3"}\n{"from_ms": 1}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="line 2: a scored interval needs"):
        read_truth(path)
    with pytest.raises(UsageError, match="cannot read the truth"):
        read_truth(tmp_path / "none.jsonl")
