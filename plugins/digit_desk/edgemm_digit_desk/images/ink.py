"""Draws handwritten digits into a frame: where they stand, how large, how slanted, with what pen.

Makes only the coverage of the ink, 0 to 1 per pixel, for a whole batch at once; knows nothing of colours, paper or light.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Draw",
    "Placement",
    "bounding_boxes",
    "centred_placement",
    "cut_off_placement",
    "free_placement",
    "ink_coverage",
    "smooth_field",
]

SIDE = 96  # frame height and width, pixels
SOURCE = 28  # height and width of a digit as stored
FINE = 56  # height and width of a digit before it is placed: strokes need more than the stored pixels


class Draw:
    """Random numbers for each of `count` frames, shaped to broadcast over (count, height, width)."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count = count
        self.generator = generator

    def uniform(self, low: float, high: float) -> Tensor:
        """Return (count, 1, 1), evenly spread."""
        return torch.rand(self.count, 1, 1, generator=self.generator) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        """Return (count, *shape), standard normal."""
        return torch.randn(self.count, *shape, generator=self.generator)

    def chance(self, probability: float) -> Tensor:
        """Return (count, 1, 1) float, 1 with that probability, else 0."""
        return (torch.rand(self.count, 1, 1, generator=self.generator) < probability).float()

    def some(self, probability: float) -> tuple[Tensor, Draw]:
        """Choose each frame with that probability: indices (m,), and random numbers for those m frames."""
        chosen = (torch.rand(self.count, generator=self.generator) < probability).nonzero()[:, 0]
        return chosen, Draw(len(chosen), self.generator)


@dataclass(frozen=True)
class Placement:
    """How each digit lies in its frame; every field is (n, 1, 1) float.

    Attributes:
        x, y: centre of the digit, pixels.
        scale: frame pixels per stored pixel.
        angle: rotation, radians.
        shear: horizontal shift per height.
        stretch: width over natural width.
        pen: 0 keeps the strokes as scanned, 1 draws with the thinnest pen.
        warp: elastic distortion, stored pixels.
    """

    x: Tensor
    y: Tensor
    scale: Tensor
    angle: Tensor
    shear: Tensor
    stretch: Tensor
    pen: Tensor
    warp: Tensor

    @property
    def reach(self) -> Tensor:
        """Radius (n, 1, 1) around the centre that nothing else should touch, pixels."""
        return self.scale * 14.0


def centred_placement(box: Tensor, draw: Draw, height: float = 0.6) -> Placement:
    """Place each digit in the middle of its frame, upright, as written; `box` is (n, 4) from `bounding_boxes`."""
    zero, one = draw.uniform(0, 0), draw.uniform(1, 1)
    scale = height * SIDE / (box[:, 3:4, None] - box[:, 2:3, None])
    return Placement(one * SIDE / 2, one * SIDE / 2, scale, zero, zero, one, zero + 0.15, zero)


def free_placement(box: Tensor, draw: Draw) -> Placement:
    """Place each digit wholly inside its frame, 20 to 80 % of the frame high, rotated by up to 15 degrees."""
    angle, shear = draw.uniform(-0.26, 0.26), draw.uniform(-0.12, 0.12)
    stretch = torch.exp(draw.uniform(-0.15, 0.15))
    width, height = box[:, 1:2, None] - box[:, 0:1, None], box[:, 3:4, None] - box[:, 2:3, None]
    scale = torch.exp(draw.uniform(-1.61, -0.223)) * SIDE / height  # exp: 0.2 to 0.8
    half_x, half_y = _half_extent(width, height, angle, shear, stretch)
    scale = torch.minimum(scale, (SIDE / 2 - 2) / torch.maximum(half_x, half_y))
    free_x, free_y = SIDE / 2 - 1 - half_x * scale, SIDE / 2 - 1 - half_y * scale
    x = SIDE / 2 + draw.uniform(-1, 1) * free_x
    y = SIDE / 2 + draw.uniform(-1, 1) * free_y
    return Placement(x, y, scale, angle, shear, stretch, draw.uniform(0, 0.8), draw.uniform(0, 0.8))


def cut_off_placement(box: Tensor, draw: Draw) -> Placement:
    """Place each digit so that at most two fifths of it are inside the frame: nobody could read it."""
    inside = free_placement(box, draw)
    width, height = box[:, 1:2, None] - box[:, 0:1, None], box[:, 3:4, None] - box[:, 2:3, None]
    half_x, half_y = (
        half * inside.scale for half in _half_extent(width, height, inside.angle, inside.shear, inside.stretch)
    )
    visible = draw.uniform(0.0, 0.4)  # of the box, along the side over which it leaves; 1 is all of it
    sideways, far = draw.chance(0.5), draw.chance(0.5)
    x = _across(half_x, visible, far)
    y = _across(half_y, visible, far)
    return Placement(
        torch.where(sideways > 0, x, inside.x),
        torch.where(sideways > 0, inside.y, y),
        *(inside.scale, inside.angle, inside.shear, inside.stretch, inside.pen, inside.warp),
    )


