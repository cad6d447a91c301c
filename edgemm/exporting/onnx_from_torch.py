"""One torch module to one ONNX graph, with the shapes that were asked for or an error.

Convolutions take in their batch norms first, and every node is named after the submodule it comes from, so that a front end can be kept
in FP32 by name in every later step.
"""

from __future__ import annotations

import copy
import itertools
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgemm.errors import ExportError
from edgemm.modeling.graph_modules import full_precision_of
from edgemm.tensors import BATCH, TensorSpec

OPSET = 18
_LARGEST_CONSTANT = 2**26  # numbers; what is larger, a few may have been spread out to, and is computed in each run
_SCOPES = "pkg.torch.onnx.name_scopes"


def onnx_from_torch(
    module: nn.Module,
    example: Sequence[Tensor],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    path: Path,
) -> tuple[str, ...]:
    """Export `module` to `path` as one FP32 ONNX file with a dynamic batch axis.

    Args:
        example: tensors that `module` takes, batch of at least 2.
        inputs: specs of those, with the names that the graph shall have.
        outputs: specs of what it returns, likewise.

    Returns:
        Names of the nodes that stay FP32 in every precision.

    Raises:
        ExportError: torch cannot export it, or the graph came out with other shapes than asked for.
    """
    kept = full_precision_of(module)
    module = with_folded_batch_norms(module).eval()
    batch = torch.export.Dim(BATCH, min=1, max=1024)
    shapes: Any = tuple({0: batch} for _ in example)
    if _takes_varargs(module):
        shapes = (shapes,)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                tuple(example),
                dynamo=True,
                opset_version=OPSET,
                input_names=[spec.name for spec in inputs],
                output_names=[spec.name for spec in outputs],
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
            assert program is not None
            _fold_constants(program.model)
            model = program.model_proto
    except Exception as error:
        raise ExportError(f"torch could not export graph '{path.parent.name}': {_first_lines(error)}") from error
    keep_fp32 = _name_nodes(model, kept)
    _check_shapes(model, inputs, outputs, path)
    onnx.save(model, path)
    return keep_fp32


def with_folded_batch_norms(module: nn.Module) -> nn.Module:
    """A copy in which each batch norm that follows a convolution in a Sequential is part of it."""
    module = copy.deepcopy(module).eval()
    for parent in module.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        names = list(parent._modules)
        for name, following in itertools.pairwise(names):
            first, second = parent._modules[name], parent._modules[following]
            if isinstance(first, (nn.Conv1d, nn.Conv2d)) and isinstance(second, (nn.BatchNorm1d, nn.BatchNorm2d)):
                parent._modules[name] = fuse_conv_bn_eval(first, second)
                parent._modules[following] = nn.Identity()
    return module


def _fold_constants(model: Any) -> None:
    """Compute once what depends on no input, such as a transposed weight: whoever opens the bundle does not."""
    from onnxscript import optimizer

    # torch has done it for what is small
    optimizer.fold_constants(model, input_size_limit=2**62, output_size_limit=_LARGEST_CONSTANT)
    optimizer.remove_unused_nodes(model)


def _takes_varargs(module: nn.Module) -> bool:
    import inspect

    return any(a.kind == a.VAR_POSITIONAL for a in inspect.signature(module.forward).parameters.values())


def _name_nodes(model: onnx.ModelProto, kept: Sequence[str]) -> tuple[str, ...]:
    """Name every node uniquely after its submodule and operator; returns those that belong to a kept submodule."""
    names: list[str] = []
    for index, node in enumerate(model.graph.node):
        scopes = _scopes(node)
        scope = next((part for part in reversed(scopes) if part), "")
        node.name = f"{scope or 'graph'}/{node.op_type}_{index}".replace(".", "/")
        if any(part == name or part.startswith(f"{name}.") for part in scopes for name in kept):
            names.append(node.name)
    return tuple(names)


def _scopes(node: onnx.NodeProto) -> list[str]:
    """Qualified names of the submodules around a node, outermost first; the last is the operation itself."""
    for item in node.metadata_props:
        if item.key == _SCOPES:
            return re.findall(r"'([^']*)'", item.value)[:-1]
    return []


def _check_shapes(
    model: onnx.ModelProto, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], path: Path
) -> None:
    for kind, values, specs in (("input", model.graph.input, inputs), ("output", model.graph.output, outputs)):
        found = {value.name: _spec(value) for value in values}
        for spec in specs:
            if spec.name not in found:
                raise ExportError(
                    f"graph '{path.parent.name}': {kind} '{spec.name}' was lost in export; has: {', '.join(found)}"
                )
            if found[spec.name] != spec:
                raise ExportError(
                    f"graph '{path.parent.name}': {kind} '{spec.name}' came out as {found[spec.name]}, asked for {spec}. "
                    "A size that follows the batch must be taken from the tensor (x.shape[0]), not from a Python number"
                )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(value.name, dtype, shape)


def _first_lines(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: " + " ".join(lines[:4])[:600]


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters log and warn of their own internals; what matters comes as an error."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
