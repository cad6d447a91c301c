"""The contract of fusions: every input's tokens, with presence and age, to one vector `(B, d)`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from edgemm.testing.contract import (
    evaluating,
    expect_close,
    expect_finite,
    expect_gradients,
    expect_tensor,
    onnx_outputs,
)

_BATCH = 4
_GARBAGE = (float("nan"), float("inf"), 1e30)


@dataclass(frozen=True)
class _Sample:
    """Tokens `(B, T_m, d)` and valid `(B, T_m)` per input; presence and age in ms `(B, M)`."""

    tokens: tuple[Tensor, ...]
    valid: tuple[Tensor, ...]
    presence: Tensor
    age_ms: Tensor

    def rows(self, rows: slice) -> _Sample:
        """Part of the batch."""
        tokens, valid = tuple(t[rows] for t in self.tokens), tuple(v[rows] for v in self.valid)
        return _Sample(tokens, valid, self.presence[rows], self.age_ms[rows])

    def flat(self) -> list[Tensor]:
        """As one list, as ONNX wants it."""
        return [*self.tokens, *self.valid, self.presence, self.age_ms]


def check_fusion(
    module: nn.Module, inputs: Sequence[str], width: int, *, token_counts: Sequence[int] = (), seed: int = 0
) -> None:
    """Check everything that EdgeMM asks of a fusion.

    Finite for every subset of inputs, the empty one included; what an absent or invalid token holds, even NaN, and the age of an
    absent input cannot change the output; an input without valid tokens is exactly an absent one; rows do not see each other; every
    parameter gets a gradient; ONNX Runtime gives the same.

    Args:
        module: untrained will do.
        inputs: names of the inputs that it was made for.
        width: d of tokens and output.
        token_counts: T of each input; 3, 1, 2, 3, … by default. A fusion may insist on its own.

    Raises:
        ContractError: for the first thing that does not hold.
    """
    counts = tuple(token_counts) or tuple((3, 1, 2)[index % 3] for index in range(len(inputs)))
    sample = _draw(counts, width, seed)
    with evaluating(module, seed):
        for subset in itertools.product((False, True), repeat=len(inputs)):
            _check_subset(module, sample, subset, inputs)
        for index, name in enumerate(inputs):
            _check_invalid(module, sample, index, name)
        whole = _fuse(module, sample)
        for row in range(_BATCH):
            alone = _fuse(module, sample.rows(slice(row, row + 1)))
            expect_close(f"row {row} of a batch of {_BATCH}, fused alone", alone, whole[row : row + 1])
        _check_onnx(module, sample)
    expect_gradients(module, lambda: [_call(module, sample)], seed)


def _draw(counts: Sequence[int], width: int, seed: int) -> _Sample:
    random = torch.Generator().manual_seed(seed)
    tokens = tuple(torch.randn(_BATCH, count, width, generator=random) for count in counts)
    valid = tuple(torch.ones(_BATCH, count, dtype=torch.bool) for count in counts)
    return _Sample(
        tokens, valid, torch.ones(_BATCH, len(counts)), torch.rand(_BATCH, len(counts), generator=random) * 4000
    )


def _call(module: nn.Module, sample: _Sample) -> Tensor:
    fused: Tensor = module(list(sample.tokens), list(sample.valid), sample.presence, sample.age_ms)
    return fused


def _fuse(module: nn.Module, sample: _Sample) -> Tensor:
    fused = _call(module, sample)
    expect_tensor("the fused vector (B, d)", fused, torch.float32, (len(sample.presence), sample.tokens[0].shape[2]))
    return fused


def _absent(sample: _Sample, subset: Sequence[bool]) -> _Sample:
    return replace(sample, presence=sample.presence * torch.tensor(subset, dtype=torch.float32))


def _poisoned(sample: _Sample, subset: Sequence[bool], garbage: float) -> _Sample:
    """Garbage in everything that an absent input has; its valid flags stay, because presence alone must do."""
    tokens = tuple(
        t if present else torch.full_like(t, garbage) for t, present in zip(sample.tokens, subset, strict=True)
    )
    age_ms = torch.where(torch.tensor(subset), sample.age_ms, torch.tensor(garbage))
    return replace(sample, tokens=tokens, age_ms=age_ms)


def _check_subset(module: nn.Module, sample: _Sample, subset: Sequence[bool], inputs: Sequence[str]) -> None:
    names = ", ".join(name for name, present in zip(inputs, subset, strict=True) if present) or "no input"
    masked = _absent(sample, subset)
    wanted = _fuse(module, masked)
    expect_finite(f"the fused vector with {names} present", wanted)
    if not all(subset):
        for garbage in _GARBAGE:
            got = _fuse(module, _poisoned(masked, subset, garbage))
            expect_close(f"with {names} present, {garbage} in the absent inputs' tokens and ages", got, wanted)


def _check_invalid(module: nn.Module, sample: _Sample, index: int, name: str) -> None:
    subset = [other != index for other in range(len(sample.tokens))]
    valid = tuple(v if keep else torch.zeros_like(v) for v, keep in zip(sample.valid, subset, strict=True))
    garbage = replace(_poisoned(sample, subset, float("nan")), valid=valid, age_ms=sample.age_ms)
    wanted = _fuse(module, _absent(sample, subset))
    expect_close(f"'{name}' present without valid tokens, against '{name}' absent", _fuse(module, garbage), wanted)
    if sample.tokens[index].shape[1] > 1:
        tokens, valid = list(sample.tokens), tuple(v.clone() for v in sample.valid)
        valid[index][:, -1] = False
        wanted = _fuse(module, replace(sample, valid=valid))
        tokens[index] = tokens[index].clone()
        tokens[index][:, -1] = float("nan")
        got = _fuse(module, replace(sample, tokens=tuple(tokens), valid=valid))
        expect_close(f"NaN in one invalid token of '{name}'", got, wanted)


class _Flat(nn.Module):
    """A fusion with one flat argument list."""

    def __init__(self, fusion: nn.Module, count: int) -> None:
        super().__init__()
        self.fusion, self.count = fusion, count

    def forward(self, *flat: Tensor) -> Tensor:
        """Tokens, valid flags, presence, age."""
        count = self.count
        fused: Tensor = self.fusion(list(flat[:count]), list(flat[count : 2 * count]), flat[-2], flat[-1])
        return fused


def _check_onnx(module: nn.Module, sample: _Sample) -> None:
    count = len(sample.tokens)
    subset = [index > 0 or count == 1 for index in range(count)]
    masked = _absent(sample, subset)
    batches = [sample, sample.rows(slice(0, 1)), _poisoned(masked, subset, float("nan"))]
    flat = _Flat(module, count).eval()
    outputs = onnx_outputs(flat, sample.rows(slice(0, 2)).flat(), [batch.flat() for batch in batches])
    for batch, (fused,), what in zip(
        batches, outputs, ("everything present", "a batch of 1", "NaN in what is absent"), strict=True
    ):
        expect_close(f"ONNX Runtime with {what}", torch.from_numpy(fused), _fuse(module, batch))