def bounding_boxes(digits: Tensor) -> Tensor:
    """Return left, right, top, bottom of the ink, (n, 4) float stored pixels, of uint8 (n, 28, 28)."""
    ink = digits > 64
    columns, rows = ink.any(1).float(), ink.any(2).float()
    place = torch.arange(SOURCE, dtype=torch.float32)

    def ends(seen: Tensor) -> tuple[Tensor, Tensor]:
        low = torch.where(seen > 0, place, torch.full_like(place, SOURCE)).amin(1)
        return low, torch.where(seen > 0, place, torch.zeros_like(place)).amax(1) + 1

    return torch.stack([*ends(columns), *ends(rows)], 1)


def ink_coverage(digits: Tensor, box: Tensor, placement: Placement, softness: Tensor, draw: Draw) -> Tensor:
    """Draw uint8 digits (n, 28, 28) as ink coverage (n, 96, 96) in [0, 1]; edges are about `softness` pixels wide."""
    fine = _strokes(digits, placement, draw)
    place = torch.arange(SIDE, dtype=torch.float32) + 0.5
    x, y = place[None, None, :] - placement.x, place[None, :, None] - placement.y
    cosine, sine = torch.cos(placement.angle), torch.sin(placement.angle)
    down = (cosine * y - sine * x) / placement.scale
    right = (cosine * x + sine * y) / placement.scale / placement.stretch + placement.shear * down
    centre_x, centre_y = box[:, 0:2].mean(1)[:, None, None], box[:, 2:4].mean(1)[:, None, None]
    grid = torch.stack([(right + centre_x) * (2 / SOURCE) - 1, (down + centre_y) * (2 / SOURCE) - 1], -1)
    field = F.grid_sample(fine[:, None], grid, mode="bilinear", align_corners=False)[:, 0]
    level = 0.42 + 0.1 * placement.pen
    gain = 4.0 * 1.3 * placement.scale / softness
    floor = torch.sigmoid(-level * gain)
    return ((torch.sigmoid((field - level) * gain) - floor) / (torch.sigmoid((1 - level) * gain) - floor)).clamp(0, 1)


def smooth_field(knots: Tensor, side: int) -> Tensor:
    """Blow (..., k, k) knots up to a smooth (..., side, side) field."""
    count = knots.shape[-1]
    place = torch.linspace(0, count - 1, side)[:, None] - torch.arange(count, dtype=torch.float32)
    weights = torch.exp(-(place**2) / 0.6)
    weights = weights / weights.sum(1, keepdim=True)
    return weights @ knots @ weights.T


def _strokes(digits: Tensor, placement: Placement, draw: Draw) -> Tensor:
    """Warp digits and redraw their strokes with a thinner pen: uint8 (n, 28, 28) to (n, 56, 56), 1 in a stroke's middle.

    The scans are written with a broad pen. Dividing by the highest ink nearby leaves 1 along the middle of each stroke,
    so that a threshold near 1 keeps a thin unbroken line.
    """
    place = (torch.arange(FINE, dtype=torch.float32) + 0.5) * (2 / FINE) - 1
    plain = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)
    bend = smooth_field(draw.normal(2, 5, 5), FINE)
    grid = plain + (bend * (placement.warp[:, None] * (2 / SOURCE))).permute(0, 2, 3, 1)
    ink = F.grid_sample(digits[:, None].float() / 255, grid, mode="bicubic", align_corners=False)
    smooth = F.avg_pool2d(ink, 5, 1, 2, count_include_pad=False).clamp(0, 1)
    middle = smooth / F.max_pool2d(F.max_pool2d(smooth, (7, 1), 1, (3, 0)), (1, 7), 1, (0, 3)).clamp(min=0.25)
    thin = ((middle[:, 0] - 0.6) / 0.4).clamp(0, 1)
    return torch.lerp(ink[:, 0].clamp(0, 1), thin, placement.pen.expand_as(thin))


def _half_extent(width: Tensor, height: Tensor, angle: Tensor, shear: Tensor, stretch: Tensor) -> tuple[Tensor, Tensor]:
    """Half width and half height, stored pixels, of a box after shear, stretch and rotation."""
    wide = (width + shear.abs() * height) * stretch
    cosine, sine = torch.cos(angle), torch.sin(angle).abs()
    return (wide * cosine + height * sine) / 2, (wide * sine + height * cosine) / 2


def _across(half: Tensor, visible: Tensor, far: Tensor) -> Tensor:
    """Centre along one axis so that the share `visible` of a box is inside, at the far or near border."""
    near_centre = half * (2 * visible - 1)
    return torch.where(far > 0, SIDE - near_centre, near_centre)
