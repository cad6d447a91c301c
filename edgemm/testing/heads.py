"""The contract of heads: the fused vector `(B, d)` to an output `(B, …)`."""

from __future__ import annotations

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

_BATCH = 5


def check_head(module: nn.Module, width: int, *, seed: int = 0) -> None:
    """Check everything that EdgeMM asks of a head: shape at any batch, finite, rows that do not see each other, gradients, ONNX.

    Raises:
        ContractError: for the first thing that does not hold.
    """
    fused = torch.randn(_BATCH, width, generator=torch.Generator().manual_seed(seed))
    with evaluating(module, seed):
        output = module(fused)
        shape = output.shape[1:] if isinstance(output, Tensor) else (None,)
        expect_tensor("the output (B, …)", output, torch.float32, (_BATCH, *shape))
        expect_finite("the output", output)
        for row in range(_BATCH):
            alone = module(fused[row : row + 1])
            expect_close(f"row {row} of a batch of {_BATCH}, alone", alone, output[row : row + 1])
        batches = [[fused], [fused[:1]]]
        for batch, (got,) in zip(batches, onnx_outputs(module, [fused[:2]], batches), strict=True):
            count = len(batch[0])
            expect_close(f"ONNX Runtime at batch {count}", torch.from_numpy(got), output[:count])
    expect_gradients(module, lambda: [module(fused)], seed)
