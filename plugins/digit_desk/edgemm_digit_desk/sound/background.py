"""Sounds of a room in which nobody says a digit: hiss, hum, tones, clicks, typing, babble, silence.

Each maker gives a stretch of sound of about unit loudness; `background` draws one. Knows nothing of words, windows or
models; babble is made of clips that the caller hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["BACKGROUNDS", "Floats", "background", "coloured_noise"]

Floats = NDArray[np.float32]
Generator = np.random.Generator


def coloured_noise(count: int, slope: float, generator: Generator) -> Floats:
    """Noise whose power falls with frequency to the power of `slope`: 0 white, 1 pink, 2 brown; (count,), variance 1."""
    noise = generator.standard_normal(count, dtype=np.float32)
    if slope == 0:
        return noise
    spectrum = np.fft.rfft(noise)
    frequency = np.maximum(np.arange(len(spectrum)), 1) / len(spectrum)
    return _unit(np.fft.irfft(spectrum * np.maximum(frequency, 0.005) ** (-slope / 2), count))


def _hiss(count: int, rate_hz: int, generator: Generator, clips: Sequence[Floats]) -> Floats:
    return coloured_noise(count, float(generator.choice((0.0, generator.uniform(-0.5, 2.2)))), generator)


def _band(count: int, rate_hz: int, generator: Generator, clips: Sequence[Floats]) -> Floats:
    """A fan or a vent: noise around one or two resonances, with slow swells."""
    spectrum = np.fft.rfft(generator.standard_normal(count))
    frequency = np.linspace(0, rate_hz / 2, len(spectrum))
    shape = np.full(len(spectrum), 0.01)
    for _ in range(int(generator.integers(1, 4))):
        centre, width = generator.uniform(80, rate_hz * 0.45), generator.uniform(30, 500)
        shape += generator.uniform(0.2, 1) * np.exp(-0.5 * ((frequency - centre) / width) ** 2)
    return _unit(np.fft.irfft(spectrum * shape, count)) * _swell(count, rate_hz, generator)


def _hum(count: int, rate_hz: int, generator: Generator, clips: Sequence[Floats]) -> Floats:
    time = np.arange(count) / rate_hz
    base = float(generator.choice((50.0, 60.0, generator.uniform(90, 400))))
    sound = 0.02 * generator.standard_normal(count)
    for k in range(1, int(generator.integers(2, 12))):
        sound += generator.uniform(0, 1) / k * np.sin(2 * np.pi * (base * k * time + generator.random()))
    return _unit(sound)


def _tones(count: int, rate_hz: int, generator: Generator, clips: Sequence[Floats]) -> Floats:
    """Beeps, whistles, sweeps and chords that come and go."""
    time = np.arange(count) / rate_hz
    sound = 0.005 * generator.standard_normal(count)
    for _ in range(int(generator.integers(1, 2 + max(1, round(4 * count / rate_hz))))):
        first, length = generator.uniform(-0.3, time[-1]), generator.uniform(0.05, 0.9)
        envelope = 1 / (1 + np.exp(-np.clip((time - first) * 150, -30, 30)))
        envelope = envelope / (1 + np.exp(np.clip((time - first - length) * 150, -30, 30)))
        tone, sweep = generator.uniform(100, 3000), generator.uniform(-1, 1) * float(generator.choice((0, 1500)))
        since = time - first
        phase = tone * since + 0.5 * sweep * since * since
        phase = phase + generator.uniform(0, 3) * np.sin(2 * np.pi * generator.uniform(3, 9) * time)
        for k in range(1, int(generator.integers(2, 7))):
            if tone * k < 0.45 * rate_hz:
                sound += envelope * generator.uniform(0, 1) / k * np.sin(2 * np.pi * k * phase)
    return _unit(sound)


def _clicks(count: int, rate_hz: int, generator: Generator, clips: Sequence[Floats]) -> Floats:
    """Keys, knocks and cups put down: short decaying bursts, alone or in rows."""
    sound = 0.003 * generator.standard_normal(count)
    rate = generator.uniform(0.7, 10)
    for begin in np.cumsum(generator.exponential(rate_hz / rate, 1 + int(rate * 1.5 * count / rate_hz))).astype(int):
        length = int(rate_hz * generator.uniform(0.004, 0.12))
        if begin >= count:
            break
        burst = coloured_noise(max(length, 16), generator.uniform(-1, 1.5), generator)
        burst = burst * np.exp(-np.arange(len(burst)) / (len(burst) * generator.uniform(0.08, 0.4)))
        if generator.random() < 0.5:
            ring = np.sin(2 * np.pi * generator.uniform(150, 3500) * np.arange(len(burst)) / rate_hz)
            burst = burst * (1 - generator.random()) + ring * np.exp(-np.arange(len(burst)) / (0.3 * len(burst)))
        room = min(len(burst), count - begin)
        sound[begin : begin + room] += generator.uniform(0.2, 1) * burst[:room]
    return _unit(sound)


def _rustle(count: int, rate_hz: int, generator: Generator, clips: Sequence[Floats]) -> Floats:
    """Breath, paper, a chair: noise in bursts."""
    return _unit(coloured_noise(count, generator.uniform(-1, 2), generator) * _bursts(count, rate_hz, generator))


def _babble(count: int, rate_hz: int, generator: Generator, clips: Sequence[Floats]) -> Floats:
    """Four to nine voices at once, half of them backwards, without a pause."""
    sound = np.zeros(count, np.float32)
    if not clips:
        return _rustle(count, rate_hz, generator, clips)
    for _ in range(int(generator.integers(4, 10))):
        at = -int(generator.integers(0, rate_hz))
        gain, backwards = generator.uniform(0.4, 1), generator.random() < 0.5
        while at < count:
            clip = clips[int(generator.integers(len(clips)))]
            clip = clip[::-1] if backwards else clip
            begin, end = max(at, 0), min(at + len(clip), count)
            if end > begin:
                sound[begin:end] += gain * clip[begin - at : end - at]
            at += int(len(clip) * generator.uniform(0.6, 1.1))
    return _unit(sound)


BACKGROUNDS: dict[str, Callable[[int, int, Generator, Sequence[Floats]], Floats]] = {
    "hiss": _hiss,
    "band": _band,
    "hum": _hum,
    "tones": _tones,
    "clicks": _clicks,
    "rustle": _rustle,
    "babble": _babble,
}
"""Makers: (samples, rate in Hz, generator, clips for babble) -> (samples,) float32 of variance 1."""


def background(
    count: int, rate_hz: int, generator: Generator, clips: Sequence[Floats], kinds: Sequence[str] = tuple(BACKGROUNDS)
) -> Floats:
    """One of `kinds`, (count,) float32 of variance 1."""
    return BACKGROUNDS[str(generator.choice(list(kinds)))](count, rate_hz, generator, clips).astype(np.float32)


def _unit(sound: NDArray[np.floating]) -> Floats:
    return (sound / max(float(np.sqrt(np.mean(np.square(sound)))), 1e-9)).astype(np.float32)


def _swell(count: int, rate_hz: int, generator: Generator) -> Floats:
    time = np.arange(count) / rate_hz
    depth = generator.uniform(0, 0.9)
    return (1 + depth * np.sin(2 * np.pi * (generator.uniform(0.2, 6) * time + generator.random()))).astype(np.float32)


def _bursts(count: int, rate_hz: int, generator: Generator) -> Floats:
    """A random positive envelope, about 2 to 12 changes a second."""
    knots = max(3, int(count / rate_hz * generator.uniform(2, 12)))
    levels = np.exp(generator.normal(0, 1.6, knots))
    return np.interp(np.linspace(0, knots - 1, count), np.arange(knots), levels).astype(np.float32)
