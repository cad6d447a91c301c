"""Whether the parts of a model fit each other: what its graphs take and give, as they were loaded, and what its nodes, edges and outputs say of them.

Asked once, when a bundle is opened, so that nothing is allocated for sizes that are wrong and no run meets a tensor that does not fit. It compares specs
and looks at no values; it knows nothing of files and variants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from edgemm.limits import TENSOR_BYTES
from edgemm.model.edge import AGE, MASK, Edge
from edgemm.model.graph import ModelGraph, Node
from edgemm.model.rules import Until
from edgemm.tensors import BATCH, DTYPES, TensorSpec

if TYPE_CHECKING:
    from edgemm.host.interfaces import Runner

_BYTES = {"int32": 4, "int64": 8, "float16": 2, "float32": 4}  # the others have one


def misfit(graph: ModelGraph, runners: Mapping[str, Runner]) -> str:
    """What does not fit first, in words; "" where everything does."""
    return next(_misfits(graph, runners), "")


def _misfits(graph: ModelGraph, runners: Mapping[str, Runner]) -> Iterator[str]:
    for name, runner in runners.items():
        for spec in (*runner.inputs, *runner.outputs):
            yield from _cannot_be_held(name, spec)
    for node in graph.nodes:
        takes = {spec.name: spec for spec in runners[node.graph].inputs}
        yield from _names(node, takes, [spec.name for spec in runners[node.graph].outputs])
        for tensor, edge in node.reads.items():
            made, taken = _made(graph, runners, edge), takes[tensor]
            if not _fits(made, taken):
                what = f"input '{edge.output}'" if edge.from_input else f"'{edge}'"
                yield f"{what} is {made}, but graph '{node.graph}' takes {taken}" + _of(node, tensor)
        yield from _own_tensors(node, takes, dict(zip(node.outputs, runners[node.graph].outputs, strict=False)))
    for name, output in graph.outputs.items():
        problem = output.kind.check({tensor: _made(graph, runners, edge) for tensor, edge in output.reads.items()})
        if problem:
            yield f"output '{name}' cannot be read as {output.kind.kind}: {problem}"


def _cannot_be_held(graph: str, spec: TensorSpec) -> Iterator[str]:
    if spec.dtype not in DTYPES:
        yield f"tensor '{spec.name}' of graph '{graph}' is {spec}; expected one of {', '.join(DTYPES)}"
    size = _BYTES.get(spec.dtype, 1)
    for axis in spec.shape:
        size *= axis if isinstance(axis, int) else 1
    if size > TENSOR_BYTES:
        yield f"tensor '{spec.name}' of graph '{graph}' is {spec}: {size} bytes; at most {TENSOR_BYTES} are allocated for one"


def _names(node: Node, takes: Mapping[str, TensorSpec], gives: list[str]) -> Iterator[str]:
    """Everything that a graph takes is fed, by one thing, and what it gives is what the node says, in that order."""
    fed = node.graph_inputs
    lacking = [name for name in takes if name not in fed]
    unknown = [name for name in fed if name not in takes]
    if lacking:
        yield f"node '{node.name}' does not feed '{lacking[0]}', which graph '{node.graph}' takes; it feeds {', '.join(fed)}"
    if unknown:
        yield f"node '{node.name}' feeds '{unknown[0]}', but graph '{node.graph}' takes {', '.join(takes) or 'nothing'}"
    if len(fed) > len(takes):
        yield f"node '{node.name}' feeds one of {', '.join(fed)} twice"
    if list(node.outputs) != gives:
        yield f"node '{node.name}' has the outputs {', '.join(node.outputs)}, but graph '{node.graph}' gives {', '.join(gives)}"


def _own_tensors(node: Node, takes: Mapping[str, TensorSpec], gives: Mapping[str, TensorSpec]) -> Iterator[str]:
    """What a node is fed beside its edges, and what is asked of its outputs."""
    for name in (node.presence, node.age):
        made = TensorSpec(name, "float32", (BATCH, len(node.members)))
        if name and not _fits(made, takes[name]):
            yield f"node '{node.name}' has {len(node.members)} members, so '{name}' is {made}, but graph '{node.graph}' takes {takes[name]}"
    for output, name in node.state.items():
        if not _fits(gives[output], takes[name]):
            yield (
                f"state '{output}' of node '{node.name}' is {gives[output]}, but graph '{node.graph}' takes {takes[name]}"
                + _of(node, name)
            )
    told = {node.usable: "says whether there was anything to encode"}
    if isinstance(node.trigger, Until):
        told[node.trigger.stop] = "stops it"
    for output, what in told.items():
        if output and gives[output].dtype != "bool":
            yield f"output '{output}' of node '{node.name}' {what}, so it must be bool, it is {gives[output]}"


def _made(graph: ModelGraph, runners: Mapping[str, Runner], edge: Edge) -> TensorSpec:
    """What an edge carries."""
    place = graph.tensor_index(edge)
    made = (
        graph.inputs[edge.output].tensors[place]
        if edge.from_input
        else runners[graph.node(edge.owner).graph].outputs[place]
    )
    if edge.window is None:
        return made
    count = edge.window.count
    if edge.part == MASK:
        return TensorSpec(made.name, "bool", (BATCH, count))
    if edge.part == AGE:
        return TensorSpec(made.name, "float32", (BATCH, count))
    return TensorSpec(made.name, made.dtype, (BATCH, count, *made.shape[1:]))


def _fits(made: TensorSpec, taken: TensorSpec) -> bool:
    """Whether dtypes are equal and no two sizes that are known differ; the first axis is the batch."""
    return (
        made.dtype == taken.dtype
        and len(made.shape) == len(taken.shape)
        and all(
            a == b
            for a, b in zip(made.shape[1:], taken.shape[1:], strict=True)
            if isinstance(a, int) and isinstance(b, int)
        )
    )


def _of(node: Node, tensor: str) -> str:
    return f" as '{tensor}' of node '{node.name}'"
