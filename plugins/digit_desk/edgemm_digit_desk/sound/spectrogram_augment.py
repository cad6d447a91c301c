"""Other voices, microphones and rooms, made on a batch of power spectrograms in training.

Each row gets its own formants, pace, timbre, loudness curve, room, noise floor and masked patches; nothing moves across
the window's edges, so that a whole word stays whole and a cut word stays cut. Draws from torch's global generator, as
dropout does. Knows nothing of labels or of the encoder.

Source: vocal tract length perturbation (Jaitly & Hinton 2013), SpecAugment (Park et al. 2019).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SpectrogramAugment"]


class SpectrogramAugment(nn.Module):
    """Changes power spectrograms (B, frequencies, 1, frames) of sound at `sample_rate_hz`; the shape stays.

    Args:
        sample_rate_hz: twice the highest frequency of the spectrogram.
        strength: 1 is a room full of different people; 0 changes next to nothing.
    """

    def __init__(self, sample_rate_hz: int = 8000, strength: float = 1.0) -> None:
        super().__init__()
        self._nyquist_hz = sample_rate_hz / 2
        self._strength = strength

    def forward(self, power: Tensor) -> Tensor:
        """Power (B, frequencies, 1, frames), at least 0, to the same shape."""
        with torch.no_grad():
            x = power[:, :, 0, :]
            x = self._blurred(self._warped(x))
            x = self._reverberated(x * self._timbre(x) * self._loudness(x))
            x = self._masked(self._with_floor(x))
            return x.unsqueeze(2)

    def _warped(self, x: Tensor) -> Tensor:
        """Scale and bend frequencies (another vocal tract) and bend time between the window's fixed ends."""
        B, bins, frames = x.shape
        s = self._strength
        frequency = torch.linspace(0, 1, bins)
        source = frequency * torch.exp(_uniform(B, 1) * 0.22 * s)
        for k in (1, 2, 3):
            source = source + _uniform(B, 1) * (0.04 * s / k) * torch.sin(math.pi * k * frequency)
        time = torch.linspace(0, 1, frames)
        moment = time.expand(B, frames)
        for k, most in ((1, 0.1), (2, 0.055), (3, 0.015)):
            moment = moment + _uniform(B, 1) * (most * s) * torch.sin(math.pi * k * time)
        grid = torch.empty(B, bins, frames, 2)
        grid[..., 0] = (moment * 2 - 1)[:, None, :]
        grid[..., 1] = (source * 2 - 1)[:, :, None]
        return F.grid_sample(x.unsqueeze(1), grid, padding_mode="border", align_corners=True)[:, 0]

    def _blurred(self, x: Tensor) -> Tensor:
        """Wash out the harmonics of three rows in ten (another pitch, or a whisper)."""
        kernel = int(torch.randint(1, 4, ())) * 2 + 1
        chosen = torch.rand(len(x)) < 0.3
        flat = x[chosen].transpose(1, 2)
        x[chosen] = F.avg_pool1d(flat, kernel, 1, kernel // 2, count_include_pad=False).transpose(1, 2)
        return x

    def _timbre(self, x: Tensor) -> Tensor:
        """Gain over frequency, (B, frequencies, 1): tilt, slow waves, the edges of a telephone band."""
        B, bins, _ = x.shape
        s = self._strength
        frequency = torch.linspace(0, 1, bins)
        nepers = _uniform(B, 1) * 2 * s * (frequency - 0.5)
        for k in (1, 2, 3, 4):
            nepers = nepers + _uniform(B, 1) * (0.8 * s) * torch.cos(math.pi * k * frequency + _uniform(B, 1) * math.pi)
        low = (50 + 350 * torch.rand(B, 1)) / self._nyquist_hz
        high = 1 - 0.2 * torch.rand(B, 1) * (torch.rand(B, 1) < 0.35)
        lost_low = F.softplus((low - frequency) * 60) * (torch.rand(B, 1) < 0.6 * s)
        lost_high = F.softplus((frequency - high) * 60)
        return (nepers - lost_low - lost_high).exp().unsqueeze(2)

    def _loudness(self, x: Tensor) -> Tensor:
        """Gain over time, (B, 1, frames): four slow waves."""
        B, _, frames = x.shape
        time = torch.linspace(0, 1, frames)
        nepers = torch.zeros(B, frames)
        for k in (1, 2, 3, 4):
            wave = torch.cos(math.pi * k * time + _uniform(B, 1) * math.pi)
            nepers = nepers + _uniform(B, 1) * (0.8 * self._strength) * wave
        return nepers.exp().unsqueeze(1)

    def _reverberated(self, x: Tensor) -> Tensor:
        """Give half of the rows the decaying tail of a room, up to 12 frames long."""
        chosen = torch.rand(len(x)) < 0.5
        dry = x[chosen]
        rows, _, frames = dry.shape
        delay = torch.arange(frames)[None, :] - torch.arange(frames)[:, None]  # heard at the column, said at the row
        length = 1 + 11 * torch.rand(rows, 1, 1)
        gain = 0.35 * self._strength * torch.rand(rows, 1, 1)
        x[chosen] = torch.baddbmm(dry, dry, gain * torch.exp(-delay.clamp(min=0) / length) * (delay > 0))
        return x

    def _with_floor(self, x: Tensor) -> Tensor:
        """Add tilted noise to half of the rows, 20 to 50 dB below the loudest frame."""
        chosen = torch.rand(len(x)) < 0.5
        clean = x[chosen]
        rows, bins, _ = clean.shape
        loudest = clean.mean(dim=1).amax(dim=1).view(rows, 1, 1)
        level = loudest * 10 ** -(2 + 3 * torch.rand(rows, 1, 1))
        tilt = torch.exp(_uniform(rows, 1, 1) * 3 * torch.linspace(-0.5, 0.5, bins)[None, :, None])
        speckle = -torch.log(torch.rand_like(clean).clamp(min=1e-6))  # the power of Gaussian noise is exponential
        x[chosen] = clean + level * tilt * speckle
        return x

    def _masked(self, x: Tensor) -> Tensor:
        """Silence two bands of frequencies and a short stretch of time in six rows of ten."""
        B, bins, frames = x.shape
        chosen = torch.rand(B, 1) < 0.6
        keep = torch.ones_like(x)
        for axis, size, most in ((2, bins, 0.13), (2, bins, 0.13), (1, frames, 0.09)):
            begin = torch.rand(B, 1) * size
            width = torch.rand(B, 1) * most * size * chosen
            place = torch.arange(size)[None, :]
            hole = (place >= begin) & (place < begin + width)
            keep = keep * torch.where(hole, 0.01, 1.0).unsqueeze(axis)
        return x * keep


def _uniform(*shape: int) -> Tensor:
    """Uniform in [-1, 1)."""
    return torch.rand(*shape) * 2 - 1
