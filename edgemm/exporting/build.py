"""`edgemm build`: compiles what a bundle has planned, on the machine that can. Needs no torch.

The bundle is written anew beside the old one and then replaces it: its id changes, its reference graphs do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import FileRecord, Manifest, Variant
from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.bundle.version import VERSION, WRITTEN_BY
from edgemm.bundle.writer import BundleWriter
from edgemm.errors import ExportError, UsageError
from edgemm.exporting.plan import find_exporter, find_runner
from edgemm.host.interfaces import ShapeRange
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.machine.profiles import DeviceProfile, find_device
from edgemm.tensors import TensorSpec

LARGEST_BATCH = 8
Progress = Callable[[str, int, int, str], None]


@dataclass
class BuildSummary:
    """What `build` made.

    Attributes:
        built: target key -> bytes of its engines.
        planned: what is still planned -> why.
        unsigned: whether the bundle was signed before: what is new in it nobody has vouched for yet.
    """

    path: str
    id: str = ""
    built: dict[str, int] = field(default_factory=dict)
    planned: dict[str, str] = field(default_factory=dict)
    unsigned: bool = False

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        lines = [f"{self.path}  id {self.id[:12]}"]
        lines += [f"  {key:<52} {size / 2**20:>7.2f} MiB  built" for key, size in self.built.items()]
        lines += [f"  {key:<52} still planned: {reason}" for key, reason in self.planned.items()]
        if self.unsigned:
            lines.append("  its signatures do not cover what was added: sign it again with 'edgemm sign'")
        return "\n".join(lines)


def shape_ranges(inputs: Sequence[TensorSpec]) -> dict[str, ShapeRange]:
    """Batch 1 to `LARGEST_BATCH` for every input of a graph."""
    return {
        spec.name: ShapeRange(spec.with_batch(1), spec.with_batch(1), spec.with_batch(LARGEST_BATCH)) for spec in inputs
    }


def build(
    bundle: str | Path,
    *,
    device: str | None = None,
    trust: Trust = UNTRUSTED,
    host: PluginHost | None = None,
    progress: Progress | None = None,
) -> BuildSummary:
    """Compile the planned variants of a bundle, for `device` or for whatever this machine can.

    Args:
        bundle: folder or zip; it is replaced.
        device: compile only what is planned for it.
        trust: as in `open`; no engine is loaded, so only an expected id counts.
        host: plugins to use.
        progress: called with (stage, done, total, note).

    Raises:
        UsageError: nothing is planned, or not for that device.
        ExportError: this machine cannot build it (with the reason and remedy), or the compiler refused.
    """
    host = host or default_host()
    opened = Bundle(bundle, trust)
    if opened.manifest.version > VERSION:  # writing it anew would lose what this EdgeMM does not know of
        raise UsageError(
            f"{bundle}: {opened.manifest.written_by!r:.40} wrote it, in a newer form than {WRITTEN_BY} writes; update EdgeMM here to build it"
        )
    wanted = find_device(host, device).name if device else None
    planned = {key: plan for key, plan in opened.manifest.planned.items() if wanted in (None, plan.device)}
    if not planned:
        known = ", ".join(sorted({plan.device for plan in opened.manifest.planned.values()})) or "nothing"
        raise UsageError(f"{bundle}: nothing is planned{f' for {wanted}' if wanted else ''}; planned: {known}")
    summary = BuildSummary(str(bundle), unsigned=bool(opened.signatures()))
    with BundleWriter(opened.path, overwrite=True, zipped=opened.path.is_file()) as writer:
        for name in opened.manifest.files:
            writer.add(name, opened.read(name))
        variants = dict(opened.manifest.variants)
        left = dict(opened.manifest.planned)
        for key, plan in planned.items():
            profile = find_device(host, plan.device)
            reason = find_exporter(host, plan.backend).unavailable(profile)
            if reason:
                summary.planned[key] = reason
                continue
            made, variant = _compile(opened, writer, key, profile, host, progress)
            variants[made] = variant
            del left[key]
            summary.built[made] = sum((writer.folder / path).stat().st_size for path in variant.files.values())
        if not summary.built:
            reasons = "\n  ".join(f"{key}: {reason}" for key, reason in summary.planned.items())
            raise ExportError(f"{bundle}: nothing could be built on this machine\n  {reasons}")

        def manifest(files: dict[str, FileRecord]) -> Manifest:
            built = [*opened.manifest.provenance.get("built", []), {"from": opened.id, "added": sorted(summary.built)}]
            provenance = {**opened.manifest.provenance, "built": built}
            return replace(opened.manifest, variants=variants, planned=left, files=files, provenance=provenance)

        summary.id = writer.finish(manifest)
    return summary


def _compile(
    opened: Bundle, writer: BundleWriter, key: str, profile: DeviceProfile, host: PluginHost, progress: Progress | None
) -> tuple[str, Variant]:
    plan = opened.manifest.planned[key]
    exporter = find_exporter(host, plan.backend)
    made = f"{plan.device}.{plan.backend}-{exporter.version()}.{plan.precision}"
    files: dict[str, str] = {}
    told: dict[str, Any] = {}
    for number, (graph, source) in enumerate(plan.sources.items()):
        if progress:
            progress("compiling", number, len(plan.sources), f"{made}: {graph}")
        files[graph] = f"variants/{made}/{graph}.{exporter.format}"
        record = exporter.build(
            writer.path(source),
            writer.path(files[graph]),
            device=profile,
            shapes=shape_ranges(opened.manifest.graphs[graph].inputs),
        )
        told[graph] = {**record.__dict__, "warnings": list(record.warnings)}
    return made, Variant(
        plan.device,
        plan.backend,
        exporter.version(),
        plan.precision,
        files,
        plan.sources,
        profile.compute_capability,
        told,
        find_runner(host, exporter.format) or (),
    )
