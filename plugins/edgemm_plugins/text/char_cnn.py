"""`text.char_cnn`: raw UTF-8 bytes to one token: any language, no vocabulary, no tokenizer to ship.

Two strided convolutions over byte embeddings and a maximum over the text; ASCII letters lose their case in the graph.
With `classes` the encoder has a classifier of its own: its last class means "nothing here" (text that asks for nothing)
and makes the token invalid, and its posterior is added to the token. Knows nothing of what the classes are.

Source: character-level convolutions (Zhang, Zhao & LeCun 2015).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from edgemm.errors import SpecError
from edgemm_plugins.inputs.text import Text

__all__ = ["CharCnn", "Config", "build"]

BYTES = 256
HIDDEN = -1e4  # finite, survives float16, and loses against every real activation


class Config(BaseModel, extra="forbid"):
    """Options of `text.char_cnn`."""

    width: int = Field(96, ge=8, description="length of the token")
    embedding: int = Field(32, ge=1, description="length of a byte's embedding")
    channels: int = Field(64, ge=1, description="channels of the first convolution; the second has `width`")
    classes: int = Field(0, ge=0, description="classes of the encoder's own classifier, the last is 'nothing'; 0: none")
    nothing_threshold: float = Field(
        0.5, gt=0, le=1, description="the token is invalid when P(nothing) is this high or higher"
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout before the encoder's own classifier, in training only")


class CharCnn(nn.Module):
    """Bytes int32 (B, N), 0 is padding, to one token (B, 1, d) and whether it is valid (B, 1)."""

    lower_case: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.register_buffer("lower_case", _lower_case(), persistent=False)
        self.embedding = nn.Embedding(BYTES, config.embedding, padding_idx=0)
        self.first = nn.Conv1d(config.embedding, config.channels, 5, 2, 2, bias=False)
        self.first_norm = nn.BatchNorm1d(config.channels)
        self.second = nn.Conv1d(config.channels, config.width, 5, 2, 2, bias=False)
        self.second_norm = nn.BatchNorm1d(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier: nn.Linear | None = None
        self.posterior: nn.Linear | None = None
        self._nothing_threshold = config.nothing_threshold
        if config.classes:
            self.classifier = nn.Linear(config.width, config.classes)
            self.posterior = nn.Linear(config.classes, config.width, bias=False)
            nn.init.orthogonal_(self.posterior.weight, math.sqrt(config.width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Bytes (B, N) int32 to token (B, 1, d) and valid (B, 1) bool; empty text is never valid."""
        pooled, valid = self._pool(x), x.amax(1, keepdim=True) > 0
        if self.classifier is None or self.posterior is None:
            return pooled.unsqueeze(1), valid
        posterior = torch.softmax(self.classifier(pooled), dim=1)
        valid = valid & (posterior[:, -1:] < self._nothing_threshold)
        return (pooled + self.posterior(posterior)).unsqueeze(1), valid

    def classify(self, x: Tensor) -> Tensor:
        """Bytes (B, N) int32 to the own classifier's logits (B, classes).

        Raises:
            SpecError: the encoder was built with `classes = 0`.
        """
        if self.classifier is None:
            raise SpecError("text.char_cnn has no classifier of its own: set classes in its options")
        logits: Tensor = self.classifier(self.dropout(self._pool(x)))
        return logits

    def _pool(self, x: Tensor) -> Tensor:
        """Bytes to the maximum of each feature over the text, (B, d); 0 for empty text."""
        written = (x > 0).float().unsqueeze(1)  # (B, 1, N)
        table = self.embedding.weight[self.lower_case]  # of constants: one plain Gather is left in an exported graph
        letters = F.embedding(x, table).transpose(1, 2) * written
        features = torch.relu(self.first_norm(self.first(letters)))
        written = _halved(written)
        features = torch.relu(self.second_norm(self.second(features * written)))
        return torch.relu(torch.where(_halved(written) > 0, features, HIDDEN).amax(2))


def build(config: Config, input: Text) -> CharCnn:
    """Make the encoder; its weights do not depend on the input's `max_bytes`."""
    return CharCnn(config)


def _halved(written: Tensor) -> Tensor:
    """Which of every two places hold text: (B, 1, N) to (B, 1, ceil(N / 2)), 1 or 0."""
    return F.max_pool1d(written, 2, 2, ceil_mode=True)


def _lower_case() -> Tensor:
    """Table (256,) that maps the bytes A to Z to a to z and every other byte to itself."""
    table = torch.arange(BYTES)
    table[ord("A") : ord("Z") + 1] += ord("a") - ord("A")
    return table
