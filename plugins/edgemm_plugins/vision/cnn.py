"""`vision.cnn`: a frame of any size to a few tokens, small enough for one CPU thread.

Contrast is normalised inside the graph, the first filters ignore polarity (dark on light or light on dark), the
convolutions see the frame at several scales at once so that near and far objects look alike, one constant channel marks
the frame's border, where things are cut off, and attention picks the places that matter. With `classes` the encoder has
a classifier of its own: its last class means "nothing here" and makes the tokens invalid, and its posterior is added to
the tokens, so that a fusion need not learn the decision again. Knows nothing of what the classes are, of streams, or of
how it is trained.

Source: divisive normalisation (Heeger 1992); image pyramid (Burt & Adelson 1983); attention pooling (Ilse 2018).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from edgemm.errors import SpecError
from edgemm_plugins.inputs.image import Image

__all__ = ["Config", "LocalContrast", "VisionCnn", "build"]

LARGEST_SIDE = 4096  # of a frame: the surroundings are a matrix of side x side
EDGE_FILTER = 5  # side of the first filters, pixels


class Config(BaseModel, extra="forbid"):
    """Options of `vision.cnn`."""

    width: int = Field(96, ge=8, description="length of a token")
    channels: tuple[int, ...] = Field(
        (16, 32, 64, 96),
        min_length=2,
        max_length=16,
        description="channels of each convolution, border map included; all but the last halve the frame",
    )
    scales: int = Field(3, ge=1, le=3, description="sizes of the frame that are looked at: whole, 1/2, 1/4")
    tokens: int = Field(1, ge=1, description="number of tokens; each learns where to look")
    classes: int = Field(0, ge=0, description="classes of the encoder's own classifier, the last is 'nothing'; 0: none")
    nothing_threshold: float = Field(
        0.5, gt=0, le=1, description="the tokens are invalid when P(nothing) is this high or higher"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout before the encoder's own classifier, in training only")


class LocalContrast(nn.Module):
    """Brightness relative to the surroundings, (B, 1, H, W) in (-1, 1), from RGB bytes as float (B, H, W, 3).

    Subtracts a Gaussian mean (two constant matrices: cheap, and the same in every runtime), divides by the frame's own
    contrast and squashes, so that neither light, nor shadow, nor a loud object elsewhere hides what is in the frame.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int, reach: float = 1 / 8, floor: float = 0.01) -> None:
        super().__init__()
        sigma = reach * min(height, width)
        self._floor = floor  # contrast below this is noise, in parts of full scale
        self.register_buffer("rows", _smoothing_matrix(height, sigma)[:, :, None, None], persistent=False)
        self.register_buffer("columns", _smoothing_matrix(width, sigma)[:, :, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return contrast (B, 1, H, W)."""
        gray = x.mean(3) * (1 / 255)
        centred = gray - self._surroundings(gray)
        spread = (centred * centred).mean((1, 2), keepdim=True).clamp(min=self._floor**2).sqrt()
        return (centred / (centred.abs() + 2 * spread)).unsqueeze(1)

    def _surroundings(self, gray: Tensor) -> Tensor:
        """Gaussian mean of (B, H, W): rows @ gray @ columns, as convolutions, since TensorRT-RTX has no FP32 MatMul on Turing."""
        smooth = F.conv2d(gray.unsqueeze(2), self.rows)  # (B, H, 1, W)
        smooth = F.conv2d(smooth.permute(0, 3, 2, 1), self.columns)  # (B, W, 1, H)
        return smooth.permute(0, 3, 2, 1).squeeze(2)


class VisionCnn(nn.Module):
    """uint8 RGB frames (B, H, W, 3) to tokens (B, T, d) and whether they are valid (B, T)."""

    full_precision = ("contrast",)
    inside: Tensor

    def __init__(self, config: Config, height: int, width: int) -> None:
        super().__init__()
        self.contrast = LocalContrast(height, width)
        self.edges = nn.Conv2d(1, config.channels[0] - 1, EDGE_FILTER, 2, EDGE_FILTER // 2, bias=False)
        self.register_buffer("inside", _inside(height, width, config.scales), persistent=False)
        self.trunk = _trunk(config)
        # a bias would shift all places alike, which softmax ignores: it would never receive a gradient
        self.look = nn.Linear(config.width, config.tokens, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier: nn.Linear | None = None
        self.posterior: nn.Linear | None = None
        self._scales, self._tokens = config.scales, config.tokens
        self._nothing_threshold = config.nothing_threshold
        if config.classes:
            self.classifier = nn.Linear(config.width, config.classes)
            self.posterior = nn.Linear(config.classes, config.width, bias=False)
            nn.init.orthogonal_(self.posterior.weight, math.sqrt(config.width))

    def train(self, mode: bool = True) -> VisionCnn:
        """Set training mode; weights lie channels-last meanwhile, which is faster on a CPU."""
        super().train(mode)
        layout = torch.channels_last if mode else torch.contiguous_format
        for weights in self.parameters():
            if weights.ndim == 4:
                weights.data = weights.data.contiguous(memory_format=layout)
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, H, W, 3) uint8 RGB to tokens (B, T, d) and valid (B, T) bool."""
        pooled = self._pool(x)
        if self.classifier is None or self.posterior is None:
            return pooled, torch.ones_like(pooled[:, :, 0], dtype=torch.bool)
        posterior = torch.softmax(self.classifier(pooled.mean(1)), dim=1)
        something = posterior[:, -1:] < self._nothing_threshold
        return pooled + self.posterior(posterior).unsqueeze(1), something.expand(-1, self._tokens)

    def classify(self, x: Tensor) -> Tensor:
        """Frames (B, H, W, 3) uint8 RGB to the own classifier's logits (B, classes).

        Raises:
            SpecError: the encoder was built with `classes = 0`.
        """
        if self.classifier is None:
            raise SpecError("vision.cnn has no classifier of its own: set classes in its options")
        logits: Tensor = self.classifier(self.dropout(self._pool(x).mean(1)))
        return logits

    def _pool(self, x: Tensor) -> Tensor:
        """Frames to pooled vectors (B, T, d), each an average over the places that one query attends to."""
        canvas = _side_by_side(self.contrast(x.float()), self._scales)
        edges = self.edges(canvas).abs()  # abs: both polarities look the same from here on
        inside = self.inside.expand(x.shape[0], -1, -1, -1)
        features = self.trunk(torch.cat([edges, inside], 1))
        places = features.flatten(2).transpose(1, 2)  # (B, P, d)
        weights = torch.softmax(self.look(places).transpose(1, 2), dim=2)  # (B, T, P)
        pooled: Tensor = weights @ places
        return pooled


def build(config: Config, input: Image) -> VisionCnn:
    """Make the encoder for frames of the input's height and width.

    Raises:
        SpecError: they are larger than what it is made for.
    """
    if max(input.height, input.width) > LARGEST_SIDE:
        raise SpecError(
            f"vision.cnn: takes frames of up to {LARGEST_SIDE} x {LARGEST_SIDE}, got {input.width} x {input.height}"
        )
    return VisionCnn(config, input.height, input.width)


def _side_by_side(frame: Tensor, scales: int) -> Tensor:
    """Lay frames (B, 1, H, W) and their smaller copies on one canvas (B, 1, H, W + W // 2): one pass reads them all."""
    if scales == 1:
        return frame
    height, width = frame.shape[2:]
    copies = [F.avg_pool2d(frame, 2**scale) for scale in range(1, scales)]
    column = torch.cat([F.pad(copy, (0, width // 2 - copy.shape[3])) for copy in copies], 2)
    return torch.cat([frame, F.pad(column, (0, 0, 0, height - column.shape[2]))], 3)


def _inside(height: int, width: int, scales: int) -> Tensor:
    """A map of the canvas at half size, 0 along the frame's border: what reaches in from outside is not whole."""
    frame = torch.zeros(1, 1, height, width)
    frame[:, :, 2:-2, 2:-2] = 1
    inside = (_side_by_side(frame, scales) > 0.99).float()
    return -F.max_pool2d(-inside, 2, ceil_mode=True)


def _trunk(config: Config) -> nn.Sequential:
    """3x3 convolutions, of which all but the last halve the frame, then one to the token's width."""
    layers: list[nn.Module] = []
    pairs = list(zip(config.channels[:-1], config.channels[1:], strict=True))
    for index, (before, after) in enumerate(pairs):
        stride = 1 if index == len(pairs) - 1 else 2
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.Conv2d(config.channels[-1], config.width, 1, bias=False), nn.BatchNorm2d(config.width), nn.ReLU()]
    return nn.Sequential(*layers)


def _smoothing_matrix(size: int, sigma: float) -> Tensor:
    """Gaussian mean along one axis, (size, size); rows sum to 1."""
    place = torch.arange(size, dtype=torch.float32)
    weights = torch.exp(-((place[:, None] - place[None, :]) ** 2) / (2 * sigma**2))
    return weights / weights.sum(1, keepdim=True)
