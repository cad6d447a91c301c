"""What all checks share: of declarations, that they are data; of modules, comparing, gradients, and the same answer from ONNX Runtime."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgemm.assets import assets_of
from edgemm.errors import EdgeMMError, ExportError, PluginError
from edgemm.host.declarations import declaration_of_class, table_from_declaration
from edgemm.host.entries import NAME
from edgemm.tensors import BATCH, TensorSpec

# FP32 on both sides: only the order of summation differs, with the batch size and between torch and ONNX Runtime.
RELATIVE, ABSOLUTE = 1e-3, 1e-4
# Operators that engines cannot have in them: shapes that depend on data, or no kernel at all.
FORBIDDEN = ("GridSample", "If", "Loop", "NonMaxSuppression", "NonZero", "STFT", "Scan", "SequenceAt", "Unique")


class ContractError(PluginError, AssertionError):
    """A module or source does not keep its contract."""


def expect(holds: bool, message: str) -> None:
    """Raise `ContractError` with `message` unless it holds."""
    if not holds:
        raise ContractError(message)


def expect_tensor(name: str, tensor: object, dtype: torch.dtype, shape: Sequence[int | None]) -> None:
    """Raise unless `tensor` has this dtype and shape; None in the shape takes any size of at least 1."""
    wanted = f"{str(dtype).removeprefix('torch.')} {['*' if size is None else size for size in shape]}"
    expect(isinstance(tensor, Tensor), f"{name}: expected a tensor {wanted}, got {type(tensor).__name__}")
    if isinstance(tensor, Tensor):
        fits = len(tensor.shape) == len(shape) and all(
            actual >= 1 if size is None else actual == size for actual, size in zip(tensor.shape, shape, strict=True)
        )
        got = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        expect(tensor.dtype == dtype and fits, f"{name}: expected {wanted}, got {got}")


def expect_finite(name: str, tensor: Tensor) -> None:
    """Raise when any value is NaN or infinite."""
    expect(bool(torch.isfinite(tensor).all()), f"{name} is not finite")


def expect_close(what: str, got: Tensor, wanted: Tensor) -> None:
    """Raise unless both are the same, up to the order of summation."""
    same = got.shape == wanted.shape and torch.allclose(got.float(), wanted.float(), rtol=RELATIVE, atol=ABSOLUTE)
    if not same:
        apart = float((got.float() - wanted.float()).abs().max()) if got.shape == wanted.shape else float("nan")
        raise ContractError(f"{what}: differs by up to {apart:.3g}")


def expect_declaration(declaration: Any) -> None:
    """Raise unless it is a frozen dataclass with a name that comes back from JSON as it was, its files with it."""
    made = type(declaration)
    frozen = is_dataclass(declaration) and made.__dataclass_params__.frozen
    expect(frozen, f"{made.__name__} must be a frozen dataclass: @dataclass(frozen=True)")
    named = isinstance(declaration.kind, str) and NAME.fullmatch(declaration.kind) is not None
    expect(named, f"kind: expected a name in lower case, as its entry has it, got {declaration.kind!r}")
    try:
        table = json.loads(json.dumps(table_from_declaration(declaration), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"its fields must be what JSON has (texts, numbers, truth values, tuples of them), or files named in `assets`: {error}"
        ) from error
    del table["kind"]
    files = {asset.path: asset.content for asset in assets_of(declaration)}
    try:
        again = declaration_of_class(made, table, made.__name__, files=files.__getitem__)
    except EdgeMMError as error:
        raise ContractError(f"what was written of it cannot be read again: {error}") from error
    expect(again == declaration, f"it does not come back from JSON as it was: wrote {declaration!r}, read {again!r}")


def expect_line(what: str, text: object) -> None:
    """Raise unless `text` is one line that people can read."""
    fits = isinstance(text, str) and text.strip() != "" and text.isprintable()
    expect(fits, f"{what}: expected one line of text, got {text!r:.200}")


@contextmanager
def evaluating(module: nn.Module, seed: int) -> Iterator[None]:
    """Evaluation mode without gradients, from a fixed seed; the module's mode comes back afterwards."""
    training = module.training
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module.eval()
        try:
            yield
        finally:
            module.train(training)


def expect_gradients(module: nn.Module, outputs: Callable[[], Sequence[Tensor]], seed: int) -> None:
    """Raise unless every parameter that is trained takes part in `outputs()` in training mode."""
    training = module.training
    state = {name: value.clone() for name, value in module.state_dict().items()}
    module.train()
    module.zero_grad(set_to_none=True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loss = torch.stack([(output * torch.randn_like(output)).sum() for output in outputs()]).sum()
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        trained = [(name, p.grad) for name, p in module.named_parameters() if p.requires_grad]
        idle = [name for name, gradient in trained if gradient is None or not bool(gradient.any())]
    finally:
        module.zero_grad(set_to_none=True)
        module.load_state_dict(state)  # running statistics, as those of a batch norm, have moved
        module.train(training)
    expect(not idle, f"these parameters get no gradient, so they would never be trained: {', '.join(idle)}")


def onnx_outputs(
    module: nn.Module, example: Sequence[Tensor], batches: Sequence[Sequence[Tensor]]
) -> list[list[np.ndarray]]:
    """Export `module` as `edgemm export` does, and run it in ONNX Runtime on each of `batches`.

    Args:
        example: what it takes, a batch of at least 2.

    Raises:
        ContractError: it cannot be exported, or only with operators that engines cannot have.
    """
    import onnx

    from edgemm.exporting.onnx_from_torch import OPSET, onnx_from_torch
    from edgemm.runners.onnxruntime import OnnxRuntimeRunner

    inputs = [_spec(f"input_{index}", tensor) for index, tensor in enumerate(example)]
    answer = module(*example)
    answers = answer if isinstance(answer, tuple) else (answer,)
    outputs = [_spec(f"output_{index}", tensor) for index, tensor in enumerate(answers)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / type(module).__name__ / "model.onnx"
        path.parent.mkdir()
        try:
            onnx_from_torch(module, example, inputs, outputs, path)
        except ExportError as error:
            raise ContractError(f"it cannot be exported to ONNX opset {OPSET}: {error}") from error
        content = path.read_bytes()
    used = sorted({node.op_type for node in onnx.load_from_string(content).graph.node} & set(FORBIDDEN))
    expect(not used, f"its ONNX graph has operators that TensorRT engines cannot have: {', '.join(used)}")
    runner = OnnxRuntimeRunner(content, type(module).__name__)
    wanted = {spec.name for spec in runner.inputs}  # a module may leave an input unused
    feeds = [{spec.name: tensor.numpy() for spec, tensor in zip(inputs, batch, strict=True)} for batch in batches]
    return [runner.run({name: array for name, array in feed.items() if name in wanted}) for feed in feeds]


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    return TensorSpec(name, str(tensor.dtype).removeprefix("torch."), (BATCH, *tensor.shape[1:]))
