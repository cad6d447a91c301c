"""Third step of an export: each target's graphs in the best precision that passes its gate, compiled where that can be done here.

Precision is written into the graphs. A graph is converted and judged once for all devices of a backend; one that misses the gate of its
precision falls back to the next higher one, and says so. It knows nothing of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import pairwise

from edgemm.bundle.manifest import Planned, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.as_its_backend import runner_for
from edgemm.checking.parity import Parity, compare_nodes, compare_outputs, missed
from edgemm.errors import EdgeMMError, ParityError
from edgemm.exporting.calibrate import Calibrated
from edgemm.exporting.compile import compile_variant
from edgemm.exporting.graphs import Graphs, reference_path
from edgemm.exporting.plan import Attempt, Target
from edgemm.host.interfaces import Runner
from edgemm.model.precision import FP32, Gate
from edgemm.progress import Progress


@dataclass(frozen=True)
class Variants:
    """What came of the targets.

    Attributes:
        made: target key -> variant.
        planned: target key -> what is still to be compiled, elsewhere.
        fallbacks: target key -> graph -> the precision that it got instead, and why.
        parity: rung -> node or output -> its difference from FP32.
    """

    made: Mapping[str, Variant]
    planned: Mapping[str, Planned]
    fallbacks: Mapping[str, Mapping[str, str]]
    parity: Mapping[str, Mapping[str, Parity]]


@dataclass(frozen=True)
class _Converted:
    """A graph in one precision: its path in the bundle, its nodes' parity, and why it may not be used ("" when it may)."""

    path: str
    nodes: Mapping[str, Parity]
    problem: str


@dataclass(frozen=True)
class _Chosen:
    """What a graph of a target became: its path, the precision that it got, and why that is not the one asked for."""

    path: str
    precision: str
    nodes: Mapping[str, Parity]
    fallback: str


def make_variants(
    targets: tuple[Target, ...], graphs: Graphs, calibrated: Calibrated, writer: BundleWriter, progress: Progress
) -> Variants:
    """Convert, judge and compile everything that was planned; what missed its gate leaves no file.

    Raises:
        ParityError: a graph misses its gate in every precision that its device takes, or the fused answer does.
        ExportError: the compiler refuses.
    """
    made: dict[str, Variant] = {}
    planned: dict[str, Planned] = {}
    fallbacks: dict[str, dict[str, str]] = {}
    parity: dict[str, dict[str, Parity]] = {}
    conversions = _Conversions(graphs, calibrated, writer)
    for number, target in enumerate(targets):
        tell = partial(progress, "compiling", number, len(targets))
        chosen = {}
        for graph in graphs.model.graph_names:
            tell(f"{target.key}: {graph}")
            chosen[graph] = _choose(target, graph, conversions)
        rung = f"onnx fp32 → {target.device.backend} {target.precision.name}"
        if target.precision.name != FP32 and rung not in parity:
            parity[rung] = _rung(target, chosen, graphs, calibrated, writer)
        told = {graph: one.fallback for graph, one in chosen.items() if one.fallback}
        if told:
            fallbacks[target.key] = told
        if target.deferred:
            planned[target.key] = _planned(target, chosen)
        else:
            made[target.key] = _variant(target, chosen, graphs, writer, tell)
    return Variants(made, planned, fallbacks, parity)


