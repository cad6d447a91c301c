"""What was compiled, how large it is, where a precision fell back, and what is still to be compiled."""

from __future__ import annotations

from collections.abc import Mapping

from edgemm.bundle.manifest import Manifest, Variant
from edgemm.exporting.report.page import escape, hue_of, legend, mebibytes, percent, section

_REFERENCE = "cpu.onnxruntime.fp32"


def variants_section(manifest: Manifest, sizes: Mapping[str, int], fallbacks: Mapping[str, Mapping[str, str]]) -> str:
    """One row for every variant, its bar made of its graphs."""
    graphs = manifest.model.graph_names
    largest = max([*sizes.values(), 1])
    rows = "".join(
        _row(manifest, key, variant, sizes.get(key, 0), largest, fallbacks.get(key, {}))
        for key, variant in manifest.variants.items()
    )
    reference = sizes.get(_REFERENCE)
    lead = "One variant for each target; its files are all that a device loads."
    if reference:
        lead += f" The FP32 reference has {mebibytes(reference)}."
    return section("Variants", lead, rows + legend((hue_of(graphs, graph), graph) for graph in graphs))


def planned_section(manifest: Manifest) -> str:
    """What could not be compiled where the bundle was made, with the command that does it."""
    if not manifest.planned:
        return ""
    rows = []
    for key, planned in manifest.planned.items():
        command = f"edgemm build BUNDLE --device {planned.device}"
        rows.append(
            f'<h3>{escape(planned.device)} <span class="pill">{escape(planned.precision)}</span></h3>'
            f'<p class="lead" style="margin:0">{escape(planned.reason)}</p><pre><code>{escape(command)}</code></pre>'
            f'<small class="legend">{escape(key)}</small>'
        )
    lead = "These variants are planned: their ONNX is in the bundle, the engines are compiled where the compiler and the device are."
    return section("Still to build", lead, "".join(rows))


def _row(manifest: Manifest, key: str, variant: Variant, size: int, largest: int, fallbacks: Mapping[str, str]) -> str:
    graphs = manifest.model.graph_names
    parts = "".join(
        f'<i class="c-{hue_of(graphs, graph)}" style="width:{percent(manifest.files[path].bytes / largest)}" '
        f'title="{escape(graph)}: {mebibytes(manifest.files[path].bytes)}"></i>'
        for graph, path in variant.files.items()
    )
    notes = "".join(
        f'<div class="note"><b>{escape(graph)}</b>: {escape(reason)}</div>' for graph, reason in fallbacks.items()
    )
    return (
        f'<div class="variant"><div><b>{escape(variant.device)}</b> <span class="pill c-teal">{escape(variant.precision)}</span>'
        f"<small>{escape(_about(variant))}</small></div>"
        f'<div class="track" role="img" aria-label="{escape(f"{key}: {mebibytes(size)}")}">{parts}</div>'
        f'<div class="size">{mebibytes(size)}{_files(variant)}</div>{notes}</div>'
    )


def _about(variant: Variant) -> str:
    facts = [f"{variant.backend} {variant.backend_version}"]
    if variant.compute_capability:
        facts.append(f"SM {variant.compute_capability}")
    seconds = sum(float(record.get("seconds", 0)) for record in variant.build.values() if isinstance(record, Mapping))
    if seconds:
        facts.append(f"compiled in {seconds:.0f} s")
    return ", ".join(facts)


def _files(variant: Variant) -> str:
    kinds = sorted({path.rpartition(".")[2] for path in variant.files.values()})
    return f"<small>{len(variant.files)} × {escape(', '.join(kinds))}</small>"
