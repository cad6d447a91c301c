"""Paints frames as a camera above a desk sees them: paper, ink, lines, edges, things lying about, light, lens and sensor.

Works on a whole batch at once and takes the ink as given; knows nothing of digits or labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edgemm_digit_desk.images.ink import SIDE, Draw, smooth_field

__all__ = ["KeepOut", "desk_frames", "plain_frames", "scribbles"]

BLOCK = 8  # side of a JPEG block, pixels


@dataclass(frozen=True)
class KeepOut:
    """A disc per frame that edges and objects leave alone; every field is (n, 1, 1) float pixels."""

    x: Tensor
    y: Tensor
    radius: Tensor

    def of(self, chosen: Tensor) -> KeepOut:
        """Return the discs of some frames, by index (m,)."""
        return KeepOut(self.x[chosen], self.y[chosen], self.radius[chosen])


def plain_frames(ink: Tensor, draw: Draw) -> Tensor:
    """Paint ink (n, 96, 96) in [0, 1] on even paper with a little noise: uint8 (n, 96, 96, 3), both polarities."""
    paper, pen = _paper_and_pen(draw)
    frames = torch.lerp(paper[..., None], pen[..., None], ink[:, None])
    return _bytes_from_frames(frames + 0.02 * draw.normal(1, SIDE, SIDE))


def desk_frames(ink: Tensor, keep_out: KeepOut, draw: Draw, clutter: float = 0.35) -> Tensor:
    """Paint ink (n, 96, 96) in [0, 1] on a desk: uint8 (n, 96, 96, 3) RGB.

    Args:
        ink: coverage, 1 is full ink.
        keep_out: what edges and objects must not touch.
        draw: random numbers for these n frames.
        clutter: probability of each kind of thing that is not ink.
    """
    paper, pen = _paper_and_pen(draw)
    frames = paper[..., None].repeat(1, 1, SIDE, SIDE)
    ruled, part = draw.some(clutter)
    line_colour = torch.lerp(paper[ruled], pen[ruled], part.uniform(0.1, 0.35))
    frames[ruled] = torch.lerp(frames[ruled], line_colour[..., None], _lines(part)[:, None])
    frames.lerp_(pen[..., None], ink[:, None])
    for thing in (_edge, _object, _object):
        chosen, part = draw.some(clutter)
        cover = thing(keep_out.of(chosen), part)
        frames[chosen] = torch.lerp(frames[chosen], _colour(part)[..., None], cover[:, None])
    return _bytes_from_frames(_camera(frames.mul_(_light(draw)[:, None]), draw))


def scribbles(draw: Draw, points: int = 48) -> Tensor:
    """Draw a tangle of many loops, unlike any digit: coverage (n, 96, 96) in [0, 1]."""
    time = torch.linspace(0, 1, points)[None, :]
    rates = torch.tensor([[3.0, 5.0, 7.0]])
    curve = []
    for _ in range(2):
        phase, weight = draw.normal(3) * 3, draw.normal(3)
        wave = (weight[..., None] * torch.sin(2 * math.pi * rates[..., None] * time[:, None] + phase[..., None])).sum(1)
        size = draw.uniform(10, 30)[:, :, 0]
        curve.append(wave / wave.abs().amax(1, keepdim=True) * size + draw.uniform(30, 66)[:, :, 0])
    x, y = curve
    place = torch.arange(SIDE, dtype=torch.float32) + 0.5
    nearest = torch.full((draw.count, SIDE, SIDE), 1e9)
    for i in range(points - 1):
        ends = (v[:, j, None, None] for j in (i, i + 1) for v in (x, y))
        nearest = torch.minimum(nearest, _segment_distance(place, *ends))
    return (draw.uniform(0.8, 2.5) - nearest).clamp(0, 1)


def _paper_and_pen(draw: Draw) -> tuple[Tensor, Tensor]:
    """Colours (n, 3, 1) of the ground and of the ink, dark on light (three in four) or light on dark."""
    light = draw.uniform(0.5, 1.0)
    dark = light * draw.uniform(0.05, 0.5)
    inverted = draw.chance(0.3)
    paper_level, pen_level = torch.lerp(light, dark * 0.7, inverted), torch.lerp(dark, light, inverted)
    paper_tint, pen_tint = 0.05 * draw.normal(3, 1), 0.12 * draw.normal(3, 1)
    tint = pen_tint - pen_tint.mean(1, keepdim=True)
    return (paper_level * (1 + paper_tint)).clamp(0, 1), (pen_level + tint).clamp(0, 1)


def _colour(draw: Draw) -> Tensor:
    """Any colour (n, 3, 1), not very saturated."""
    return (draw.uniform(0.05, 0.95) + 0.1 * draw.normal(3, 1)).clamp(0, 1)


def _lines(draw: Draw) -> Tensor:
    """Ruled or squared paper, fainter than the pen: (n, 96, 96) in [0, 1]."""
    place = torch.arange(SIDE, dtype=torch.float32)
    pitch, width, slant = draw.uniform(7, 26), draw.uniform(0.5, 1.1), draw.uniform(-0.1, 0.1)
    x, y = place[None, None, :], place[None, :, None]
    across = _periodic(y + slant * x + draw.uniform(0, 26), pitch, width)
    along = _periodic(x - slant * y + draw.uniform(0, 26), pitch, width)
    return torch.maximum(across, along * draw.chance(0.5))


def _periodic(distance: Tensor, pitch: Tensor, width: Tensor) -> Tensor:
    return (width + 0.5 - (torch.remainder(distance, pitch) - pitch / 2).abs()).clamp(0, 1)


def _edge(keep_out: KeepOut, draw: Draw) -> Tensor:
    """The desk beyond a straight paper edge: (n, 96, 96) in [0, 1]."""
    place = torch.arange(SIDE, dtype=torch.float32) + 0.5
    angle = draw.uniform(-math.pi, math.pi)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    beyond = cosine * (place[None, None, :] - keep_out.x) + sine * (place[None, :, None] - keep_out.y) - keep_out.radius
    return ((beyond - draw.uniform(0, 30)) / draw.uniform(0.7, 3)).clamp(0, 1)


def _object(keep_out: KeepOut, draw: Draw) -> Tensor:
    """A finger, pen or cable that reaches in from the border, or nothing: (n, 96, 96) in [0, 1].

    It always crosses the border: a free straight stroke would be a one.
    """
    place = torch.arange(SIDE, dtype=torch.float32) + 0.5
    angle, turn = draw.uniform(-math.pi, math.pi), draw.uniform(-0.7, 0.7)
    start_x, start_y = SIDE / 2 + 75 * torch.cos(angle), SIDE / 2 + 75 * torch.sin(angle)
    length = draw.uniform(20, 100)
    end_x, end_y = start_x - length * torch.cos(angle + turn), start_y - length * torch.sin(angle + turn)
    radius = torch.exp(draw.uniform(-0.3, 2.8))
    gap = _segment_distance(keep_out.x, start_x, start_y, end_x, end_y, keep_out.y) - radius - keep_out.radius
    inside = (radius - _segment_distance(place, start_x, start_y, end_x, end_y)) / draw.uniform(0.7, 3)
    return (gap > 2) * inside.clamp(0, 1)


def _segment_distance(
    place: Tensor, from_x: Tensor, from_y: Tensor, to_x: Tensor, to_y: Tensor, place_y: Tensor | None = None
) -> Tensor:
    """Distance of each pixel (or of one point per frame, with `place_y`) to a segment, pixels."""
    x, y = (place[None, None, :], place[None, :, None]) if place_y is None else (place, place_y)
    along_x, along_y = to_x - from_x, to_y - from_y
    length = (along_x**2 + along_y**2).clamp(min=1e-6)
    share = (((x - from_x) * along_x + (y - from_y) * along_y) / length).clamp(0, 1)
    return torch.sqrt((x - from_x - share * along_x) ** 2 + (y - from_y - share * along_y) ** 2)


def _light(draw: Draw) -> Tensor:
    """Uneven light with at most one shadow: factors (n, 96, 96)."""
    place = torch.linspace(-1, 1, SIDE)
    slope_x, slope_y = draw.uniform(-0.3, 0.3), draw.uniform(-0.3, 0.3)
    field = slope_x * place[None, None, :] + slope_y * place[None, :, None]
    rough = 0.12 * smooth_field(draw.normal(4, 4), SIDE)
    angle = draw.uniform(-math.pi, math.pi)
    across = torch.cos(angle) * place[None, None, :] + torch.sin(angle) * place[None, :, None] - draw.uniform(-0.7, 0.7)
    shadow = torch.sigmoid(across / draw.uniform(0.01, 0.2)) * draw.chance(0.35) * draw.uniform(0.1, 0.7)
    return torch.exp((field + rough - shadow - draw.uniform(-0.1, 0.3)).clamp(min=-0.9))


def _camera(frames: Tensor, draw: Draw) -> Tensor:
    """Lens blur, sensor noise, white balance and JPEG blocks, in place: (n, 3, 96, 96)."""
    chosen, part = draw.some(0.5)
    blur_x, blur_y = (_blur_matrix(part.uniform(0.3, 1.1)) for _ in range(2))  # focus, and motion along one axis
    frames[chosen] = blur_y[:, None] @ frames[chosen] @ blur_x[:, None].transpose(2, 3)
    frames.mul_(1 + 0.06 * draw.normal(3, 1, 1))
    strength = draw.uniform(0, 1)[..., None] ** 2
    noise = (0.055 * strength) * draw.normal(1, SIDE, SIDE)
    chosen, part = draw.some(0.4)
    noise[chosen] += _jpeg_error(frames[chosen].mean(1), part)[:, None]
    chroma = 0.02 * draw.uniform(0, 1)[..., None] * draw.normal(3, SIDE // 4, SIDE // 4)
    frames.view(-1, 3, SIDE // 4, 4, SIDE // 4, 4).add_(chroma[:, :, :, None, :, None])
    return frames.add_(noise)


def _blur_matrix(sigma: Tensor) -> Tensor:
    """Gaussian blur along one axis as a matrix (n, 96, 96) whose rows sum to 1."""
    place = torch.arange(SIDE)
    weights = torch.exp(-(place.float() ** 2) / (2 * sigma[:, 0] ** 2))
    matrix = weights[:, (place[:, None] - place[None, :]).abs()]
    return matrix / matrix.sum(2, keepdim=True)


def _jpeg_error(luma: Tensor, draw: Draw) -> Tensor:
    """What coarse quantisation of 8x8 blocks changes: (n, 96, 96) to the same."""
    cosine = _cosine_blocks()
    step = draw.uniform(0.002, 0.05)
    place = torch.arange(SIDE) % BLOCK
    table = (1 + 0.7 * (place[None, :] + place[:, None])) * step
    spectrum = cosine @ luma @ cosine.T
    error = torch.round(spectrum / table) * table - spectrum
    return cosine.T @ error @ cosine


def _cosine_blocks() -> Tensor:
    """8-point DCT of every block, as one matrix (96, 96), orthonormal."""
    place = torch.arange(BLOCK, dtype=torch.float32)
    basis = torch.cos(math.pi * (2 * place[None, :] + 1) * place[:, None] / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return torch.kron(torch.eye(SIDE // BLOCK), basis)


def _bytes_from_frames(frames: Tensor) -> Tensor:
    """Quantise (n, 3, 96, 96) in [0, 1], which is overwritten, to uint8 (n, 96, 96, 3)."""
    return frames.mul_(255).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous()
