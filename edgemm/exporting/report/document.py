"""Puts the report together from its sections. Every name and label that comes from a model or a stream is escaped where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgemm.bundle.manifest import Manifest
from edgemm.exporting.report.model import model_section
from edgemm.exporting.report.page import count, escape, mebibytes, page, share, tile
from edgemm.exporting.report.precision import parity_section
from edgemm.exporting.report.profile import profile_section
from edgemm.exporting.report.stream import stream_section
from edgemm.exporting.report.variants import planned_section, variants_section

__all__ = ["report_html"]

GOOD_SHARE = 0.95  # of a stream's questions, for a green number


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
    sections = [
        stream_section(stream, tuple(manifest.inputs)) if stream else "",
        model_section(manifest),
        variants_section(manifest, sizes, fallbacks),
        parity_section(manifest.parity, manifest.calibration, tuple(manifest.outputs)),
        profile_section(profile) if profile else "",
        planned_section(manifest),
    ]
    return page(manifest.name, _tiles(manifest, sizes, profile, stream), "".join(sections), _footer(manifest))


def _tiles(
    manifest: Manifest, sizes: Mapping[str, int], profile: Mapping[str, Any] | None, stream: Mapping[str, Any] | None
) -> str:
    tiles = []
    if stream:
        right = stream["interval_accuracy"]
        kind = "good" if right >= GOOD_SHARE else "bad"
        tiles.append(tile(share(right), f"of {len(stream['intervals'])} streamed questions right", kind))
    parameters = sum(graph.parameters for graph in manifest.graphs.values())
    names = ", ".join(manifest.inputs)
    tiles.append(tile(count(parameters), f"parameters in {len(manifest.graphs)} graphs, for {names}"))
    if sizes:
        key = min(sizes, key=lambda name: sizes[name])
        tiles.append(tile(mebibytes(sizes[key]), f"the smallest of {len(sizes)} variants: {key}"))
    rungs = [record["agreement"] for records in manifest.parity.values() for record in records.values()]
    if rungs:
        tiles.append(tile(share(min(rungs)), "lowest agreement with FP32 of any node or answer"))
    if profile:
        total = next(stage for stage in profile["stages"] if stage["kind"] == "total")
        versus = f", {total['ratio']:.2f} × bare ONNX Runtime" if total["ratio"] else ""
        tiles.append(tile(f"{total['edgemm']['p50_us'] / 1e3:.2f} ms", f"per answer, p50{versus}"))
    return "".join(tiles)


def _footer(manifest: Manifest) -> str:
    facts = [f"{escape(str(key))} {escape(str(value))}" for key, value in manifest.provenance.items()]
    return " · ".join(facts)
