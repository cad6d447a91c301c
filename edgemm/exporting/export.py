"""The export pipeline: a trained model to a bundle.

    plan -> split & export -> calibrate -> precision per graph -> build engines -> parity ladder -> bundle

Precision is written into the graphs; a graph that fails the parity gate of its precision falls back to the next higher one, and the
manifest says so. The bundle appears whole or not at all.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from edgemm.bundle.manifest import FileRecord, GraphRecord, Manifest, Planned, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.parity import GATES, Parity, compare, compare_nodes, compare_outputs
from edgemm.checking.vectors import save_vectors
from edgemm.errors import EdgeMMError, ParityError, UsageError
from edgemm.exporting.build import shape_ranges
from edgemm.exporting.calibrate import MINIMUM_ROWS, Samples, feeds_per_graph, load_samples
from edgemm.exporting.onnx_from_torch import onnx_from_torch
from edgemm.exporting.plan import LOWER, Target, find_quantizer, plan_targets
from edgemm.exporting.report import report_html
from edgemm.exporting.summary import ExportSummary
from edgemm.host.interfaces import Runner
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.modeling.graph_modules import Exportable, example_inputs, run_modules, tensor_specs
from edgemm.progress import Progress, silent
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runtime.single_pass import SinglePass
from edgemm.version import __version__

_EXAMPLE_BATCH = 2
_PARITY_SHARE = 4  # one sample in four is kept out of calibration, to compare on


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
        precision: `auto` (CPU: fp32 and int8; GPU: fp16 and int8+fp16), or a list such as `fp16,int8+fp16`.
        calibration: aligned samples of all inputs: an .npz of rows per input, or an iterable of `{input: raw value}`. A quarter of them is
            kept out to compare on. None takes random data, which the bundle says.
        overwrite: replace a bundle that is there.
        zipped: write one zip instead of a folder.
        progress: told of each step.
        host: plugins to use.

    Raises:
        UnknownNameError, UsageError: wrong device, precision or calibration.
        ExportError: a graph could not be exported or compiled; ParityError: FP32 does not compute the same as torch.
        BundleError: the disk is full, or the like.
    """
    started_s = time.monotonic()
    host = host or default_host()
    origin: dict[str, Any] = {}
    if isinstance(model, (str, Path)):
        from edgemm.modeling.checkpoint import checkpoint_path, load

        origin = {"checkpoint": checkpoint_path(model).name, "sha256": _sha256(checkpoint_path(model))}
        composed = load(model, host=host)
        if composed.spec.training:
            origin["task"] = composed.spec.training.task
        model = composed
    targets = plan_targets(host, [device] if isinstance(device, str) else device, precision)
    samples = load_samples(model.graph.inputs, calibration)
    with BundleWriter(out, overwrite=overwrite, zipped=zipped) as writer:
        job = _Export(model, targets, samples, writer, progress, host)
        job.run()
        summary = job.summary
        manifest = job.manifest(origin)
        summary.path = Path(out)
        summary.seconds = time.monotonic() - started_s
        writer.add("report.html", report_html(manifest(writer.records()), summary.variants, summary.fallbacks))
        progress("writing", 1, 1, str(out))
        summary.id = writer.finish(manifest)
    return summary


