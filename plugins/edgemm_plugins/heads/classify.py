"""Classification head: the fused vector to one logit per label.

It gives logits, not probabilities: losses and parity checks want them, and the runtime applies softmax where it
reports a confidence. It knows nothing about what the labels mean.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, field_validator
from torch import Tensor, nn


class Config(BaseModel, extra="forbid"):
    """Options of `heads.classify`."""

    labels: list[Annotated[str, Field(min_length=1)]] = Field(min_length=2, description="the answers, in logit order")
    hidden: int | None = Field(None, ge=1, description="width of an optional hidden layer")

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: list[str]) -> list[str]:
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise ValueError(f"labels must differ; repeated: {', '.join(repeated)}")
        return labels


class ClassifyHead(nn.Module):
    """Linear classifier, with one optional hidden layer."""

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        self.labels = tuple(config.labels)
        layers: list[nn.Module] = []
        if config.hidden is not None:
            layers += [nn.Linear(width, config.hidden), nn.GELU()]
        layers.append(nn.Linear(config.hidden or width, len(self.labels)))
        self.layers = nn.Sequential(*layers)

    def forward(self, fused: Tensor) -> Tensor:
        """Fused vectors (B, d) -> logits (B, labels)."""
        logits: Tensor = self.layers(fused)
        return logits


def build(config: Config, width: int) -> ClassifyHead:
    """Make a classification head that reads vectors `width` wide."""
    return ClassifyHead(config, width)
