"""Puts the report together: the large numbers on top, and what each section shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgemm.bundle.manifest import Manifest
from edgemm.exporting.report.model import Picture
from edgemm.exporting.report.parity import rungs
from edgemm.exporting.report.rendering import count, mebibytes, render, share
from edgemm.exporting.report.stream import StreamView
from edgemm.exporting.report.variants import VariantsView

__all__ = ["report_html"]

GOOD_SHARE = 0.95  # of a stream's questions, for a green number
_NO_CALIBRATION = {"source": "", "random": False, "evidence": False, "rows": 0, "compared_on": 0, "sha256": ""}
Tile = tuple[str, str, str]
"""A number, what it says, and `good`, `bad` or "" for its colour."""


def report_html(
    manifest: Manifest,
    sizes: Mapping[str, int],
    fallbacks: Mapping[str, Mapping[str, str]],
    *,
    profile: Mapping[str, Any] | None = None,
    stream: Mapping[str, Any] | None = None,
) -> str:
    """The whole page.

    Args:
        manifest: of the bundle.
        sizes: target key -> bytes of the variant's files.
        fallbacks: target key -> graph -> the precision that it got instead, and why.
        profile: `edgemm.profile(...).to_json()`, to show where the time goes.
        stream: a recorded stream: `seconds`, `intervals` (`from_ms`, `to_ms`, `answer`, `share`, and anything else to tell), `results`
            (`t_ms`, `label`, `score`, `inputs`, `compute_ms`), `interval_accuracy`, `result_accuracy`, `compute_ms` and `age_ms`
            (lists of ms), `variant`.
    """
    return render(
        "page.html.j2",
        title=manifest.name,
        tiles=list(_tiles(manifest, sizes, profile, stream)),
        stream=StreamView.of(stream, tuple(manifest.inputs)) if stream else None,
        picture=Picture.of(manifest),
        variants=VariantsView.of(manifest, sizes, fallbacks),
        rungs=rungs(manifest.parity, tuple(manifest.outputs)),
        calibration={**_NO_CALIBRATION, **manifest.calibration} if manifest.calibration else None,
        profile={**profile, "widest_us": _widest_us(profile)} if profile else None,
        planned=list(manifest.planned.items()),
        provenance=[f"{key} {value}" for key, value in manifest.provenance.items()],
    )


def _tiles(
    manifest: Manifest, sizes: Mapping[str, int], profile: Mapping[str, Any] | None, stream: Mapping[str, Any] | None
) -> Iterator[Tile]:
    if stream:
        right = stream["interval_accuracy"]
        kind = "good" if right >= GOOD_SHARE else "bad"
        yield share(right), f"of {len(stream['intervals'])} streamed questions right", kind
    parameters = sum(graph.parameters for graph in manifest.graphs.values())
    yield count(parameters), f"parameters in {len(manifest.graphs)} graphs, for {', '.join(manifest.inputs)}", ""
    if sizes:
        key = min(sizes, key=lambda name: sizes[name])
        yield mebibytes(sizes[key]), f"the smallest of {len(sizes)} variants: {key}", ""
    agreements = [record["agreement"] for records in manifest.parity.values() for record in records.values()]
    if agreements:
        yield share(min(agreements)), "lowest agreement with FP32 of any node or answer", ""
    if profile:
        total = next(stage for stage in profile["stages"] if stage["kind"] == "total")
        versus = f", {total['ratio']:.2f} × bare ONNX Runtime" if total["ratio"] else ""
        yield f"{total['edgemm']['p50_us'] / 1e3:.2f} ms", f"per answer, p50{versus}", ""


def _widest_us(profile: Mapping[str, Any]) -> float:
    """What the bars of a profile end at: of all stages but the conversion of inputs, which is compared with nothing, the longest p95."""
    return max(float(stage["edgemm"]["p95_us"]) for stage in profile["stages"] if stage["kind"] != "input")
