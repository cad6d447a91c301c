"""`edgemm build`: compiles what a bundle has planned, on the machine that can. Needs no torch.

The bundle is written anew beside the old one and then replaces it: its id changes, its reference graphs do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import FileRecord, Manifest, Planned, Variant
from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.bundle.version import VERSION, WRITTEN_BY
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.verify import verify
from edgemm.errors import ExportError, UsageError
from edgemm.exporting.compile import compile_variant, target_key
from edgemm.exporting.plan import find_exporter, find_runner
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.machine.profiles import DeviceProfile, find_device
from edgemm.progress import Progress, silent


@dataclass
class BuildSummary:
    """What `build` made.

    Attributes:
        built: target key -> bytes of its engines.
        planned: what is still planned -> why.
        not_run: what this machine could not run -> why; the ONNX that it was compiled from was run instead, where there are test vectors.
        unsigned: whether the bundle was signed before: what is new in it nobody has vouched for yet.
    """

    path: str
    id: str = ""
    built: dict[str, int] = field(default_factory=dict)
    planned: dict[str, str] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    unsigned: bool = False

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        lines = [f"{self.path}  id {self.id[:12]}"]
        lines += [f"  {key:<52} {size / 2**20:>7.2f} MiB  built" for key, size in self.built.items()]
        lines += [f"  {key:<52} still planned: {reason}" for key, reason in self.planned.items()]
        lines += [f"  {key:<52} not run here: {reason}" for key, reason in self.not_run.items()]
        ran = [key for key in self.built if key not in self.not_run]
        if ran:
            lines.append(f"  run on the test vectors: {', '.join(ran)}")
        if self.unsigned:
            lines.append("  its signatures do not cover what was added: sign it again with 'edgemm sign'")
        return "\n".join(lines)


def build(
    bundle: str | Path,
    *,
    device: str | None = None,
    trust: Trust = UNTRUSTED,
    host: PluginHost | None = None,
    progress: Progress = silent,
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
        ParityError: what was compiled does not compute what the reference does; the bundle is as it was.
        ExportError: this machine cannot build it (with the reason and remedy), or the compiler refused.
        BundleError: it was changed, is not the one that `trust` names, or would have a file outside of it read or written.
    """
    host = host or default_host()
    opened = Bundle(bundle, trust)
    if opened.manifest.version > VERSION:  # writing it anew would lose what this EdgeMM does not know of
        raise UsageError(
            f"{bundle}: {opened.manifest.written_by!r:.40} wrote it, in a newer form than {WRITTEN_BY} writes; update EdgeMM here to build it"
        )
    planned = _planned(opened, find_device(host, device).name if device else None)
    summary = BuildSummary(str(bundle), unsigned=bool(opened.signatures()))
    with BundleWriter(opened.path, overwrite=True, zipped=opened.path.is_file()) as writer:
        for name in opened.manifest.files:
            writer.add(name, opened.read(name))
        variants = dict(opened.manifest.variants)
        left = dict(opened.manifest.planned)
        for number, (key, plan) in enumerate(planned.items()):
            tell = partial(progress, "compiling", number, len(planned))
            profile = find_device(host, plan.device)
            reason = find_exporter(host, plan.backend).unavailable(profile)
            if reason:
                summary.planned[key] = reason
                continue
            made, variant = _compile(opened, writer, key, profile, host, tell)
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

        summary.id = writer.seal(manifest)
        _ran(opened, writer, summary, progress)
        writer.put_in_place()
    return summary


def _planned(opened: Bundle, device: str | None) -> dict[str, Planned]:
    found = {key: plan for key, plan in opened.manifest.planned.items() if device in (None, plan.device)}
    if not found:
        known = ", ".join(sorted({plan.device for plan in opened.manifest.planned.values()})) or "nothing"
        raise UsageError(f"{opened.path}: nothing is planned{f' for {device}' if device else ''}; planned: {known}")
    return found


def _compile(
    opened: Bundle,
    writer: BundleWriter,
    key: str,
    profile: DeviceProfile,
    host: PluginHost,
    tell: Callable[[str], None],
) -> tuple[str, Variant]:
    plan = opened.manifest.planned[key]
    exporter = find_exporter(host, plan.backend)
    made = target_key(profile, plan.precision, exporter.version())
    inputs = {graph: opened.manifest.graphs[graph].inputs for graph in plan.sources}
    runner = find_runner(host, exporter.format)
    return made, compile_variant(
        made, profile, plan.precision, exporter, runner, sources=plan.sources, inputs=inputs, writer=writer, tell=tell
    )


def _ran(opened: Bundle, writer: BundleWriter, summary: BuildSummary, progress: Progress) -> None:
    """Run what was compiled, which needs no trust: it was made a moment ago, from graphs that were checked."""
    if not opened.manifest.vectors:
        summary.not_run = dict.fromkeys(summary.built, "the bundle has no test vectors")
        return
    found = verify(writer.sealed, trust=Trust(engines=True), variants=summary.built, progress=progress)
    found.expect_passed("what was compiled does not compute what the reference does; the bundle is as it was")
    summary.not_run = dict(found.skipped)
