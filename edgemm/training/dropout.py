"""Modality dropout and age sampling: what a model meets in a live stream, drawn for training.

In a stream an input may be absent, and a cached embedding may be old. A model that has met neither in training fails
on both. Knows nothing of models and data.

Source: modality dropout as in Neverova et al., "ModDrop", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["sample_ages", "sample_presence"]


def sample_presence(batch: int, inputs: int, dropout: float, generator: torch.Generator) -> Tensor:
    """Draw presence (batch, inputs) of 0 and 1; each input is absent with probability `dropout`, never all of a row."""
    presence = torch.rand(batch, inputs, generator=generator) >= dropout
    kept = torch.randint(inputs, (batch,), generator=generator)
    empty = ~presence.any(dim=1)
    presence[empty, kept[empty]] = True
    return presence.float()


def sample_ages(batch: int, oldest_ms: Sequence[float], generator: torch.Generator) -> Tensor:
    """Draw ages (batch, inputs) in ms: half of them fresh (0), the others even between 0 and the input's oldest."""
    shape = (batch, len(oldest_ms))
    stale = torch.rand(shape, generator=generator) < 0.5
    ages = torch.rand(shape, generator=generator) * torch.tensor(list(oldest_ms), dtype=torch.float32)
    return torch.where(stale, ages, torch.zeros(shape))
