"""A stream as it went: answers against the truth, what every input was worth at each moment, and how long answers took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from edgemm.exporting.report.rendering import hue_of, share

_LEFT, _RIGHT, _LANE_HEIGHT, _LANE_PITCH = 74, 1060, 22, 32
_STATES = {"live": "good", "stale": "warn", "absent": "line"}
_KNOWN = ("from_ms", "to_ms", "answer", "share", "said")
_TICKS_S = (1, 2, 5, 10, 30, 60, 300, 1800, 10**9)
_BINS = 40


@dataclass(frozen=True)
class Block:
    """A stretch of time in a lane; `text` is written into it."""

    title: str
    from_s: float
    to_s: float
    x: float
    width: float
    hue: str
    text: str = ""


@dataclass(frozen=True)
class Lane:
    """A row of blocks; a `hue` draws a dot of that colour before its title."""

    title: str
    top: int
    blocks: tuple[Block, ...]
    hue: str = ""


@dataclass(frozen=True)
class Tick:
    """A mark below the lanes."""

    x: float
    seconds: int


@dataclass(frozen=True)
class Histogram:
    """Of what lies below the 99th percentile, or three times the 95th; `bars` are heights up to 100."""

    title: str
    bars: tuple[float, ...]
    top_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    count: int
    beyond: int


@dataclass(frozen=True)
class Question:
    """A scored interval: the truth, what was said most, the share of its answers that were right, and what else its truth tells."""

    from_s: float
    truth: str
    said: str | None
    right: bool
    share: float
    told: tuple[str | None, ...]


@dataclass(frozen=True)
class StreamView:
    """The section: a sentence, lanes over time, histograms, and every question with further columns (title, class)."""

    lead: str
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    histograms: tuple[Histogram, ...]
    questions: tuple[Question, ...]
    extra: list[tuple[str, str]]
    width: int = _RIGHT + 20
    lane_height: int = _LANE_HEIGHT

    @property
    def height(self) -> int:
        """Of the lanes with their marks."""
        return len(self.lanes) * _LANE_PITCH + 24

    @classmethod
    def of(cls, stream: Mapping[str, Any], inputs: Sequence[str]) -> StreamView:
        """Of a recorded stream, as `report_html` describes it."""
        intervals = stream["intervals"]
        end_ms = max(1.0, 1000.0 * stream["seconds"])
        told = [key for key in intervals[0] if key not in _KNOWN] if intervals else []
        times = (("Compute time of an answer", "compute_ms"), ("From capture to answer", "age_ms"))
        return cls(
            lead=_lead(stream),
            lanes=tuple(_lanes(stream, inputs, end_ms)),
            ticks=tuple(_ticks(end_ms)),
            histograms=tuple(_histogram(title, stream[key]) for title, key in times if stream.get(key)),
            questions=tuple(_question(interval, told) for interval in intervals),
            extra=[(key, _column(intervals, key)) for key in told],
        )


def _lead(stream: Mapping[str, Any]) -> str:
    return (
        f"{stream['seconds']:.0f} seconds through {stream['variant']}: {len(stream['results'])} answers, "
        f"{share(stream['result_accuracy'])} of the scored ones right, {share(stream['interval_accuracy'])} of "
        f"{len(stream['intervals'])} questions right. A question is scored from half a second after its inputs have settled."
    )


def _lanes(stream: Mapping[str, Any], inputs: Sequence[str], end_ms: float) -> Iterator[Lane]:
    """Truth, answers, and one lane per input."""
    scale = (_RIGHT - _LEFT) / end_ms
    yield Lane("truth", 0, tuple(_truth(stream["intervals"], scale)))
    yield Lane("answer", _LANE_PITCH, tuple(_answers(stream, scale, end_ms)))
    for row, name in enumerate(inputs, 2):
        states = _runs([(r["t_ms"], r["inputs"].get(name, "absent")) for r in stream["results"]], end_ms)
        blocks = (_block(f"{name} {s}", start, stop, scale, _STATES.get(s, "line")) for start, stop, s in states)
        yield Lane(name, row * _LANE_PITCH, tuple(blocks), hue_of(inputs, name))


def _truth(intervals: Sequence[Mapping[str, Any]], scale: float) -> Iterator[Block]:
    for interval in intervals:
        answer = str(interval["answer"])
        yield _block(f"truth {answer}", float(interval["from_ms"]), float(interval["to_ms"]), scale, "blue", answer)


def _answers(stream: Mapping[str, Any], scale: float, end_ms: float) -> Iterator[Block]:
    """Runs of equal answers, cut where scoring begins and ends, so that each piece is right, wrong or not scored."""
    moments = [(r["t_ms"], (r["label"], _verdict(stream["intervals"], r))) for r in stream["results"]]
    for start, stop, (label, verdict) in _runs(moments, end_ms):
        hue = {True: "good", False: "bad", None: "line"}[verdict]
        fits = (stop - start) * scale > 9 + 7 * len(label or "")
        yield _block(f"answer {label or 'none'}", start, stop, scale, hue, label if fits and label else "")


def _verdict(intervals: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> bool | None:
    for interval in intervals:
        if interval["from_ms"] <= result["t_ms"] < interval["to_ms"]:
            return bool(result["label"] == interval["answer"])
    return None


def _runs(moments: Sequence[tuple[float, Any]], end_ms: float) -> Iterator[tuple[float, float, Any]]:
    """Stretches of equal values."""
    if not moments:
        return
    changes = [0, *(index for index, ((_, a), (_, b)) in enumerate(pairwise(moments), 1) if a != b)]
    for first, after in pairwise([*changes, None]):
        start, value = moments[first or 0]
        yield float(start), float(moments[after][0]) if after is not None else end_ms, value


def _block(title: str, start: float, stop: float, scale: float, hue: str, text: str = "") -> Block:
    width = max(0.8, (stop - start) * scale - 0.8)
    return Block(title, start / 1000, stop / 1000, _LEFT + start * scale, width, hue, text)


def _ticks(end_ms: float) -> Iterator[Tick]:
    scale = (_RIGHT - _LEFT) / end_ms
    step_s = next(step for step in _TICKS_S if end_ms / 1000 / step <= 14)
    for seconds in range(0, int(end_ms / 1000) + 1, step_s):
        yield Tick(_LEFT + 1000 * seconds * scale, seconds)


def _histogram(title: str, values_ms: Sequence[float]) -> Histogram:
    ordered = sorted(values_ms)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95, 0.99))
    top = max(min(p99, 3 * p95), 1e-6)
    shown = [value for value in ordered if value <= top]
    counts = [0] * _BINS
    for value in shown:
        counts[min(_BINS - 1, max(0, int(value / top * _BINS)))] += 1
    tallest = max(1, *counts)
    bars = tuple(100 * n / tallest for n in counts)
    return Histogram(title, bars, top, p50, p95, p99, len(ordered), len(ordered) - len(shown))


def _question(interval: Mapping[str, Any], told: Sequence[str]) -> Question:
    said = interval["said"]
    further = (None if interval.get(key) is None else str(interval[key]) for key in told)
    return Question(
        from_s=interval["from_ms"] / 1000,
        truth=str(interval["answer"]),
        said=None if said is None else str(said),
        right=said == interval["answer"],
        share=float(interval["share"]),
        told=tuple(further),
    )


def _column(intervals: Sequence[Mapping[str, Any]], key: str) -> str:
    """Long texts get room."""
    return "t" if any(len(str(interval.get(key))) > 16 for interval in intervals) else ""
