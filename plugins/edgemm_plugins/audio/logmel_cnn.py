"""`audio.logmel_cnn`: a window of sound to one token, with the log-mel front end inside the graph.

The spectrogram and the mel bands are convolutions with (1, k) kernels, so that ONNX needs no STFT and every compiler
takes them; they stay FP32 (`full_precision`). A small CNN reads the log-mel picture, attention pools it over time.
With `classes` the encoder has a classifier of its own: its last class means "nothing here" and makes the token invalid,
and its posterior is added to the token, so that a fusion need not learn the decision again. Level is divided out, down
to `silence_db`. Knows nothing of what the classes are, of streams, or of how it is trained.

Source: log-mel with per-band mean subtraction (Davis & Mermelstein 1980; Atal 1974); attentive pooling (Okabe 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from edgemm.errors import SpecError
from edgemm_plugins.inputs.audio import Audio

__all__ = ["Config", "LogMel", "LogmelCnn", "build"]

LONGEST_SPECTRUM = 4096  # samples: the spectrum is a matrix of samples x samples
_SOFT_FLOOR = 0.003
_LOWEST_DEVIATION = 0.5


class Config(BaseModel, extra="forbid"):
    """Options of `audio.logmel_cnn`."""

    width: int = Field(96, ge=8, description="length of the token")
    classes: int = Field(0, ge=0, description="classes of the encoder's own classifier, the last is 'nothing'; 0: none")
    nothing_threshold: float = Field(
        0.5, gt=0, le=1, description="the token is invalid when P(nothing) is this high or higher"
    )
    silence_db: float = Field(
        -70.0, ge=-120, le=0, description="a window quieter than this (dB of full scale) is not made louder"
    )
    frame_ms: float = Field(32.0, gt=0, description="length of one spectrum")
    frame_hop_ms: float = Field(10.0, gt=0, description="time between two spectra")
    mels: int = Field(40, ge=16, le=512, description="number of mel bands")
    lowest_hz: float = Field(60.0, ge=0, description="lower edge of the first band")
    highest_hz: float | None = Field(
        None, gt=0, description="upper edge of the last band; 0.975 of half the rate if unset"
    )
    channels: tuple[int, int, int] = Field(
        (16, 32, 48), description="channels of the three convolutions over the picture"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout before the encoder's own classifier, in training only")


class LogMel(nn.Module):
    """Power spectrogram and log-mel as convolutions; everything in FP32."""

    def __init__(self, config: Config, sample_rate_hz: int) -> None:
        super().__init__()
        frame = round(config.frame_ms * sample_rate_hz / 1000)
        self._hop = round(config.frame_hop_ms * sample_rate_hz / 1000)
        self._padding = max(0, (frame - self._hop + 1) // 2)
        self._lowest_power = 10 ** (config.silence_db / 10)
        self.spectrum: Tensor
        self.mel: Tensor
        self.register_buffer("spectrum", _spectrum_kernels(frame), persistent=False)
        highest_hz = config.highest_hz or 0.4875 * sample_rate_hz
        mel = _mel_kernels(frame, config.mels, config.lowest_hz, highest_hz, sample_rate_hz)
        self.register_buffer("mel", mel, persistent=False)

    def power(self, x: Tensor) -> Tensor:
        """Sound (B, N) to power (B, frequencies, 1, frames); white noise of variance v has a mean of v."""
        parts = F.conv2d(x[:, None, None, :], self.spectrum, stride=(1, self._hop), padding=(0, self._padding))
        frequencies = self.spectrum.shape[0] // 2
        real, imaginary = parts[:, :frequencies], parts[:, frequencies:]
        return real * real + imaginary * imaginary

    def forward(self, x: Tensor, augment: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Sound (B, N) in [-1, 1] to features (B, 1, mels, frames) and the window's mean power (B, 1).

        Args:
            x: one window per row.
            augment: changes the power spectrogram (B, frequencies, 1, frames) in training.
        """
        power = self.power(x)
        if augment is not None:
            power = augment(power)
        bands = F.conv2d(power, self.mel)[:, :, 0, :]  # (B, mels, frames)
        mean = bands.mean(dim=(1, 2), keepdim=True)
        relative = bands / mean.clamp(min=self._lowest_power)
        logarithm = torch.log((relative + _SOFT_FLOOR).clamp(min=_SOFT_FLOOR))
        centred = logarithm - logarithm.mean(dim=2, keepdim=True)
        deviation = (centred * centred).mean(dim=(1, 2), keepdim=True).clamp(min=_LOWEST_DEVIATION**2).sqrt()
        return (centred / deviation).unsqueeze(1), mean[:, :, 0]

    @property
    def lowest_power(self) -> float:
        """Mean power below which a window counts as silent."""
        return self._lowest_power


