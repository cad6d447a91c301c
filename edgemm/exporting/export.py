"""`edgemm.export`: a trained model to a bundle, as five steps that hand on values.

    plan_targets    -> targets      what will be built, or why it cannot be
    export_graphs   -> Graphs       FP32 ONNX that computes what torch computes
    calibrate       -> Calibrated   what reaches every graph
    make_variants   -> Variants     the best precision that passes its gate, compiled
    _write          -> a bundle     opened, and run on its test vectors, before it is there

No step reads what a later one writes. The bundle appears whole or not at all.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgemm.bundle.manifest import FileRecord, Manifest
from edgemm.bundle.trust import Trust
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.parity import Parity
from edgemm.checking.vectors import save_vectors
from edgemm.checking.verify import Verification, verify
from edgemm.errors import UsageError
from edgemm.exporting.calibrate import Calibrated, Divided, calibrate, load_samples
from edgemm.exporting.graphs import Graphs, export_graphs
from edgemm.exporting.plan import plan_targets
from edgemm.exporting.report import report_html
from edgemm.exporting.summary import ExportSummary
from edgemm.exporting.variants import Variants, make_variants
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.model.precision import FP32
from edgemm.modeling.graph_modules import Exportable
from edgemm.progress import Progress, silent
from edgemm.uris import redact
from edgemm.version import __version__


def export(
    model: str | Path | Exportable,
    out: str | Path,
    *,
    device: str | Sequence[str] = "cpu",
    precision: str = "auto",
    calibration: str | Path | Iterable[Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    zipped: bool = False,
    progress: Progress = silent,
    host: PluginHost | None = None,
) -> ExportSummary:
    """Export a trained model to a bundle.

    Args:
        model: a checkpoint, or what `edgemm.wrap` or `edgemm.load` made.
        out: the bundle to write.
        device: one or several device profiles (`edgemm devices`); the CPU's FP32 reference is always part.
        precision: `auto` (what each device's profile says: fp32 and int8 for a CPU, fp16 and int8+fp16 for our GPUs), or a list such as
            `fp16,int8+fp16`.
        calibration: aligned samples of all inputs: an .npz of rows per input, or an iterable of `{input: raw value}`. A quarter of them is
            kept out to compare on. Of a model that remembers (state, windows) they must be in order of time, as a stream would give them.
            None takes random data, which the bundle says.
        overwrite: replace a bundle that is there.
        zipped: write one zip instead of a folder.
        progress: told of each step.
        host: plugins to use.

    Raises:
        UnknownNameError, UsageError: wrong device, precision or calibration.
        MissingDependencyError: no plugin compiles for a device, or writes a precision for it.
        ExportError: a graph could not be exported or compiled; ParityError: FP32 does not compute the same as torch, a device takes no
            precision in which a graph does, or what was written does not.
        BundleError: the disk is full, or the like.
    """
    started_s = time.monotonic()
    host = host or default_host()
    model, origin = _loaded(model, host)
    targets = plan_targets(host, [device] if isinstance(device, str) else device, precision)
    samples = Divided.of(load_samples(model.graph.inputs, calibration))
    with BundleWriter(out, overwrite=overwrite, zipped=zipped) as writer:
        graphs = export_graphs(model, samples.checking, writer, progress)
        quantizing = any(target.precision.name != FP32 for target in targets)
        calibrated = calibrate(graphs.model, graphs.runners, samples, progress, quantizing=quantizing)
        variants = make_variants(targets, graphs, calibrated, writer, progress)
        summary = _write(writer, graphs, calibrated, variants, origin, progress)
    return replace(summary, path=Path(out), seconds=time.monotonic() - started_s)


def _loaded(model: str | Path | Exportable, host: PluginHost) -> tuple[Exportable, dict[str, Any]]:
    """The model, and where it comes from, for the manifest."""
    if not isinstance(model, (str, Path)):
        if not hasattr(model, "graph"):
            raise UsageError(
                f"expected a checkpoint, or what edgemm.wrap or edgemm.load made; got {type(model).__name__}. A network of your own: "
                "edgemm.export(edgemm.wrap(net, inputs={'image': edgemm.Image(96, 96)}), …)"
            )
        return model, {}
    from edgemm.modeling.checkpoint import checkpoint_path, load

    path = checkpoint_path(model)
    origin = {"checkpoint": path.name, "sha256": _sha256(path)}
    composed = load(model, host=host)
    if composed.spec.training:
        origin["task"] = composed.spec.training.task
    return composed, origin


def _write(
    writer: BundleWriter,
    graphs: Graphs,
    calibrated: Calibrated,
    variants: Variants,
    origin: Mapping[str, Any],
    progress: Progress,
) -> ExportSummary:
    """Test vectors, report and manifest; then what was written is opened and run, and only then is it in place.

    Raises:
        ParityError: what was written does not compute what the reference does.
    """
    vectors = save_vectors(writer, graphs.model, graphs.runners, calibrated.samples.checking.tensors)
    parity = {"torch → onnx fp32": _records(graphs.parity)}
    parity |= {rung: _records(found) for rung, found in variants.parity.items()}
    facts = calibrated.samples.facts()

    def manifest(files: dict[str, FileRecord]) -> Manifest:
        return Manifest(
            name=graphs.model.name,
            inputs=graphs.model.inputs,
            graphs=graphs.records,
            nodes=graphs.model.nodes,
            outputs=graphs.model.outputs,
            variants=variants.made,
            files=files,
            vectors=vectors,
            parity=parity,
            calibration=facts,
            planned=variants.planned,
            provenance={**origin, "edgemm": __version__, "made_on": platform.platform(), **_versions()},
        )

    files = writer.records()
    sizes = {key: sum(files[path].bytes for path in made.files.values()) for key, made in variants.made.items()}
    writer.add("report.html", report_html(manifest(files), sizes, variants.fallbacks))
    bundle_id = writer.seal(manifest)
    checked = _checked(writer.sealed, progress)
    progress("writing", 1, 1, str(writer.target))
    writer.put_in_place()
    return ExportSummary(
        path=writer.target,
        id=bundle_id,
        variants=sizes,
        fallbacks=variants.fallbacks,
        planned={key: planned.reason for key, planned in variants.planned.items()},
        not_run=checked.skipped,
        parity=parity,
        calibration=facts,
    )


def _checked(written: Path, progress: Progress) -> Verification:
    """Open what was written and run it, engines too: they were compiled a moment ago, from graphs that were ours."""
    found = verify(written, trust=Trust(engines=True), progress=progress)
    found.expect_passed("what was written does not compute what the reference does; nothing is left of it")
    return found


def _records(parities: Mapping[str, Parity]) -> dict[str, dict[str, Any]]:
    return {name: parity.to_json() for name, parity in parities.items()}


def _versions() -> dict[str, str]:
    found = {}
    for package in ("torch", "onnx", "onnxruntime", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _sha256(path: Path) -> str:
    import hashlib

    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read the checkpoint '{redact(str(path))}': {error.strerror}") from None
