"""Camera frames of handwritten digits, and of desks with none, for training and for evaluation.

Joins digits (`digits`), strokes (`ink`) and desks (`scene`); knows nothing of models.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgemm_digit_desk.hyperparameters import Hyperparameters
from edgemm_digit_desk.images.digits import Digits, Images
from edgemm_digit_desk.images.ink import (
    SIDE,
    Draw,
    bounding_boxes,
    centred_placement,
    cut_off_placement,
    free_placement,
    ink_coverage,
)
from edgemm_digit_desk.images.scene import KeepOut, desk_frames, plain_frames, scribbles

__all__ = [
    "CLASSES",
    "NOTHING",
    "FrameSampler",
    "digit_frames",
    "empty_frames",
    "evaluation_empty_frames",
    "evaluation_frames",
]

CLASSES = 11
NOTHING = 10  # the class of a frame without a legible digit
CHUNK = 100  # evaluation frames painted at once


class FrameSampler:
    """Draws training frames: a random training digit on a random desk, or a desk without one.

    Args:
        digits: where digits come from; only the training half is used.
        variations: False centres the digit on plain paper, and shows a digit every time.
        nothing: share of frames without a digit.
    """

    classes = CLASSES
    training = Hyperparameters(steps=1400, batch=96, learning_rate=5e-3, weight_decay=0.02, label_smoothing=0.05)

    def __init__(self, digits: Digits, variations: bool = True, nothing: float = 0.2) -> None:
        self.images = torch.from_numpy(digits.train_images)
        self.labels = torch.from_numpy(digits.train_labels).long()
        self.variations = variations
        self.nothing = nothing if variations else 0.0

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return frames, uint8 (size, 96, 96, 3), and one-hot targets, float32 (size, 11)."""
        empty = int((torch.rand(size, generator=generator) < self.nothing).sum())
        chosen = torch.randint(len(self.labels), (size - empty,), generator=generator)
        frames = digit_frames(self.images[chosen], self.variations, generator)
        labels = torch.cat([self.labels[chosen], torch.full((empty,), NOTHING)])
        if empty:
            frames = torch.cat([frames, empty_frames(self.images, empty, generator)])
        return frames, torch.nn.functional.one_hot(labels, CLASSES).float()


def digit_frames(images: Tensor, variations: bool, generator: torch.Generator) -> Tensor:
    """Paint one frame, uint8 (n, 96, 96, 3), for each digit, uint8 (n, 28, 28)."""
    draw, box = Draw(len(images), generator), bounding_boxes(images)
    placement = free_placement(box, draw) if variations else centred_placement(box, draw)
    ink = ink_coverage(images, box, placement, draw.uniform(0.8, 1.8), draw)
    if not variations:
        return plain_frames(ink, draw)
    return desk_frames(ink, KeepOut(placement.x, placement.y, placement.reach), draw)


def empty_frames(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Paint frames, uint8 (count, 96, 96, 3), without a legible digit: empty, cluttered, scribbled on, or cut off.

    `images`, uint8 (N, 28, 28), are the digits of which the cut-off ones are drawn.
    """
    chosen = images[torch.randint(len(images), (count,), generator=generator)]
    draw, box = Draw(count, generator), bounding_boxes(chosen)
    cut_off = ink_coverage(chosen, box, cut_off_placement(box, draw), draw.uniform(0.8, 1.8), draw)
    kind = draw.uniform(0, 1)
    ink = torch.where(kind < 0.3, cut_off, torch.zeros(()))
    scribbled = ((kind > 0.3) & (kind < 0.5)).flatten()
    if scribbled.any():
        ink[scribbled] = scribbles(Draw(int(scribbled.sum()), generator))
    anywhere = KeepOut(draw.uniform(0, SIDE), draw.uniform(0, SIDE), draw.uniform(-30, 5))
    return desk_frames(ink, anywhere, draw, clutter=0.5)


def evaluation_frames(digits: Digits, variations: bool, seed: int = 2024) -> tuple[Images, Images]:
    """Paint every test digit once, always the same way.

    Returns:
        Frames, uint8 (2000, 96, 96, 3), and labels, uint8 (2000,).
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(digits.test_images)
    parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    frames = torch.cat([digit_frames(part, variations, generator) for part in parts])
    return frames.numpy(), digits.test_labels


def evaluation_empty_frames(digits: Digits, count: int = 1000, seed: int = 2025) -> Images:
    """Paint `count` frames without a legible digit, uint8 (count, 96, 96, 3), always the same."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(digits.test_images)
    return torch.cat([empty_frames(images, CHUNK, generator) for _ in range(-(-count // CHUNK))])[:count].numpy()
