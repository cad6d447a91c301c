"""What a sampler of training examples is: batches on demand, and how long to train on them.

Knows neither the trainer nor any modality: the image, audio and text samplers of the digit desk all have this shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

__all__ = ["Sampler", "Training"]


@dataclass(frozen=True)
class Training:
    """How an encoder is trained alone on a sampler's batches (AdamW, one learning-rate cycle).

    Attributes:
        steps: number of batches.
        batch: examples in one batch.
        learning_rate: the cycle's highest rate.
        weight_decay: AdamW's decoupled decay.
        label_smoothing: share of the target that is spread evenly over all classes.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float


class Sampler(Protocol):
    """Draws training batches of one modality, reproducibly from a torch generator."""

    @property
    def classes(self) -> int:
        """Number of classes; the last one means "nothing here"."""
        ...

    @property
    def training(self) -> Training:
        """How long, and how, to train on these batches."""
        ...

    def batch(self, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs as the graph reads them, (size, ...), and targets, (size, classes) float32 rows that sum to 1."""
        ...
