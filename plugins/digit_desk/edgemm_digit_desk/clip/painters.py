"""The pictures of a film: a desk that is pleasant to look at, and camera frames as varied as the model's training.

`DeskScene` paints one desk with a pen and a cup, onto which sheets slide, one for every question. `VariedFrames` shows
test frames one after another. Both only paint; they know nothing of sound, text or truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgemm_digit_desk.clip.film import Question
from edgemm_digit_desk.images.digits import Images
from edgemm_digit_desk.images.frames import digit_frames, empty_frames

__all__ = ["DeskScene", "VariedFrames"]

Frame = NDArray[np.uint8]


class VariedFrames:
    """One still camera frame for every question, painted like evaluation frames; nothing moves.

    Args:
        images: uint8 (N, 28, 28), white ink on black; a question's `picture` is an index into them.
        seed: the same seed paints the same frames.
        variations: False centres every digit on plain paper.
    """

    size = (96, 96)
    frames_per_s = 10
    moving_s = 0.0

    def __init__(self, images: Images, seed: int, variations: bool = True) -> None:
        self._images = torch.from_numpy(np.asarray(images))
        self._seed, self._variations = seed, variations

    def frames(self, questions: Sequence[Question]) -> Iterator[Frame]:
        """Yield 96 x 96 frames, ten a second."""
        generator = torch.Generator().manual_seed(self._seed)
        for question in questions:
            if question.seen is None:
                still = empty_frames(self._images, 1, generator)[0].numpy()
            else:
                chosen = self._images[question.picture : question.picture + 1]
                still = digit_frames(chosen, self._variations, generator)[0].numpy()
            for _ in range(_count(question, self.frames_per_s)):
                yield still


@dataclass(frozen=True)
class _Sheet:
    """A kind of paper and what is written with: colours in RGB from 0 to 1, lines as (pitch, squared) or None."""

    paper: tuple[float, float, float]
    ink: tuple[float, float, float]
    lines: tuple[float, bool] | None
    softness: float


_SHEETS = (
    _Sheet((0.97, 0.96, 0.93), (0.10, 0.16, 0.42), None, 1.0),  # fountain pen on white
    _Sheet((0.98, 0.88, 0.48), (0.13, 0.12, 0.12), None, 1.0),  # marker on a yellow note
    _Sheet((0.16, 0.20, 0.20), (0.93, 0.94, 0.90), None, 2.2),  # chalk on a slate
    _Sheet((0.95, 0.96, 0.97), (0.20, 0.20, 0.22), (15.0, True), 1.4),  # pencil on squared paper
    _Sheet((0.93, 0.90, 0.83), (0.55, 0.10, 0.12), (22.0, False), 1.0),  # red on ruled paper
    _Sheet((0.74, 0.87, 0.90), (0.08, 0.20, 0.26), None, 1.0),  # felt-tip on a blue note
)


class DeskScene:
    """A wooden desk with a pen and a cup; the next sheet slides over the last one.

    Args:
        images: uint8 (N, 28, 28), white ink on black; a question's `picture` is an index into them.
        seed: the same seed paints the same scene.
    """

    size = (240, 320)
    frames_per_s = 15
    moving_s = 0.4

    def __init__(self, images: Images, seed: int) -> None:
        self._images = torch.from_numpy(np.asarray(images)).float() / 255
        self._random = np.random.default_rng(seed)
        height, width = self.size
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        self._x, self._y = x - width / 2, y - height / 2  # from the centre, pixels
        self._light = 1.06 - 0.20 * ((self._x + 90) ** 2 + (self._y + 80) ** 2).sqrt() / 200
        self._desk = self._things(self._wood(seed))

    def frames(self, questions: Sequence[Question]) -> Iterator[Frame]:
        """Yield 240 x 320 frames, fifteen a second."""
        below = self._desk
        for index, question in enumerate(questions):
            sheet = _SHEETS[index % len(_SHEETS)]
            angle, side = float(self._random.uniform(-0.07, 0.07)), 1 if index % 2 else -1
            ink, height = self._ink(question, sheet), float(self._random.uniform(95, 135))
            moving = math.ceil(self.moving_s * self.frames_per_s)
            still = self._with_sheet(below, sheet, angle, 0.0, ink, height)
            for number in range(_count(question, self.frames_per_s)):
                share = min(1.0, (number + 1) / moving)
                away = (1 - share) ** 3 * 330 * side  # fast at first, then gently to rest
                yield _bytes(
                    still if share == 1 else self._with_sheet(below, sheet, angle, away, ink, height), self._light
                )
            below = still if index % len(_SHEETS) < 2 else self._with_sheet(self._desk, sheet, angle, 0.0, ink, height)

    def _wood(self, seed: int) -> Tensor:
        """Boards of warm wood with a fine grain, (3, H, W)."""
        generator = torch.Generator().manual_seed(seed)
        fine = F.interpolate(torch.randn(1, 1, self.size[0] // 2, 6, generator=generator), self.size, mode="bicubic")[
            0, 0
        ]
        broad = F.interpolate(torch.randn(1, 1, 14, 5, generator=generator), self.size, mode="bicubic")[0, 0]
        rings = torch.sin((self._y + 9 * broad) * 0.35 + 0.012 * self._x)
        level = 0.60 + 0.035 * fine + 0.035 * broad + 0.02 * rings
        joint = torch.remainder(self._y + 62, 80)
        level = level * (1 - 0.35 * torch.exp(-(((joint - 40) / 1.1) ** 2)))
        return level * torch.tensor([1.0, 0.74, 0.50])[:, None, None]

    def _things(self, desk: Tensor) -> Tensor:
        """Put a pen at the left and a cup at the right, outside the square that the model looks at."""
        along, across = _turned(self._x + 141, self._y - 6, 0.10)
        pen = _rounded(along, across, 5.5, 92, 5)
        desk = _shaded(desk, _rounded(along - 4, across - 5, 6, 92, 9), 0.35)
        barrel = 0.55 + 0.45 * torch.exp(-(((along + 1.5) / 2.2) ** 2))
        desk = torch.lerp(desk, barrel * torch.tensor([0.16, 0.28, 0.55])[:, None, None], pen)
        desk = torch.lerp(desk, torch.full_like(desk, 0.80), pen * (((across - 40).abs() < 3).float()))
        away = ((self._x - 160) ** 2 + (self._y + 104) ** 2).sqrt()
        desk = _shaded(desk, torch.sigmoid((44 - ((self._x - 153) ** 2 + (self._y + 96) ** 2).sqrt()) / 5), 0.4)
        for radius, colour in ((40.0, (0.93, 0.92, 0.90)), (35.0, (0.78, 0.77, 0.75)), (33.0, (0.26, 0.15, 0.09))):
            desk = torch.lerp(
                desk, torch.tensor(colour)[:, None, None].expand_as(desk), torch.sigmoid((radius - away) * 2)
            )
        return desk

    def _ink(self, question: Question, sheet: _Sheet) -> Tensor | None:
        """The digit as written, (224, 224) in [0, 1], its strokes smooth at eight times the scanned size."""
        if question.seen is None:
            return None
        scan = self._images[question.picture][None, None]
        fine = F.interpolate(scan, scale_factor=8, mode="bicubic", align_corners=False)
        smooth = F.avg_pool2d(F.avg_pool2d(fine, 9, 1, 4), 9, 1, 4)[0, 0]
        return torch.sigmoid((smooth - 0.46) * 22 / sheet.softness)

    def _with_sheet(
        self, below: Tensor, sheet: _Sheet, angle: float, away: float, ink: Tensor | None, height: float
    ) -> Tensor:
        """Lay a sheet on the picture `below` (3, H, W), moved `away` pixels sideways."""
        right, down = _turned(self._x - away, self._y, angle)
        half = (104.0, 102.0)
        below = _shaded(below, _rounded(right - 3, down - 5, half[0], half[1], 9), 0.45)
        paper = torch.tensor(sheet.paper)[:, None, None].expand(3, *self.size)
        if sheet.lines is not None:
            pitch, squared = sheet.lines
            ruled = _ruled(down, pitch)
            ruled = torch.maximum(ruled, _ruled(right, pitch)) if squared else ruled
            paper = torch.lerp(paper, torch.tensor([0.55, 0.66, 0.82])[:, None, None].expand_as(paper), 0.55 * ruled)
        if ink is not None:
            grid = torch.stack([right, down], -1) / (
                height * 28 / 20 / 2
            )  # scans keep the digit within 20 of 28 pixels
            written = F.grid_sample(ink[None, None], grid[None], mode="bilinear", align_corners=False)[0, 0]
            paper = torch.lerp(paper, torch.tensor(sheet.ink)[:, None, None].expand_as(paper), written * 0.94)
        return torch.lerp(below, paper, _rounded(right, down, half[0], half[1], 1.2))


def _count(question: Question, frames_per_s: int) -> int:
    return round(question.end_s * frames_per_s) - round(question.begin_s * frames_per_s)


def _turned(x: Tensor, y: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _rounded(x: Tensor, y: Tensor, half_width: float, half_height: float, softness: float) -> Tensor:
    """1 inside a rectangle around the origin, 0 outside, with an edge about `softness` pixels wide."""
    return torch.sigmoid((half_width - x.abs()) * 2 / softness) * torch.sigmoid((half_height - y.abs()) * 2 / softness)


def _ruled(distance: Tensor, pitch: float) -> Tensor:
    return (1.2 - (torch.remainder(distance, pitch) - pitch / 2).abs()).clamp(0, 1)


def _shaded(picture: Tensor, shadow: Tensor, depth: float) -> Tensor:
    return picture * (1 - depth * shadow)


def _bytes(picture: Tensor, light: Tensor) -> Frame:
    lit: Frame = ((picture * light).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return lit
