"""One nn.Module per exported graph, called with the graph's tensors in the graph's order. What `compose` and `wrap` both make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from edgemm.errors import SpecError
from edgemm.inputs.kind import InputKind
from edgemm.model.graph import ModelGraph, Node
from edgemm.runtime.single_pass import SinglePass, by_key
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

    @property
    def state_by_graph(self) -> Mapping[str, Sequence[TensorSpec]]:
        """Graph name -> its state inputs, for graphs that have state; zeros at a stream's start."""
        ...


def full_precision_of(module: nn.Module) -> tuple[str, ...]:
    """Qualified names of the submodules that stay FP32 in every precision."""
    names = []
    for name, part in module.named_modules():
        for child in getattr(part, "full_precision", ()):
            names.append(f"{name}.{child}" if name else child)
    return tuple(names)


def example_inputs(inputs: Mapping[str, InputKind], batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors as the inputs' kinds draw them, keyed as `single_pass.tensor_key` says.

    A kind knows what is legal: ids within a vocabulary, masks of what is there.
    """
    generator = np.random.default_rng(seed)
    drawn = by_key(inputs, {name: kind.draw(batch, generator) for name, kind in inputs.items()})
    return {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in drawn.items()}


def run_modules(
    model: Exportable,
    tensors: Mapping[str, Tensor],
) -> dict[str, dict[str, tuple[Tensor, ...]]]:
    """Run every node once in torch on inputs that are all present, by the same rules as everywhere else.

    Returns:
        Node -> {"inputs": its graph's inputs, "outputs": its outputs}, each in the graph's order.

    Raises:
        SpecError: a module does not return what its node declares.
    """
    arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
    done = SinglePass(model.graph, module_runners(model), arrays)
    return {
        node.name: {
            "inputs": tuple(torch.from_numpy(done.feeds[node.name][name]) for name in node.graph_inputs),
            "outputs": tuple(torch.from_numpy(array) for array in done.values[node.name].values()),
        }
        for node in model.graph.nodes
    }


def graph_inputs(model: Exportable) -> dict[str, tuple[TensorSpec, ...]]:
    """Graph name -> its inputs, found by running the model once on an example."""
    run = run_modules(model, example_inputs(model.graph.inputs, 1))
    return {node.graph: tensor_specs(node.graph_inputs, run[node.name]["inputs"]) for node in model.graph.nodes}


def module_runners(
    model: Exportable, inputs: Mapping[str, Sequence[TensorSpec]] | None = None
) -> dict[str, ModuleRunner]:
    """Graph name -> what runs it in torch.

    Args:
        inputs: of each graph, as `graph_inputs` finds them, for passes that leave inputs of the model out; if not given, state alone.
    """
    specs = model.state_by_graph if inputs is None else inputs
    return {node.graph: ModuleRunner(model, node, specs.get(node.graph, ())) for node in model.graph.nodes}


class ModuleRunner:
    """A torch module as a runner, so that a pass through a model in torch is the same code as one in ONNX Runtime."""

    def __init__(self, model: Exportable, node: Node, inputs: Sequence[TensorSpec]) -> None:
        self._module = model.modules_by_graph[node.graph]
        self._node = node
        self.inputs = tuple(inputs)

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in declared order.

        Raises:
            SpecError: the module does not return what its node declares.
        """
        found = [torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in self._node.graph_inputs]
        with torch.no_grad():
            outputs = self._module(*found)
        outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        _check_outputs(self._node, outputs, len(found[0]))
        return [output.contiguous().numpy() for output in outputs]


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
