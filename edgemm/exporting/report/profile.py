"""Where the time goes: each stage's p50, p95 and p99 beside plain ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgemm.exporting.report.page import escape, legend, percent, section, table

_HEADER = (
    ("", ""),
    ("p50, and to p95", "b"),
    ("p50", "n"),
    ("p95", "n"),
    ("p99", "n"),
    ("bare p50", "n"),
    ("ratio", "n"),
)


def profile_section(profile: Mapping[str, Any]) -> str:
    """The card about time."""
    machine = profile["machine"]
    lead = (
        f"{profile['variant']} on {machine['cpu']} ({machine['cores']} cores, load {machine['load']}), {profile['runs']} runs in turns "
        f"with the same graphs in plain ONNX Runtime {machine['versions']['onnxruntime']}. On a busy machine trust the ratio."
    )
    stages = profile["stages"]
    widest = max(stage["edgemm"]["p95_us"] for stage in stages if stage["kind"] != "input")
    keys = legend((("blue", "EdgeMM"), ("soft", "bare ONNX Runtime: session.run, nothing else")))
    return section(
        "Where the time goes",
        lead,
        f'<div class="scroll"><div class="wide">{table(_HEADER, _rows(stages, widest))}</div></div>{keys}',
    )


def _rows(stages: Sequence[Mapping[str, Any]], widest: float) -> Iterator[Sequence[str]]:
    for stage in stages:
        ours, bare = stage["edgemm"], stage["bare"]
        bars = _bar(ours, widest, "blue")
        if bare:
            bars += f'<div style="height:4px"></div>{_bar(bare, widest, "soft")}'
        kind = "" if stage["name"] == stage["kind"] else f'<span class="pill">{escape(stage["kind"])}</span> '
        yield (
            f"{kind}<b>{escape(stage['name'])}</b>",
            bars,
            *(_time(ours[key]) for key in ("p50_us", "p95_us", "p99_us")),
            _time(bare["p50_us"]) if bare else "",
            f"{stage['ratio']:.2f} ×" if stage["ratio"] is not None else "",
        )


def _bar(times: Mapping[str, float], widest: float, hue: str) -> str:
    """p50 solid, up to p95 faint; what is slower than everything else together ends at the edge."""
    return (
        f'<div class="bar c-{hue}" style="height:7px"><i class="faint" style="width:{percent(times["p95_us"] / widest)}"></i>'
        f'<i style="width:{percent(times["p50_us"] / widest)}"></i></div>'
    )


def _time(microseconds: float) -> str:
    return f"{microseconds / 1e3:.2f} ms" if microseconds >= 1000 else f"{microseconds:.0f} µs"
