"""First step of an export: every graph as FP32 ONNX, loaded, and found to compute what torch computes.

It knows nothing of devices and of other precisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgemm.bundle.manifest import GraphRecord
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.parity import Parity, compare, compare_nodes
from edgemm.checking.rollout import Rollout, remembers, rollout
from edgemm.errors import ParityError
from edgemm.exporting.calibrate import Samples
from edgemm.exporting.onnx_from_torch import onnx_from_torch
from edgemm.host.interfaces import Runner
from edgemm.model.graph import ModelGraph, Node
from edgemm.model.precision import FP32, PRECISIONS
from edgemm.modeling.graph_modules import Exportable, example_inputs, module_runners, run_modules, tensor_specs
from edgemm.progress import Progress
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runtime.single_pass import Arrays

_EXAMPLE_BATCH = 2
_COMPARED_ROWS = 8
_COMPARED_MOMENTS = 32
_ROWS_ALONE = 4


@dataclass(frozen=True)
class Graphs:
    """The FP32 reference graphs, at `reference_path` in the bundle.

    Attributes:
        model: the nodes and edges that use them.
        records: graph -> its tensors and size.
        keep_fp32: graph -> names of its nodes that stay FP32 in every precision.
        runners: graph -> what runs it here.
        parity: node -> its difference from torch.
    """

    model: ModelGraph
    records: Mapping[str, GraphRecord]
    keep_fp32: Mapping[str, tuple[str, ...]]
    runners: Mapping[str, Runner]
    parity: Mapping[str, Parity]


def reference_path(graph: str) -> str:
    """Where the bundle has a graph in FP32."""
    return f"graphs/{graph}/model.onnx"


def export_graphs(model: Exportable, samples: Samples, writer: BundleWriter, progress: Progress) -> Graphs:
    """Export every graph of `model` once, and compare each node with torch on a few of `samples`.

    Raises:
        ExportError: torch cannot export a graph; ParityError: its ONNX does not compute the same, or its rows see one another.
    """
    run = run_modules(model, example_inputs(model.graph.inputs, _EXAMPLE_BATCH))
    modules = model.modules_by_graph
    records, keep_fp32, runners = {}, {}, {}
    for number, name in enumerate(model.graph.graph_names):
        progress("exporting", number, len(model.graph.graph_names), f"graph {name} to ONNX")
        node = _first_user(model.graph, name)
        example = run[node.name]["inputs"]
        inputs = tensor_specs(node.graph_inputs, example)
        outputs = tensor_specs(node.outputs, run[node.name]["outputs"])
        path = writer.path(reference_path(name))
        keep_fp32[name] = onnx_from_torch(modules[name], example, inputs, outputs, path)
        parameters = sum(parameter.numel() for parameter in modules[name].parameters())
        records[name] = GraphRecord(inputs, outputs, parameters)
        runners[name] = OnnxRuntimeRunner(path.read_bytes(), name)
    parity, expected = _compared_with_torch(model, runners, samples)
    for node in model.graph.nodes:
        drawn = dict(zip(node.graph_inputs, (tensor.numpy() for tensor in run[node.name]["inputs"]), strict=True))
        _check_rows_stand_alone(node, runners[node.graph], drawn, expected.feeds(node.name))
    return Graphs(model.graph, records, keep_fp32, runners, parity)


def _first_user(graph: ModelGraph, name: str) -> Node:
    return next(node for node in graph.nodes if node.graph == name)


def _compared_with_torch(
    model: Exportable, runners: Mapping[str, OnnxRuntimeRunner], samples: Samples
) -> tuple[dict[str, Parity], Rollout]:
    """Each node on what torch feeds it, over a few moments where it remembers, where shapes of outputs do not depend on data."""
    rows = _COMPARED_MOMENTS if remembers(model.graph) else _COMPARED_ROWS
    expected = rollout(model.graph, module_runners(model), samples.part(0, rows).tensors)
    found = compare_nodes(model.graph, expected, runners)
    for name, parity in found.items():
        if not parity.passes(PRECISIONS[FP32].gate):
            raise ParityError(
                f"node '{name}': ONNX does not compute what torch does (largest difference {parity.max_abs:.3g}, cosine "
                f"{parity.cosine:.6f}); does its forward depend on data in Python, or on random numbers?"
            )
    return found, expected


def _check_rows_stand_alone(node: Node, runner: Runner, drawn: Arrays, fed: Arrays) -> None:
    """A batch against each of its rows: they are moments, samples or streams, and may know nothing of one another.

    What was drawn differs from row to row also where all samples are the same, and only rows that differ are seen to mix; samples are what
    really comes.

    Raises:
        ParityError: they see one another.
    """
    rows = {name: np.concatenate([array, fed[name][:_ROWS_ALONE]]) for name, array in drawn.items()}
    count = len(next(iter(rows.values())))
    together = runner.run(rows)
    apart = [runner.run({name: array[row : row + 1] for name, array in rows.items()}) for row in range(count)]
    parity = compare(node.name, [np.concatenate(parts) for parts in zip(*apart, strict=True)], together)
    if not parity.passes(PRECISIONS[FP32].gate):
        raise ParityError(
            f"node '{node.name}': its rows see one another: a batch of {count} gives something else than each of its rows alone (largest "
            f"difference {parity.max_abs:.3g}, cosine {parity.cosine:.6f}), and a stream is a batch of one. Does its forward take a mean, a norm or a "
            "softmax over axis 0, or reshape the batch into another axis? Compute along the other axes, for each row on its own"
        )