class _Conversions:
    """Every graph in every precision that is tried, made and judged on first use."""

    def __init__(self, graphs: Graphs, calibrated: Calibrated, writer: BundleWriter) -> None:
        self._graphs, self._calibrated, self._writer = graphs, calibrated, writer
        self._known: dict[tuple[str, str, str], _Converted] = {}

    def get(self, backend: str, attempt: Attempt, graph: str) -> _Converted:
        """The graph as `attempt` writes it for `backend`; where it may not be used, its file is gone."""
        if attempt.quantizer is None:
            return _Converted(reference_path(graph), {}, "")
        key = backend, attempt.precision.name, graph
        if key not in self._known:
            found = self._known[key] = self._convert(backend, attempt, graph)
            if found.problem:
                (self._writer.folder / found.path).unlink(missing_ok=True)
        return self._known[key]

    def _convert(self, backend: str, attempt: Attempt, graph: str) -> _Converted:
        assert attempt.quantizer is not None
        path = f"graphs/{graph}/{backend}.{attempt.precision.name}.onnx"
        try:
            attempt.quantizer.quantize(
                self._writer.path(reference_path(graph)),
                self._writer.path(path),
                precision=attempt.precision.name,
                calibration=lambda: iter(self._calibrated.feeds[graph]),
                keep_fp32=self._graphs.keep_fp32[graph],
            )
        except EdgeMMError as error:
            return _Converted(path, {}, f"it could not be converted: {error}")
        runners = {graph: _runner(self._writer, backend, path, graph)}
        nodes = compare_nodes(self._graphs.model, self._calibrated.reference, runners, graph)
        return _Converted(path, nodes, _below(attempt.precision.gate, nodes))


def _choose(target: Target, graph: str, conversions: _Conversions) -> _Chosen:
    """The first attempt that passes its gate."""
    problems: dict[str, str] = {}
    for attempt in target.attempts:
        precision = attempt.precision.name
        found = conversions.get(target.device.backend, attempt, graph)
        if not found.problem:
            steps = pairwise([*problems, precision])
            reasons = [f"kept in {kept}, because in {missed} {problems[missed]}" for missed, kept in steps]
            return _Chosen(found.path, precision, found.nodes, "; ".join(reasons))
        problems[precision] = found.problem
    precision, problem = problems.popitem()
    raise ParityError(f"graph '{graph}' for '{target.device.name}' in {precision}: {problem}; {target.nothing_after}")


def _below(gate: Gate, nodes: Mapping[str, Parity]) -> str:
    """The first node that misses its gate, as a reason."""
    for name in missed(gate, nodes):
        return f"node '{name}' reaches cosine {nodes[name].cosine:.4f} and agreement {nodes[name].agreement:.3f} only"
    return ""


def _rung(
    target: Target, chosen: Mapping[str, _Chosen], graphs: Graphs, calibrated: Calibrated, writer: BundleWriter
) -> dict[str, Parity]:
    """The nodes, and the fused answer through the whole chain, which must pass too."""
    backend, precision = target.device.backend, target.precision
    runners = {graph: _runner(writer, backend, one.path, graph) for graph, one in chosen.items()}
    outputs = compare_outputs(graphs.model, calibrated.reference, runners, calibrated.samples.checking.tensors)
    for name, parity in outputs.items():
        if not parity.cosine >= precision.gate.cosine:
            raise ParityError(
                f"output '{name}' in {precision.name} for '{target.device.name}' reaches cosine {parity.cosine:.4f} only, though every "
                f"graph alone passes: their errors add up. Choose a higher precision: {precision.fallback}"
            )
    nodes = {name: parity for one in chosen.values() for name, parity in one.nodes.items()}
    return {**nodes, **outputs}


def _variant(
    target: Target, chosen: Mapping[str, _Chosen], graphs: Graphs, writer: BundleWriter, tell: Callable[[str], None]
) -> Variant:
    """Compile the chosen graphs, or take them as they are where ONNX itself is what runs."""
    device, exporter, precision = target.device, target.exporter, target.precision.name
    sources = {graph: one.path for graph, one in chosen.items()}
    if exporter is None:
        return Variant(device.name, device.backend, version("onnxruntime"), precision, sources)
    inputs = {graph: graphs.records[graph].inputs for graph in chosen}
    return compile_variant(
        target.key, device, precision, exporter, target.runner, sources=sources, inputs=inputs, writer=writer, tell=tell
    )


def _planned(target: Target, chosen: Mapping[str, _Chosen]) -> Planned:
    sources = {graph: one.path for graph, one in chosen.items()}
    return Planned(target.device.name, target.device.backend, target.precision.name, sources, target.deferred)


def _runner(writer: BundleWriter, backend: str, path: str, graph: str) -> Runner:
    return runner_for((writer.folder / path).read_bytes(), graph, backend)