class _TimeBlock(nn.Module):
    """Residual block over time on (B, d, 1, T)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, (1, 5), padding=(0, 2 * dilation), dilation=(1, dilation), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.layers(x))


class LogmelCnn(nn.Module):
    """One window of sound to one token.

    `augment` is a slot for training: a module that changes power spectrograms (B, frequencies, 1, frames); it is used
    in training mode only and never exported.
    """

    full_precision = ("frontend",)

    def __init__(self, config: Config, sample_rate_hz: int) -> None:
        super().__init__()
        self.frontend = LogMel(config, sample_rate_hz)
        self.augment: nn.Module = nn.Identity()
        first, second, third = config.channels
        height = math.ceil(math.ceil(math.ceil(config.mels / 2) / 2) / 2)
        self.picture = nn.Sequential(
            *_convolution(1, first, 5, (2, 2)),
            *_convolution(first, second, 3, (2, 2)),
            *_convolution(second, third, 3, (2, 1)),
        )
        self.squeeze = nn.Sequential(
            nn.Conv2d(third, config.width, (height, 1), bias=False), nn.BatchNorm2d(config.width), nn.ReLU()
        )
        self.time = nn.Sequential(*(_TimeBlock(config.width, dilation) for dilation in (1, 1, 2)))
        # a bias would shift all scores alike, which softmax ignores: it would never receive a gradient
        self.attention = nn.Conv2d(config.width, 1, 1, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier: nn.Linear | None = None
        self.posterior: nn.Linear | None = None
        self._nothing_threshold = config.nothing_threshold
        if config.classes:
            self.classifier = nn.Linear(config.width, config.classes)
            self.posterior = nn.Linear(config.classes, config.width, bias=False)
            nn.init.orthogonal_(self.posterior.weight, math.sqrt(config.width))

    def train(self, mode: bool = True) -> LogmelCnn:
        """Set training mode; kernels lie channels-last meanwhile, which saves a third of a step's time on a CPU."""
        super().train(mode)
        layout = torch.channels_last if mode else torch.contiguous_format
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=layout)
        return self

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Sound (B, N) to one vector a window (B, d) and the window's mean power (B, 1)."""
        features, power = self.frontend(x, self.augment if self.training else None)
        hidden = self.time(self.squeeze(self.picture(features)))  # (B, d, 1, T)
        weights = torch.softmax(self.attention(hidden), dim=3)
        return (hidden * weights).sum(dim=(2, 3)), power

    def classify(self, x: Tensor) -> Tensor:
        """Sound (B, N) to the own classifier's logits (B, classes); the last one is "nothing here".

        Raises:
            SpecError: the encoder was built with `classes = 0`.
        """
        if self.classifier is None:
            raise SpecError("audio.logmel_cnn has no classifier of its own: set classes in its options")
        logits: Tensor = self.classifier(self.dropout(self.pool(x)[0]))
        return logits

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Sound (B, N) float32 mono in [-1, 1] to tokens (B, 1, d) and valid (B, 1) bool."""
        pooled, power = self.pool(x)
        if self.classifier is None or self.posterior is None:
            return pooled.unsqueeze(1), power > self.frontend.lowest_power
        posterior = torch.softmax(self.classifier(self.dropout(pooled)), dim=1)
        return (pooled + self.posterior(posterior)).unsqueeze(1), posterior[:, -1:] < self._nothing_threshold


def build(config: Config, input: Audio) -> LogmelCnn:
    """Make the encoder for sound at the input's rate.

    Raises:
        SpecError: the mel bands do not fit below half the sampling rate, or the window is shorter than a spectrum or longer than it may be.
    """
    highest_hz = config.highest_hz or 0.4875 * input.sample_rate_hz
    if not config.lowest_hz < highest_hz <= input.sample_rate_hz / 2:
        raise SpecError(
            f"audio.logmel_cnn: lowest_hz {config.lowest_hz:g} and highest_hz {highest_hz:g} must rise and stay below half of "
            f"{input.sample_rate_hz} Hz"
        )
    if input.window_ms < config.frame_ms:
        raise SpecError(
            f"audio.logmel_cnn: a window of {input.window_ms} ms is shorter than frame_ms ({config.frame_ms:g})"
        )
    samples = round(config.frame_ms * input.sample_rate_hz / 1000)
    if samples > LONGEST_SPECTRUM:
        raise SpecError(
            f"audio.logmel_cnn: frame_ms ({config.frame_ms:g}) at {input.sample_rate_hz} Hz has {samples} samples; at most {LONGEST_SPECTRUM}"
        )
    return LogmelCnn(config, input.sample_rate_hz)


def _convolution(inputs: int, outputs: int, kernel: int, stride: tuple[int, int]) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def _spectrum_kernels(frame: int) -> Tensor:
    """Rows of a Fourier transform under a Hann window, real then imaginary: (2 * frequencies, 1, 1, frame)."""
    window = torch.hann_window(frame, periodic=True, dtype=torch.float64)
    time = torch.arange(frame, dtype=torch.float64)
    angles = 2 * math.pi * torch.arange(frame // 2 + 1, dtype=torch.float64)[:, None] * time / frame
    rows = torch.cat([angles.cos(), -angles.sin()]) * (window / window.square().sum().sqrt())
    return rows.to(torch.float32)[:, None, None, :]


def _mel_kernels(frame: int, mels: int, lowest_hz: float, highest_hz: float, sample_rate_hz: int) -> Tensor:
    """Triangular bands, evenly spaced on the mel scale, each of sum 1: (mels, frequencies, 1, 1)."""

    def mel_from_hz(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    edges = torch.linspace(mel_from_hz(lowest_hz), mel_from_hz(highest_hz), mels + 2, dtype=torch.float64)
    edges_hz = 700 * (10 ** (edges / 2595) - 1)
    bins_hz = torch.arange(frame // 2 + 1, dtype=torch.float64) * sample_rate_hz / frame
    width_hz = sample_rate_hz / frame  # a band narrower than one bin still hears its nearest bins
    rising = (bins_hz - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2]).clamp(min=width_hz)[:, None]
    falling = (edges_hz[2:, None] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1]).clamp(min=width_hz)[:, None]
    bands = torch.minimum(rising, falling).clamp(min=0)
    nearest = (bins_hz - edges_hz[1:-1, None]).abs().argmin(dim=1)
    empty = bands.sum(dim=1) < 1e-3
    bands[empty, nearest[empty]] = 1.0
    return (bands / bands.sum(dim=1, keepdim=True)).to(torch.float32)[:, :, None, None]
