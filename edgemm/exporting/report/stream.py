"""A stream as it went: answers against the truth, what every input was worth at each moment, and how long answers took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from edgemm.exporting.report.page import escape, hue_of, legend, percent, section, share, table

_LEFT, _WIDTH, _LANE = 74, 1060, 22
_STATES = {"live": "good", "stale": "warn", "absent": "line"}
_KNOWN = ("from_ms", "to_ms", "answer", "share", "said")


def stream_section(stream: Mapping[str, Any], inputs: Sequence[str]) -> str:
    """The card about a stream."""
    intervals, results = stream["intervals"], stream["results"]
    lead = (
        f"{stream['seconds']:.0f} seconds through {stream['variant']}: {len(results)} answers, {share(stream['result_accuracy'])} of the "
        f"scored ones right, {share(stream['interval_accuracy'])} of {len(intervals)} questions right. A question is scored from half a "
        "second after its inputs have settled."
    )
    body = f'<div class="scroll">{timeline_svg(stream, inputs)}</div>'
    body += legend((("good", "right, or live"), ("bad", "wrong"), ("warn", "stale"), ("line", "absent, or not scored")))
    histograms = [_histogram("Compute time of an answer", stream.get("compute_ms") or ())]
    histograms.append(_histogram("From capture to answer", stream.get("age_ms") or ()))
    body += f'<div class="pair">{"".join(histograms)}</div>'
    return section("The stream", lead, body + _questions(intervals))


def timeline_svg(stream: Mapping[str, Any], inputs: Sequence[str]) -> str:
    """Truth, answers and one lane per input over time."""
    results = stream["results"]
    end_ms = max(1.0, 1000.0 * stream["seconds"])
    scale = (_WIDTH - _LEFT) / end_ms
    lanes = [_lane("truth", 0, _truth(stream["intervals"], scale)), _lane("answer", 1, _answers(stream, scale, end_ms))]
    for row, name in enumerate(inputs, 2):
        runs = _runs([(r["t_ms"], r["inputs"].get(name, "absent")) for r in results], end_ms)
        blocks = "".join(
            _block(start, stop, row, scale, _STATES.get(state, "line"), f"{name} {state}")
            for start, stop, state in runs
        )
        lanes.append(_lane(name, row, blocks, hue_of(inputs, name)))
    bottom = (2 + len(inputs)) * (_LANE + 10) + 16
    step_s = next(s for s in (1, 2, 5, 10, 30, 60, 300, 1800, 10**9) if end_ms / 1000 / s <= 14)
    ticks = "".join(
        f'<text class="soft" x="{_LEFT + 1000 * s * scale:.1f}" y="{bottom}" font-size="11.5" text-anchor="middle">{s} s</text>'
        for s in range(0, int(end_ms / 1000) + 1, step_s)
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH + 20} {bottom + 8}" style="min-width:820px" role="img" aria-label="answers against truth over time">'
        f"{''.join(lanes)}{ticks}</svg>"
    )


def _lane(title: str, row: int, blocks: str, hue: str = "") -> str:
    dot = f'<circle class="fill c-{hue}" cx="5" cy="{_top(row) + 11}" r="4"/>' if hue else ""
    return f'{dot}<text x="{14 if hue else 0}" y="{_top(row) + 15}" font-size="12.5" font-weight="600">{escape(title[:9])}</text>{blocks}'


def _truth(intervals: Sequence[Mapping[str, Any]], scale: float) -> str:
    return "".join(
        _block(float(i["from_ms"]), float(i["to_ms"]), 0, scale, "blue", f"truth {i['answer']}", str(i["answer"]))
        for i in intervals
    )


def _answers(stream: Mapping[str, Any], scale: float, end_ms: float) -> str:
    """Runs of equal answers, cut where scoring begins and ends, so that each piece is right, wrong or not scored."""
    intervals = stream["intervals"]
    moments = [(r["t_ms"], (r["label"], _verdict(intervals, r))) for r in stream["results"]]
    drawn = []
    for start, stop, (label, verdict) in _runs(moments, end_ms):
        hue = {True: "good", False: "bad", None: "line"}[verdict]
        wide = (stop - start) * scale > 9 + 7 * len(label or "")
        drawn.append(_block(start, stop, 1, scale, hue, f"answer {label or 'none'}", label if wide else ""))
    return "".join(drawn)


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


def _block(start: float, stop: float, row: int, scale: float, hue: str, title: str, text: str | None = "") -> str:
    x, width = _LEFT + start * scale, max(0.8, (stop - start) * scale - 0.8)
    label = ""
    if text:
        label = (
            f'<text x="{x + width / 2:.1f}" y="{_top(row) + 15.5}" font-size="12" font-weight="650" text-anchor="middle">'
            f"{escape(text[:16])}</text>"
        )
    opacity = 0.55 if text else 0.85
    return (
        f'<g><title>{escape(title)}, {start / 1000:.1f} to {stop / 1000:.1f} s</title><rect class="fill c-{hue}" x="{x:.1f}" '
        f'y="{_top(row)}" width="{width:.1f}" height="{_LANE}" rx="3" opacity="{opacity}"/>{label}</g>'
    )


def _top(row: int) -> int:
    return row * (_LANE + 10)


def _histogram(title: str, values: Sequence[float]) -> str:
    """Of what lies below the 99th percentile, or three times the 95th; p50, p95 and p99 in words."""
    if not values:
        return ""
    ordered = sorted(values)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in (0.5, 0.95, 0.99))
    bins, top = 40, max(min(p99, 3 * p95), 1e-6)
    shown = [value for value in ordered if value <= top]
    counts = [0] * bins
    for value in shown:
        counts[min(bins - 1, max(0, int(value / top * bins)))] += 1
    tallest = max(1, *counts)
    bars = "".join(
        f'<rect class="fill c-teal" x="{12 * i}" y="{104 - 100 * n / tallest:.1f}" width="10" height="{100 * n / tallest:.1f}" rx="2"/>'
        for i, n in enumerate(counts)
    )
    beyond = f", {len(ordered) - len(shown)} beyond the picture" if len(shown) < len(ordered) else ""
    return (
        f'<div><h3>{escape(title)}</h3><svg viewBox="0 0 480 124" role="img" aria-label="{escape(title)}">{bars}'
        f'<text class="soft" x="0" y="120" font-size="12">0</text><text class="soft" x="478" y="120" font-size="12" text-anchor="end">'
        f'{top:.3g} ms</text></svg><div class="legend">p50 {p50:.2f} ms · p95 {p95:.2f} ms · p99 {p99:.2f} ms<span>{len(values)} '
        f"answers{beyond}</span></div></div>"
    )


def _questions(intervals: Sequence[Mapping[str, Any]]) -> str:
    """One row for every scored interval, with whatever else its truth tells."""
    if not intervals:
        return ""
    extra = [key for key in intervals[0] if key not in _KNOWN]
    header = [
        ("from", "n"),
        ("truth", "n"),
        ("answer", "n"),
        ("right, of its answers", "b"),
        *((key, _kind(intervals, key)) for key in extra),
    ]
    rows = []
    for interval in intervals:
        right = interval["said"] == interval["answer"]
        mark, style = ("✓", "right") if right else ("✗", "wrong")
        said = escape("–" if interval["said"] is None else str(interval["said"]))
        bar = f'<div class="bar c-{"good" if right else "bad"}"><i style="width:{percent(float(interval["share"]))}"></i></div>'
        told = [escape("–" if interval.get(key) is None else str(interval[key])) for key in extra]
        truth = f"<b>{escape(str(interval['answer']))}</b>"
        rows.append(
            [f"{interval['from_ms'] / 1000:.1f} s", truth, f'<span class="{style}">{said} {mark}</span>', bar, *told]
        )
    return f"<h3>Questions</h3>{table(header, rows)}"


def _kind(intervals: Sequence[Mapping[str, Any]], key: str) -> str:
    """Long texts get room."""
    return "t" if any(len(str(interval.get(key))) > 16 for interval in intervals) else ""
