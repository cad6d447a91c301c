"""An encoder of an inertial sensor: windows of readings float32 `(B, time, axes)` to one token."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn


class Config(BaseModel, extra="forbid"):
    """Options in model.toml; `width` is filled in with the model's."""

    width: int = Field(96, ge=1)
    channels: int = Field(32, ge=1)


class ImuEncoder(nn.Module):
    def __init__(self, config: Config, axes: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(axes, config.channels, kernel_size=5, padding=2)
        self.project = nn.Linear(config.channels, config.width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.relu(self.convolve(x.transpose(1, 2))).mean(dim=2)
        still = x.abs().amax(dim=(1, 2)) < 1e-4  # a sensor that reports nothing has nothing to encode
        return self.project(features)[:, None], ~still[:, None]  # tokens (B, 1, width), valid (B, 1)


def build(config: Config, input) -> ImuEncoder:
    return ImuEncoder(config, axes=input.tensors[0].shape[-1])
