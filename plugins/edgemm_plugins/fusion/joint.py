"""Joint fusion: self-attention over a summary token and the tokens of all inputs.

Each token carries a learned type embedding (which input it came from) and an embedding of its age. Tokens that
are invalid, or whose input is absent, are replaced before anything is computed from them and masked as keys, so
they cannot change the output, not even as NaN. The summary token is always there: with every input absent the
output stays finite. It knows nothing about modalities, rates or answers.

Written for exporters: plain matmul and softmax, a finite additive mask that fits in FP16, no data-dependent shapes.

Source: Vaswani et al. 2017, pre-norm as in Xiong et al. 2020; missing inputs by key masking as in ActionMAE
(Woo et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from edgemm.errors import SpecError

# exp(-1e4) is exactly 0 in FP32 and FP16, and -1e4 itself fits in FP16, which -1e9 does not.
MASKED_SCORE = -1e4
# LayerNorm's usual 1e-5 is subnormal in FP16 and may be flushed to zero by an engine.
NORM_EPSILON = 1e-4
# Ages enter as 1 - exp(-age / scale): bounded, smooth, and 0 for a fresh embedding.
AGE_SCALES_S = (0.25, 1.0, 4.0)
OLDEST_AGE_MS = 10_000.0


class Config(BaseModel, extra="forbid"):
    """Options of `fusion.joint`."""

    layers: int = Field(2, ge=1, le=12, description="pre-norm attention layers")
    heads: int = Field(4, ge=1, description="attention heads; must divide the model's width")
    feedforward: int = Field(192, ge=1, description="hidden width of each layer's feed-forward block")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="dropout on both residual branches, in training only")


class AttentionLayer(nn.Module):
    """One pre-norm transformer layer whose queries may be fewer than its keys."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.query = nn.Linear(width, width)
        # A key bias shifts every score of a query alike, which softmax ignores: it would never receive a gradient.
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.feedforward = nn.Sequential(nn.Linear(width, feedforward), nn.GELU(), nn.Linear(feedforward, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, sequence: Tensor, key_mask: Tensor, query_count: int) -> Tensor:
        """Update the first `query_count` tokens of sequence (B, N, d); key_mask (B, 1, 1, N) is added to the scores."""
        normed = self.norm_attention(sequence)
        queries = self._split(self.query(normed[:, :query_count]))  # (B, H, Q, d/H)
        keys = self._split(self.key(normed))  # (B, H, N, d/H)
        values = self._split(self.value(normed))
        scores = torch.matmul(queries, keys.transpose(2, 3)) * (keys.shape[-1] ** -0.5) + key_mask
        mixed = torch.matmul(torch.softmax(scores, dim=-1), values)  # (B, H, Q, d/H)
        mixed = mixed.transpose(1, 2).reshape(sequence.shape[0], query_count, sequence.shape[2])
        updated = sequence[:, :query_count] + self.dropout(self.output(mixed))
        result: Tensor = updated + self.dropout(self.feedforward(self.norm_feedforward(updated)))
        return result

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, d) -> (B, H, N, d/H)."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, x.shape[2] // self.heads).transpose(1, 2)


class JointFusion(nn.Module):
    """Joins inputs by self-attention over all of their tokens."""

    def __init__(self, config: Config, input_count: int, width: int) -> None:
        super().__init__()
        self.summary = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.input_type = nn.Parameter(torch.randn(input_count, width) * 0.02)
        self.age = nn.Linear(len(AGE_SCALES_S), width, bias=False)
        self.age_rates: Tensor
        self.register_buffer("age_rates", 1.0 / torch.tensor(AGE_SCALES_S), persistent=False)
        self.layers = nn.ModuleList(
            AttentionLayer(width, config.heads, config.feedforward, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)

    def forward(self, tokens: Sequence[Tensor], valid: Sequence[Tensor], presence: Tensor, age_ms: Tensor) -> Tensor:
        """Fuse tokens [(B, T_m, d)], valid [(B, T_m)] bool, presence (B, M) and age_ms (B, M) into (B, d)."""
        sequence = [self.summary.expand(presence.shape[0], -1, -1)]
        keys = [torch.ones_like(presence[:, :1]) > 0.5]  # the summary token is always a key
        for index, (input_tokens, input_valid) in enumerate(zip(tokens, valid, strict=True)):
            usable = input_valid & (presence[:, index : index + 1] > 0.5)  # (B, T_m)
            kept = torch.where(usable.unsqueeze(-1), input_tokens, torch.zeros_like(input_tokens))
            sequence.append(kept + self.input_type[index] + self._age_embedding(age_ms[:, index], usable))
            keys.append(usable)
        usable = torch.cat(keys, dim=1)
        key_mask = torch.where(usable, 0.0, MASKED_SCORE).to(presence.dtype)[:, None, None, :]
        fused = torch.cat(sequence, dim=1)  # (B, N, d)
        for layer in self.layers[:-1]:
            fused = layer(fused, key_mask, fused.shape[1])
        fused = self.layers[-1](fused, key_mask, 1)  # only the summary is read, so only it is computed
        result: Tensor = self.norm(fused[:, 0])
        return result

    def _age_embedding(self, age_ms: Tensor, usable: Tensor) -> Tensor:
        """age_ms (B,), usable (B, T) -> (B, T, d); ages of unusable tokens are not read."""
        age = torch.where(usable, age_ms[:, None], torch.zeros_like(age_ms)[:, None])  # (B, T)
        seconds = age.clamp(min=0.0, max=OLDEST_AGE_MS) / 1000.0
        features = 1.0 - torch.exp(-seconds.unsqueeze(-1) * self.age_rates)  # (B, T, scales)
        embedding: Tensor = self.age(features)
        return embedding


def build(config: Config, inputs: Sequence[str], width: int) -> JointFusion:
    """Make a joint fusion for the named inputs; tokens and output are `width` wide.

    Raises:
        SpecError: when the attention heads do not divide the width.
    """
    if width % config.heads:
        raise SpecError(
            f"fusion.joint: heads = {config.heads} does not divide the model's width {width}; choose one that does"
        )
    return JointFusion(config, len(inputs), width)