class _Export:
    """The state of one export."""

    def __init__(
        self,
        model: Exportable,
        targets: list[Target],
        samples: Samples,
        writer: BundleWriter,
        progress: Progress,
        host: PluginHost,
    ) -> None:
        self._model = model
        self._graph = model.graph
        self._targets = targets
        self._writer = writer
        self._progress = progress
        self._host = host
        held = max(1, min(samples.rows // _PARITY_SHARE, 64))
        self._calibrating = samples.part(0, samples.rows - held) if samples.rows > held else samples
        self._checking = samples.part(samples.rows - held, samples.rows)
        self._records: dict[str, GraphRecord] = {}
        self._keep_fp32: dict[str, tuple[str, ...]] = {}
        self._feeds: dict[str, list[dict[str, np.ndarray]]] = {}
        self._runners: dict[str, Runner] = {}
        self._variants: dict[str, Variant] = {}
        self._planned: dict[str, Planned] = {}
        self._converted: dict[tuple[str, str, str], tuple[str, str]] = {}
        self._vectors = ""
        self.summary = ExportSummary(writer.target)

    def run(self) -> None:
        """Do every step but the manifest."""
        self._export_graphs()
        self._reference = SinglePass(self._graph, self._runners, self._checking.tensors)
        if any(target.precision != "fp32" for target in self._targets):
            self._progress("calibrating", 0, 1, f"{self._calibrating.rows} samples")
            self._feeds = feeds_per_graph(self._graph, self._runners, self._calibrating)
        for number, target in enumerate(self._targets):
            self._make_variant(target, number)
        self._drop_unused()
        self._vectors = save_vectors(self._writer, self._graph, self._runners, self._checking.tensors)
        self.summary.calibration = self._calibration()
        for key, variant in self._variants.items():
            self.summary.variants[key] = sum(
                (self._writer.folder / path).stat().st_size for path in variant.files.values()
            )
        self.summary.planned = {key: planned.reason for key, planned in self._planned.items()}

    def manifest(self, origin: Mapping[str, Any]) -> Any:
        """What makes the manifest once the files are known."""

        def make(files: dict[str, FileRecord]) -> Manifest:
            return Manifest(
                name=self._graph.name,
                inputs=self._graph.inputs,
                graphs=self._records,
                nodes=self._graph.nodes,
                outputs=self._graph.outputs,
                variants=self._variants,
                files=files,
                vectors=self._vectors,
                parity=self.summary.parity,
                calibration=self.summary.calibration,
                planned=self._planned,
                provenance={**origin, "edgemm": __version__, "made_on": platform.platform(), **_versions()},
            )

        return make

    def _export_graphs(self) -> None:
        record = run_modules(self._model, example_inputs(self._graph.inputs, _EXAMPLE_BATCH))
        modules = self._model.modules_by_graph
        for number, name in enumerate(self._graph.graph_names):
            self._progress("exporting", number, len(self._graph.graph_names), f"graph {name} to ONNX")
            node = next(node for node in self._graph.nodes if node.graph == name)
            inputs = tensor_specs(node.graph_inputs, record[node.name]["inputs"])
            outputs = tensor_specs(node.outputs, record[node.name]["outputs"])
            path = self._writer.path(_reference_path(name))
            self._keep_fp32[name] = onnx_from_torch(modules[name], record[node.name]["inputs"], inputs, outputs, path)
            parameters = sum(parameter.numel() for parameter in modules[name].parameters())
            self._records[name] = GraphRecord(inputs, outputs, parameters)
            self._runners[name] = OnnxRuntimeRunner(path.read_bytes(), name)
        self._check_torch()

    def _check_torch(self) -> None:
        """First rung: torch against ONNX FP32, on samples, where shapes of outputs do not depend on data."""
        import torch

        tensors = self._checking.part(0, 8).tensors
        expected = run_modules(self._model, {name: torch.from_numpy(array) for name, array in tensors.items()})
        records = {}
        for node in self._graph.nodes:
            feeds = dict(zip(node.graph_inputs, (t.numpy() for t in expected[node.name]["inputs"]), strict=True))
            got = self._runners[node.graph].run(feeds)
            parity = compare(node.name, [t.numpy() for t in expected[node.name]["outputs"]], got)
            if not parity.passes(GATES["fp32"]):
                raise ParityError(
                    f"node '{node.name}': ONNX does not compute what torch does (largest difference {parity.max_abs:.3g}, cosine "
                    f"{parity.cosine:.6f}); does its forward depend on data in Python, or on random numbers?"
                )
            records[node.name] = parity.to_json()
        self.summary.parity["torch → onnx fp32"] = records

    def _make_variant(self, target: Target, number: int) -> None:
        key, files, sources, build = target.key, {}, {}, {}
        parities: dict[str, Parity] = {}
        for graph in self._graph.graph_names:
            self._progress("compiling", number, len(self._targets), f"{key}: {graph}")
            sources[graph], got, reason, nodes = self._convert(target, graph)
            parities |= nodes
            if reason:
                self.summary.fallbacks.setdefault(key, {})[graph] = reason
            if target.exporter is None:
                files[graph] = sources[graph]
            elif not target.deferred:
                files[graph] = f"variants/{key}/{graph}.{target.exporter.format}"
                record = target.exporter.build(
                    self._writer.path(sources[graph]),
                    self._writer.path(files[graph]),
                    device=target.device,
                    shapes=shape_ranges(self._records[graph].inputs),
                )
                build[graph] = {**record.__dict__, "warnings": list(record.warnings), "precision": got}
        self._record_parity(target, sources, parities)
        device = target.device
        if target.deferred:
            self._planned[key] = Planned(device.name, device.backend, target.precision, sources, target.deferred)
            return
        self._variants[key] = Variant(
            device.name,
            device.backend,
            version("onnxruntime") if target.exporter is None else target.exporter.version(),
            target.precision,
            files,
            sources if target.exporter else {},
            device.compute_capability,
            build,
        )

    def _convert(self, target: Target, graph: str) -> tuple[str, str, str, dict[str, Parity]]:
        """ONNX of that precision: (path, precision it got, why it is not the one asked for, its nodes' parity)."""
        precision = target.precision
        reasons: list[str] = []
        while True:
            path, problem = self._quantized(target.device.backend, precision, graph)
            nodes: dict[str, Parity] = {}
            if not problem and precision != "fp32":
                runner = self._runner(target, path, graph)
                nodes = compare_nodes(self._graph, self._reference, {graph: runner}, graph)
                problem = _failed(nodes, precision)
            if not problem:
                return path, precision, "; ".join(reasons), nodes
            lower = LOWER[precision]
            if lower not in target.device.precisions:
                raise ParityError(f"graph '{graph}' for '{target.device.name}' in {precision}: {problem}")
            reasons.append(f"kept in {lower}, because in {precision} {problem}")
            precision = lower

    def _quantized(self, backend: str, precision: str, graph: str) -> tuple[str, str]:
        """(path of the graph in that precision, why it could not be converted)."""
        if precision == "fp32":
            return _reference_path(graph), ""
        key = (backend, precision, graph)
        if key not in self._converted:
            path = f"graphs/{graph}/{backend}.{precision}.onnx"
            quantizer = find_quantizer(self._host, backend, precision)
            assert quantizer is not None
            problem = ""
            try:
                quantizer.quantize(
                    self._writer.path(_reference_path(graph)),
                    self._writer.path(path),
                    precision=precision,
                    calibration=lambda: iter(self._feeds[graph]),
                    keep_fp32=self._keep_fp32[graph],
                )
            except EdgeMMError as error:
                problem = f"it could not be converted: {error}"
            self._converted[key] = (path, problem)
        return self._converted[key]

    def _runner(self, target: Target, path: str, graph: str) -> Runner:
        on_cpu = target.exporter is None
        return OnnxRuntimeRunner((self._writer.folder / path).read_bytes(), graph, optimise=on_cpu)

    def _drop_unused(self) -> None:
        """Remove conversions that no variant uses, because they missed their gate."""
        used = {
            path for variant in self._variants.values() for path in (*variant.files.values(), *variant.sources.values())
        }
        used |= {path for planned in self._planned.values() for path in planned.sources.values()}
        for path, _ in self._converted.values():
            if path not in used:
                (self._writer.folder / path).unlink(missing_ok=True)

    def _record_parity(self, target: Target, sources: Mapping[str, str], nodes: Mapping[str, Parity]) -> None:
        """Second rung: the nodes, and the fused answer through the whole chain."""
        rung = f"onnx fp32 → {target.device.backend} {target.precision}"
        if target.precision == "fp32" or rung in self.summary.parity:
            return
        runners = {graph: self._runner(target, path, graph) for graph, path in sources.items()}
        outputs = compare_outputs(self._graph, self._reference, runners, self._checking.tensors)
        for name, parity in outputs.items():
            if not parity.cosine >= GATES[target.precision].cosine:
                raise ParityError(
                    f"output '{name}' in {target.precision} for '{target.device.name}' reaches cosine {parity.cosine:.4f} only, though every "
                    f"graph alone passes: their errors add up. Choose a higher precision: {LOWER[target.precision]}"
                )
        records = {name: parity.to_json() for name, parity in {**nodes, **outputs}.items()}
        self.summary.parity[rung] = records

    def _calibration(self) -> dict[str, Any]:
        return {
            "source": self._calibrating.source,
            "random": self._calibrating.random,
            "rows": self._calibrating.rows,
            "compared_on": self._checking.rows,
            "evidence": self._checking.rows >= MINIMUM_ROWS and not self._checking.random,
            "sha256": self._calibrating.sha256(),
        }


def _failed(nodes: Mapping[str, Parity], precision: str) -> str:
    for name, parity in nodes.items():
        if not parity.passes(GATES[precision]):
            return f"node '{name}' reaches cosine {parity.cosine:.4f} and agreement {parity.agreement:.3f} only"
    return ""


def _reference_path(graph: str) -> str:
    return f"graphs/{graph}/model.onnx"


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
        raise UsageError(f"cannot read the checkpoint '{path}': {error.strerror}") from None
