"""The contract of encoders with state: the next state can be given to them again, and rows do not see each other in it either."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgemm
from edgemm.testing import ContractError, check_encoder

MOTION = edgemm.Tensor((4,))


class Feel(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.state = {"h": (8,), "count": (1,)}
        self.cell = nn.GRUCell(4, 8)
        self.speed = nn.Parameter(torch.ones(1))

    def forward(self, x, h, count):
        h = self.cell(x, h)
        return h[:, None], x[:, :1] > -1e9, h, count + self.speed * x[:, :1].tanh()


class Forgets(Feel):
    def forward(self, x, h, count):
        return super().forward(x, h, count)[:2]


class Grows(Feel):
    def forward(self, x, h, count):
        tokens, valid, h, count = super().forward(x, h, count)
        return tokens, valid, torch.cat([h, count], 1), count


class Mixes(Feel):
    def forward(self, x, h, count):
        tokens, valid, h, count = super().forward(x, h, count)
        return tokens, valid, h, count + count.mean()


class Explodes(Feel):
    def forward(self, x, h, count):
        tokens, valid, h, count = super().forward(x, h, count)
        return tokens, valid, h, count / 0


class Changes(Feel):
    def forward(self, x, h, count):
        return *super().forward(x, h, count)[:3], count + (2 if torch.compiler.is_exporting() else 1) * self.speed


@pytest.mark.export
def test_a_good_encoder_with_state_passes():
    """`speed` reaches the next state alone: it gets its gradient from there."""
    check_encoder(Feel(), MOTION, width=8)


@pytest.mark.export
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Forgets, r"forward must return \(tokens, valid, next h, next count\), got tuple"),
        (Grows, r"next h: expected float32 \[5, 8\], got float32 \[5, 9\]"),
        (Mixes, "row 0 of a batch of 5, encoded alone: next count: differs"),
        (Explodes, "next count is not finite"),
        (Changes, "ONNX Runtime at batch 5: next count: differs by up to 1"),
    ],
)
def test_a_bad_encoder_with_state_is_found(kind, message):
    with pytest.raises(ContractError, match=message):
        check_encoder(kind(), MOTION, width=8)
