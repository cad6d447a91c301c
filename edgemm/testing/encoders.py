"""The contract of encoders: one modality's raw tensor `(B, …)` to tokens float32 `(B, T, d)` and valid bool `(B, T)`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edgemm.errors import EdgeMMError
from edgemm.inputs.kind import InputKind
from edgemm.testing.contract import (
    evaluating,
    expect,
    expect_close,
    expect_finite,
    expect_gradients,
    expect_tensor,
    onnx_outputs,
)
from edgemm.testing.examples import draw_inputs, extreme_inputs

_BATCH = 5
_Inputs = tuple[Tensor, ...]


def check_encoder(
    module: nn.Module,
    input: InputKind,
    *,
    width: int | None = None,
    examples: np.ndarray | Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> None:
    """Check everything that EdgeMM asks of an encoder.

    Shapes and dtypes at any batch, finite tokens for the most extreme inputs, rows that do not see each other, the same answer twice,
    a gradient for every parameter, and the same answer from ONNX Runtime.

    Args:
        module: untrained will do.
        input: the input that it was made for.
        width: d, where it is known.
        examples: converted tensors `(B, …)` with B of at least 2, one per tensor of the input; random ones by default.

    Raises:
        ContractError: for the first thing that does not hold.
    """
    raw = draw_inputs(input, _BATCH, seed) if examples is None else examples
    x = _tensors((raw,) if isinstance(raw, np.ndarray) else raw)
    expect(len(x[0]) > 1, f"examples: expected at least 2, got {len(x[0])}")
    with evaluating(module, seed):
        tokens, valid = _encode(module, x, width)
        _check_rows(module, x, tokens, valid)
        again, _ = _encode(module, x, width)
        expect_close("the same input a second time", again, tokens)
        extreme, _ = _encode(module, _tensors(extreme_inputs(input)), width)
        expect(extreme.shape[1:] == tokens.shape[1:], "the number of tokens depends on what is in the input")
        _check_onnx(module, x, tokens, valid)
    _check_full_precision(module)
    expect_gradients(module, lambda: _trained_outputs(module, x), seed)


def _tensors(arrays: Sequence[np.ndarray]) -> _Inputs:
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


def _rows(x: _Inputs, rows: slice) -> _Inputs:
    return tuple(tensor[rows] for tensor in x)


def _encode(module: nn.Module, x: _Inputs, width: int | None) -> tuple[Tensor, Tensor]:
    before = [tensor.clone() for tensor in x]
    encoded = module(*x)
    pair = isinstance(encoded, tuple) and len(encoded) == 2
    expect(pair, f"forward must return (tokens, valid), got {type(encoded).__name__}")
    tokens, valid = encoded
    expect_tensor("tokens (B, T, d)", tokens, torch.float32, (len(x[0]), None, width))
    expect_tensor("valid (B, T)", valid, torch.bool, (len(x[0]), tokens.shape[1]))
    expect_finite("tokens", tokens)
    expect(all(map(torch.equal, before, x)), "forward changes its input in place")
    return tokens, valid


def _check_rows(module: nn.Module, x: _Inputs, tokens: Tensor, valid: Tensor) -> None:
    count = len(x[0])
    for row in range(count):
        alone, alone_valid = _encode(module, _rows(x, slice(row, row + 1)), None)
        expect_close(f"row {row} of a batch of {count}, encoded alone", alone, tokens[row : row + 1])
        same = torch.equal(alone_valid, valid[row : row + 1])
        expect(same, f"row {row} of a batch of {count}, encoded alone: valid differs")


def _check_onnx(module: nn.Module, x: _Inputs, tokens: Tensor, valid: Tensor) -> None:
    batches: Sequence[_Inputs] = [x, _rows(x, slice(1))]
    for batch, outputs in zip(batches, onnx_outputs(module, _rows(x, slice(2)), batches), strict=True):
        count = len(batch[0])
        expect_close(f"ONNX Runtime at batch {count}: tokens", torch.from_numpy(outputs[0]), tokens[:count])
        same = np.array_equal(outputs[1], valid[:count].numpy())
        expect(same, f"ONNX Runtime at batch {count}: valid differs")


def _check_full_precision(module: nn.Module) -> None:
    known = dict(module.named_modules())
    for name in getattr(module, "full_precision", ()):
        expect(name in known, f"full_precision names '{name}', which is no submodule; there are: {', '.join(known)}")


def _trained_outputs(module: nn.Module, x: _Inputs) -> list[Tensor]:
    """Tokens, and the logits of the encoder's own classifier, with which it is trained alone, if it was made with one."""
    outputs = [module(*x)[0]]
    classify = getattr(module, "classify", None)
    if classify is not None:
        with contextlib.suppress(AttributeError, EdgeMMError, TypeError):
            outputs.append(classify(*x))
    return outputs
