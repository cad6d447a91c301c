"""One nn.Module per exported graph, called with the graph's tensors in the graph's order. What `compose` and `wrap` both make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from edgemm.errors import SpecError
from edgemm.inputs.declarations import InputSpec
from edgemm.model.graph import INPUT, ModelGraph, Node
from edgemm.tensors import BATCH, TensorSpec

_DTYPES = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int32": torch.int32,
    "int64": torch.int64,
    "float16": torch.float16,
    "float32": torch.float32,
}


class Exportable(Protocol):
    """What can be exported: a node graph, and a module for each of its graphs.

    `modules_by_graph[graph]` is called with the tensors of `Node.reads`, then presence and age if the node takes them, then its state; it returns
    a tuple in the order of `Node.outputs`.
    """

    graph: ModelGraph

    @property
    def modules_by_graph(self) -> Mapping[str, nn.Module]:
        """Graph name -> its module."""
        ...


def full_precision_of(module: nn.Module) -> tuple[str, ...]:
    """Qualified names of the submodules that stay FP32 in every precision."""
    names = []
    for name, part in module.named_modules():
        for child in getattr(part, "full_precision", ()):
            names.append(f"{name}.{child}" if name else child)
    return tuple(names)


def graph_inputs(node: Node) -> tuple[str, ...]:
    """Names of a node's graph inputs, in order."""
    extra = [name for name in (node.presence, node.age) if name]
    return (*node.reads, *extra, *node.state.values())


def example_inputs(inputs: Mapping[str, InputSpec], batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors as the adapters make them."""
    generator = torch.Generator().manual_seed(seed)
    examples = {}
    for name, spec in inputs.items():
        shape, dtype = spec.tensor.with_batch(batch), _DTYPES[spec.tensor.dtype]
        if dtype.is_floating_point:
            examples[name] = torch.rand(shape, generator=generator, dtype=dtype) * 2 - 1
        else:
            high = 2 if dtype == torch.bool else 128 if dtype == torch.int8 else 256
            examples[name] = torch.randint(0, high, shape, generator=generator).to(dtype)
    return examples


def run_modules(
    model: Exportable, tensors: Mapping[str, Tensor], age_ms: Mapping[str, float] | None = None
) -> dict[str, dict[str, tuple[Tensor, ...]]]:
    """Run every node once in torch on inputs that are all present.

    Returns:
        Node -> {"inputs": its graph's inputs, "outputs": its outputs}, each in the graph's order.

    Raises:
        SpecError: a module does not return what its node declares.
    """
    batch = len(next(iter(tensors.values())))
    modules = model.modules_by_graph
    record: dict[str, dict[str, tuple[Tensor, ...]]] = {}
    for node in model.graph.nodes:
        found: list[Tensor] = []
        for edge in node.reads.values():
            owner, _, tensor = edge.partition(".")
            if owner == INPUT:
                found.append(tensors[tensor])
            else:
                found.append(record[owner]["outputs"][model.graph.node(owner).outputs.index(tensor)])
        if node.presence:
            found.append(torch.ones(batch, len(node.members)))
        if node.age:
            ages = torch.tensor([(age_ms or {}).get(member, 0.0) for member in node.members])
            found.append(ages.expand(batch, -1).contiguous())
        if node.state:
            raise SpecError(f"node '{node.name}' has state; exporting stateful nodes is not part of this version")
        with torch.no_grad():
            outputs = modules[node.graph](*found)
        outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        _check_outputs(node, outputs, batch)
        record[node.name] = {"inputs": tuple(found), "outputs": outputs}
    return record


def tensor_specs(names: Sequence[str], tensors: Sequence[Tensor]) -> tuple[TensorSpec, ...]:
    """Specs of example tensors whose first axis is the batch."""
    names_of = {dtype: name for name, dtype in _DTYPES.items()}
    return tuple(
        TensorSpec(name, names_of[tensor.dtype], (BATCH, *tensor.shape[1:]))
        for name, tensor in zip(names, tensors, strict=True)
    )


def _check_outputs(node: Node, outputs: tuple[Tensor, ...], batch: int) -> None:
    if len(outputs) != len(node.outputs):
        raise SpecError(
            f"node '{node.name}' declares {len(node.outputs)} outputs ({', '.join(node.outputs)}), its module returned {len(outputs)}"
        )
    for name, tensor in zip(node.outputs, outputs, strict=True):
        if not isinstance(tensor, Tensor) or tensor.dim() == 0 or tensor.shape[0] != batch:
            shape = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise SpecError(
                f"node '{node.name}': output '{name}' must be a tensor with the batch axis first, got {shape}"
            )
