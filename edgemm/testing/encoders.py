"""The contract of encoders: one modality's raw tensor `(B, …)` to tokens float32 `(B, T, d)` and valid bool `(B, T)`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Encoded:
    """What an encoder returned; its next states by name."""

    tokens: Tensor
    valid: Tensor
    following: Mapping[str, Tensor]


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
    a gradient for every parameter, and the same answer from ONNX Runtime. Of one with state, also that the next state can be given to it again.

    Args:
        module: untrained will do; its state is drawn at random, where it has some.
        input: the input that it was made for.
        width: d, where it is known.
        examples: converted tensors `(B, …)` with B of at least 2, one per tensor of the input; random ones by default.

    Raises:
        ContractError: for the first thing that does not hold.
    """
    raw = draw_inputs(input, _BATCH, seed) if examples is None else examples
    x = _with_state(module, _tensors((raw,) if isinstance(raw, np.ndarray) else raw), seed)
    expect(len(x[0]) > 1, f"examples: expected at least 2, got {len(x[0])}")
    with evaluating(module, seed):
        encoded = _encode(module, x, width)
        _check_rows(module, x, encoded)
        again = _encode(module, x, width)
        expect_close("the same input a second time", again.tokens, encoded.tokens)
        extreme = _encode(module, _with_state(module, _tensors(extreme_inputs(input)), seed), width)
        expect(
            extreme.tokens.shape[1:] == encoded.tokens.shape[1:], "the number of tokens depends on what is in the input"
        )
        _check_onnx(module, x, encoded)
    _check_full_precision(module)
    expect_gradients(module, lambda: _trained_outputs(module, x), seed)


def _tensors(arrays: Sequence[np.ndarray]) -> _Inputs:
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


def _state(module: nn.Module) -> Mapping[str, tuple[int, ...]]:
    state: Mapping[str, tuple[int, ...]] = getattr(module, "state", {})
    return state


def _with_state(module: nn.Module, x: _Inputs, seed: int) -> _Inputs:
    """The inputs, and behind them a state such as may come up."""
    generator = torch.Generator().manual_seed(seed)
    drawn = (torch.rand((len(x[0]), *shape), generator=generator) * 2 - 1 for shape in _state(module).values())
    return (*x, *drawn)


def _rows(x: _Inputs, rows: slice) -> _Inputs:
    return tuple(tensor[rows] for tensor in x)


def _encode(module: nn.Module, x: _Inputs, width: int | None) -> _Encoded:
    before = [tensor.clone() for tensor in x]
    returned = module(*x)
    state = _state(module)
    wanted = ", ".join(("tokens", "valid", *(f"next {name}" for name in state)))
    fits = isinstance(returned, tuple) and len(returned) == 2 + len(state)
    expect(fits, f"forward must return ({wanted}), got {type(returned).__name__}")
    tokens, valid, *following = returned
    expect_tensor("tokens (B, T, d)", tokens, torch.float32, (len(x[0]), None, width))
    expect_tensor("valid (B, T)", valid, torch.bool, (len(x[0]), tokens.shape[1]))
    expect_finite("tokens", tokens)
    for (name, shape), tensor in zip(state.items(), following, strict=True):
        expect_tensor(f"next {name}", tensor, torch.float32, (len(x[0]), *shape))
        expect_finite(f"next {name}", tensor)
    expect(all(map(torch.equal, before, x)), "forward changes its input in place")
    return _Encoded(tokens, valid, {f"next {name}": tensor for name, tensor in zip(state, following, strict=True)})


def _check_rows(module: nn.Module, x: _Inputs, encoded: _Encoded) -> None:
    count = len(x[0])
    for row in range(count):
        rows = slice(row, row + 1)
        alone = _encode(module, _rows(x, rows), None)
        what = f"row {row} of a batch of {count}, encoded alone"
        expect_close(what, alone.tokens, encoded.tokens[rows])
        expect(torch.equal(alone.valid, encoded.valid[rows]), f"{what}: valid differs")
        for name, tensor in encoded.following.items():
            expect_close(f"{what}: {name}", alone.following[name], tensor[rows])


def _check_onnx(module: nn.Module, x: _Inputs, encoded: _Encoded) -> None:
    batches: Sequence[_Inputs] = [x, _rows(x, slice(1))]
    for batch, outputs in zip(batches, onnx_outputs(module, _rows(x, slice(2)), batches), strict=True):
        count = len(batch[0])
        what = f"ONNX Runtime at batch {count}"
        tokens, valid, *following = map(torch.from_numpy, outputs)
        expect_close(f"{what}: tokens", tokens, encoded.tokens[:count])
        expect(torch.equal(valid, encoded.valid[:count]), f"{what}: valid differs")
        for (name, tensor), got in zip(encoded.following.items(), following, strict=True):
            expect_close(f"{what}: {name}", got, tensor[:count])


def _check_full_precision(module: nn.Module) -> None:
    known = dict(module.named_modules())
    for name in getattr(module, "full_precision", ()):
        expect(name in known, f"full_precision names '{name}', which is no submodule; there are: {', '.join(known)}")


def _trained_outputs(module: nn.Module, x: _Inputs) -> list[Tensor]:
    """Tokens, next states, and the logits of the encoder's own classifier, with which it is trained alone, if it was made with one."""
    tokens, _, *following = module(*x)
    outputs = [tokens, *following]
    classify = getattr(module, "classify", None)
    if classify is not None:
        with contextlib.suppress(AttributeError, EdgeMMError, TypeError):
            outputs.append(classify(*x))
    return outputs
