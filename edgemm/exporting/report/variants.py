"""What was compiled, how large it is, and where a precision fell back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgemm.bundle.manifest import Manifest, Variant
from edgemm.exporting.report.rendering import hue_of, mebibytes

_REFERENCE = "cpu.onnxruntime.fp32"


@dataclass(frozen=True)
class Part:
    """One graph's piece of a variant's bar; `share` is of the largest variant."""

    graph: str
    hue: str
    share: float
    size: str


@dataclass(frozen=True)
class Row:
    """One variant."""

    key: str
    device: str
    precision: str
    about: str
    parts: tuple[Part, ...]
    size: str
    files: str
    fallbacks: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VariantsView:
    """The section: a sentence, a row for every variant, and (hue, graph) for the legend."""

    lead: str
    rows: tuple[Row, ...]
    legend: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, manifest: Manifest, sizes: Mapping[str, int], fallbacks: Mapping[str, Mapping[str, str]]
    ) -> VariantsView:
        """Of a bundle."""
        graphs = manifest.model.graph_names
        largest = max([*sizes.values(), 1])
        lead = "One variant for each target; its files are all that a device loads."
        if _REFERENCE in sizes:
            lead += f" The FP32 reference has {mebibytes(sizes[_REFERENCE])}."
        rows = tuple(
            _row(manifest, key, variant, sizes.get(key, 0), largest, fallbacks.get(key, {}))
            for key, variant in manifest.variants.items()
        )
        return cls(lead, rows, tuple((hue_of(graphs, graph), graph) for graph in graphs))


def _row(manifest: Manifest, key: str, variant: Variant, size: int, largest: int, fallbacks: Mapping[str, str]) -> Row:
    graphs = manifest.model.graph_names
    bytes_of = {graph: manifest.files[path].bytes for graph, path in variant.files.items()}
    return Row(
        key=key,
        device=variant.device,
        precision=variant.precision,
        about=_about(variant),
        parts=tuple(Part(g, hue_of(graphs, g), n / largest, mebibytes(n)) for g, n in bytes_of.items()),
        size=mebibytes(size),
        files=f"{len(variant.files)} × {', '.join(sorted({path.rpartition('.')[2] for path in variant.files.values()}))}",
        fallbacks=tuple(fallbacks.items()),
    )


def _about(variant: Variant) -> str:
    facts = [f"{variant.backend} {variant.backend_version}"]
    if variant.compute_capability:
        facts.append(f"SM {variant.compute_capability}")
    seconds = sum(float(record.get("seconds", 0)) for record in variant.build.values() if isinstance(record, Mapping))
    if seconds:
        facts.append(f"compiled in {seconds:.0f} s")
    return ", ".join(facts)
