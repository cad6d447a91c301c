"""How long, and how, an encoder is trained on a sampler's batches. Knows neither the trainer nor any modality."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Hyperparameters"]


@dataclass(frozen=True)
class Hyperparameters:
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
