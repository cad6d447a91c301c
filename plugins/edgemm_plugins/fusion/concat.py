"""Concatenation fusion: one mean vector per input, the presence bits, and a small perceptron.

The cheapest fusion that can still compute joint answers, and the baseline every other fusion is compared with.
An input that is absent, or whose tokens are all invalid, is replaced by zeros and its presence bit is 0; the
replacement is a selection, so NaN in an absent input never reaches the output. It knows nothing about what the
inputs are, and ignores ages.

Source: concatenation as in "Multimodal Machine Learning" (Baltrusaitis et al., 2019), with presence bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn


class Config(BaseModel, extra="forbid"):
    """Options of `fusion.concat`."""

    hidden: int = Field(256, ge=1, description="width of the perceptron's hidden layer")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="dropout after the hidden layer, in training only")


class ConcatFusion(nn.Module):
    """Joins inputs by concatenating their masked mean tokens."""

    def __init__(self, config: Config, input_count: int, width: int) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Linear(input_count * (width + 1), config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, width),
            nn.GELU(),
        )

    def forward(self, tokens: Sequence[Tensor], valid: Sequence[Tensor], presence: Tensor, age_ms: Tensor) -> Tensor:
        """Fuse tokens [(B, T_m, d)], valid [(B, T_m)] bool, presence (B, M) and age_ms (B, M) into (B, d)."""
        means, bits = [], []
        for index, (input_tokens, input_valid) in enumerate(zip(tokens, valid, strict=True)):
            usable = input_valid & (presence[:, index : index + 1] > 0.5)  # (B, T_m)
            count = usable.to(input_tokens.dtype).sum(1, keepdim=True)  # (B, 1)
            kept = torch.where(usable.unsqueeze(-1), input_tokens, torch.zeros_like(input_tokens))
            means.append(kept.sum(1) / count.clamp(min=1.0))
            bits.append(count.clamp(max=1.0))
        fused: Tensor = self.perceptron(torch.cat([*means, *bits], dim=1))
        return fused


def build(config: Config, inputs: Sequence[str], width: int) -> ConcatFusion:
    """Make a concatenation fusion for the named inputs; tokens and output are `width` wide."""
    return ConcatFusion(config, len(inputs), width)
