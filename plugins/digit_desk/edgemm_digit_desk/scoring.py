"""Scores the answers of a stream against a film's truth. Knows nothing of models, files or clocks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemm.errors import UsageError

if TYPE_CHECKING:
    from edgemm.outputs.results import Result

__all__ = ["IntervalScore", "StreamScore", "read_truth", "score_stream"]

OUTPUT = "answer"


@dataclass(frozen=True)
class IntervalScore:
    """What a stream said in one scored interval.

    Attributes:
        truth: the interval's line of the sidecar.
        said: the label that most of its results gave; None where none gave any.
        count: results in the interval.
        correct: of these, with the right label.
    """

    truth: Mapping[str, Any]
    said: str | None
    count: int
    correct: int

    @property
    def share(self) -> float:
        """Of its results, how many were right; 0 where there were none."""
        return self.correct / self.count if self.count else 0.0

    @property
    def right(self) -> bool:
        """Whether more than half of its results were right."""
        return 2 * self.correct > self.count


@dataclass(frozen=True)
class StreamScore:
    """Accuracy of a whole stream."""

    intervals: tuple[IntervalScore, ...]

    @property
    def interval_accuracy(self) -> float:
        """Share of intervals that were answered right."""
        return sum(interval.right for interval in self.intervals) / max(1, len(self.intervals))

    @property
    def result_accuracy(self) -> float:
        """Share of all results in scored intervals that were right."""
        return sum(i.correct for i in self.intervals) / max(1, sum(i.count for i in self.intervals))

    def __str__(self) -> str:
        right = sum(interval.right for interval in self.intervals)
        return (
            f"{right} of {len(self.intervals)} scored intervals right ({self.interval_accuracy:.1%}), "
            f"{self.result_accuracy:.1%} of the results in them"
        )


def score_stream(results: Iterable[Result], truth: Sequence[Mapping[str, Any]]) -> StreamScore:
    """Compare a stream's results with its truth.

    Args:
        results: in any order; their times count from the stream's start, as those of `edgemm.stream` do.
        truth: lines with `from_ms`, `to_ms` and `answer`, as `read_truth` gives them.
    """
    said: list[list[str | None]] = [[] for _ in truth]
    for result in results:
        at_ms = result.at_ns / 1e6
        for labels, line in zip(said, truth, strict=True):
            if line["from_ms"] <= at_ms < line["to_ms"]:
                answer = result.outputs.get(OUTPUT)
                labels.append(answer.label if answer is not None else None)
    return StreamScore(
        tuple(
            IntervalScore(
                line,
                Counter(labels).most_common(1)[0][0] if labels else None,
                len(labels),
                labels.count(line["answer"]),
            )
            for labels, line in zip(said, truth, strict=True)
        )
    )


def read_truth(path: str | Path) -> list[dict[str, Any]]:
    """The scored intervals of a film's sidecar (.jsonl).

    Raises:
        UsageError: it cannot be read, or is no such sidecar.
    """
    try:
        lines = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the truth of a film from '{path}': {error}") from None
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not {"from_ms", "to_ms", "answer"} <= line.keys():
            raise UsageError(f"{path}, line {number}: a scored interval needs from_ms, to_ms and answer")
    return lines
