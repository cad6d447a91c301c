"""One-second windows of a room in which somebody may say a digit, with what was said as the target.

Class 10 is "nothing here": silence, noise, a word that is no digit, and a word of which the window's edge cuts off more
than about a seventh: in a stream the window slides over the word, and only one that holds all of it may answer. Knows
nothing of spectrograms or of any model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgemm_digit_desk.hyperparameters import Hyperparameters
from edgemm_digit_desk.sound.background import Floats, background
from edgemm_digit_desk.sound.clips import SAMPLE_RATE_HZ, Clips

__all__ = ["CLASSES", "NOTHING", "WINDOW_SAMPLES", "SoundSampler", "add_at", "loudest"]

WINDOW_SAMPLES = SAMPLE_RATE_HZ
NOTHING = 10
CLASSES = 11

_WHOLE, _CUT = 0.05, 0.15
"""Up to which missing share a word counts as whole, and from which as nothing; in between the target is soft."""

_SYNTHESIZER_POWER = 0.8
"""A clip's weight is 1 / (clips of its synthesizer) ** power: 1 gives all synthesizers the same share, 0 all clips."""

_DIGITS, _CUT_DIGITS, _OTHERS = 0.73, 0.84, 0.88
"""A batch is whole digits up to here, cut digits up to here, other words up to here, and then quiet rooms."""

_STEADY = {"hiss": 40, "band": 40, "hum": 30, "rustle": 40}
_LIVELY = {"clicks": 50, "tones": 90, "babble": 140}
"""How many stretches of each background are made: most of those that sound like speech."""

Generator = np.random.Generator


@dataclass
class SoundSampler:
    """Draws windows of training speech.

    Attributes:
        clips: words of training voices only.
        training: how long, and how, to train on these batches.
        mixing: share of the batches in which words are mixed.
    """

    clips: Clips
    training: Hyperparameters = field(
        default_factory=lambda: Hyperparameters(
            steps=1500, batch=96, learning_rate=4e-3, weight_decay=0.01, label_smoothing=0.05
        )
    )
    mixing: float = 0.5
    classes: int = CLASSES

    def __post_init__(self) -> None:
        self._sounds = [self.clips.clip(index) for index in range(len(self.clips))]
        self._digits = _Draw(self.clips, self.clips.words < 10)
        self._others = _Draw(self.clips, self.clips.words >= 10)
        self._backgrounds = _background_bank(self._sounds)

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Windows (size, 8000) float32 in [-1, 1] and targets (size, 11), rows that sum to 1.

        In a share `mixing` of the calls, two words sound at once, and their targets are mixed alike.
        """
        seed = int(torch.randint(2**62, (), generator=generator))
        x, target = self.arrays(size, np.random.default_rng(seed))
        return torch.from_numpy(x), torch.from_numpy(target)

    def arrays(self, size: int, generator: Generator) -> tuple[Floats, Floats]:
        """The same as numpy arrays."""
        words = np.zeros((size, WINDOW_SAMPLES), np.float32)
        target = np.zeros((size, CLASSES), np.float32)
        draws = generator.random(size)
        for row, draw in enumerate(draws):
            if draw < _DIGITS:
                self._put_digit(words[row], target[row], generator)
            elif draw < _CUT_DIGITS:
                self._put_cut_digit(words[row], target[row], generator)
            elif draw < _OTHERS and len(self._others):
                self._put_other(words[row], target[row], generator)
            else:
                target[row, NOTHING] = 1
        whole = np.flatnonzero(draws < _DIGITS)
        if generator.random() < self.mixing and len(whole) > 1:
            _mix(words, target, whole, generator)
        return self._in_a_room(words, draws >= _OTHERS, generator), target

    def _put_digit(self, window: Floats, target: Floats, generator: Generator) -> None:
        """A word anywhere in the window; at most a twentieth of it is missing."""
        index = self._digits.draw(generator)
        sound = _at_other_pace(self._sounds[index], generator)[: int(WINDOW_SAMPLES * 0.98)]
        missing = int(generator.uniform(0, 0.04) * len(sound))
        begin = int(generator.integers(-missing, WINDOW_SAMPLES - len(sound) + missing + 1))
        add_at(window, sound, begin)
        target[self.clips.words[index]] = 1
        if generator.random() < 0.06:  # the end of the word before, or the beginning of the next
            other = self._sounds[self._digits.draw(generator)]
            kept = int(len(other) * generator.uniform(0.1, 0.6))
            if begin > kept + 800:
                add_at(window, other[-kept:], 0)
            elif begin + len(sound) + kept + 800 < WINDOW_SAMPLES:
                add_at(window, other[:kept], WINDOW_SAMPLES - kept)

    def _put_cut_digit(self, window: Floats, target: Floats, generator: Generator) -> None:
        index = self._digits.draw(generator)
        sound = _at_other_pace(self._sounds[index], generator)
        missing = generator.uniform(_WHOLE, 0.95) if generator.random() < 0.6 else generator.uniform(_WHOLE, 0.4)
        nothing = float(np.clip((missing - _WHOLE) / (_CUT - _WHOLE), 0, 1))
        cut = int(missing * len(sound))
        add_at(window, sound, -cut if generator.random() < 0.6 else WINDOW_SAMPLES - len(sound) + cut)
        target[NOTHING] = nothing
        target[self.clips.words[index]] = 1 - nothing

    def _put_other(self, window: Floats, target: Floats, generator: Generator) -> None:
        sound = _at_other_pace(self._sounds[self._others.draw(generator)], generator)
        add_at(window, sound, int(generator.integers(-len(sound) // 2, WINDOW_SAMPLES - len(sound) // 2)))
        target[NOTHING] = 1

    def _in_a_room(self, words: Floats, empty: NDArray[np.bool_], generator: Generator) -> Floats:
        """Every row of `words` as a microphone hears it, in 16 bits; `empty` rows without any word."""
        heard = [
            self._nothing(generator) if silent else self._with_background(word, generator)
            for word, silent in zip(words, empty, strict=True)
        ]
        return np.round(np.clip(np.stack(heard), -1, 1) * 32767).astype(np.float32) / np.float32(32767)

    def _with_background(self, word: Floats, generator: Generator) -> Floats:
        """Add a background, and make it as loud as a near or a far microphone does; one in twenty clips."""
        lively = generator.random() < 0.25
        level_db = generator.uniform(-50, -12 if lively else -8)
        noise = self._background(generator, len(self._backgrounds) if lively else sum(_STEADY.values()))
        sound = word / max(loudest(word), 1e-4) + noise * np.float32(10 ** (level_db / 20))
        if generator.random() < 0.05:
            return sound * np.float32(generator.uniform(1, 4) / max(float(np.abs(sound).max()), 1e-4))
        return sound * np.float32(0.5 * 10 ** (generator.uniform(-45, 0) / 20))

    def _nothing(self, generator: Generator) -> Floats:
        """Exact zeros, bits that flicker, or any background at any loudness."""
        draw = generator.random()
        if draw < 0.04:
            return np.zeros(WINDOW_SAMPLES, np.float32)
        if draw < 0.10:
            return generator.standard_normal(WINDOW_SAMPLES, dtype=np.float32) * np.float32(
                generator.uniform(0.2, 3) / 32767
            )
        every = len(self._backgrounds)
        noise = self._background(generator, every)
        if generator.random() < 0.3:
            noise = noise + self._background(generator, every) * np.float32(generator.uniform(0, 1))
        return noise * np.float32(0.3 * 10 ** (generator.uniform(-60, 0) / 20))

    def _background(self, generator: Generator, kinds: int) -> Floats:
        """A second of the first `kinds` rows of the bank, half of the time backwards."""
        row = self._backgrounds[int(generator.integers(kinds))]
        begin = int(generator.integers(0, len(row) - WINDOW_SAMPLES))
        second = row[begin : begin + WINDOW_SAMPLES]
        second = second / max(loudest(second), 1e-3)
        return second[::-1] if generator.random() < 0.5 else second


def _background_bank(sounds: list[Floats]) -> list[Floats]:
    """Three seconds each of many backgrounds, made once, of unit loudness; steady kinds come first."""
    generator = np.random.default_rng(4)
    bank = []
    for kind, count in (*_STEADY.items(), *_LIVELY.items()):
        for _ in range(count):
            some = [sounds[index] for index in generator.integers(0, len(sounds), 12)]
            bank.append(background(3 * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, generator, some, (kind,)))
    return bank


class _Draw:
    """Draws a clip: words equally often, synthesizers with few clips more often than their share."""

    def __init__(self, clips: Clips, allowed: NDArray[np.bool_]) -> None:
        weight = np.zeros(len(clips))
        for synthesizer in np.unique(clips.synthesizers):
            chosen = allowed & (clips.synthesizers == synthesizer)
            for word in np.unique(clips.words[chosen]):
                same = chosen & (clips.words == word)
                weight[same] = chosen.sum() ** (1 - _SYNTHESIZER_POWER) / same.sum()
        self._indices = np.flatnonzero(weight)
        total = np.cumsum(weight[self._indices])
        self._upto = total / total[-1] if len(total) else total

    def __len__(self) -> int:
        return len(self._indices)

    def draw(self, generator: Generator) -> int:
        return int(self._indices[np.searchsorted(self._upto, generator.random(), side="right")])


def _at_other_pace(sound: Floats, generator: Generator) -> Floats:
    """A word faster or slower (and so higher or lower) by up to 8 %, unevenly; synthesizers already speak at many paces."""
    count = int(len(sound) * np.exp(generator.uniform(-0.08, 0.08)))
    place = np.linspace(0, 1, count)
    bend = generator.uniform(-0.05, 0.05) * np.sin(np.pi * place) + generator.uniform(-0.03, 0.03) * np.sin(
        2 * np.pi * place
    )
    return np.interp((place + bend) * (len(sound) - 1), np.arange(len(sound)), sound).astype(np.float32)


def add_at(window: Floats, sound: Floats, begin: int) -> None:
    """Add `sound` to `window` from `begin`, which may lie outside; what does not fit is lost."""
    first, last = max(begin, 0), min(begin + len(sound), len(window))
    if last > first:
        window[first:last] += sound[first - begin : last - begin]


def _mix(words: Floats, target: Floats, rows: NDArray[np.intp], generator: Generator) -> None:
    """Mix each of `rows` with another of them, by power."""
    share = generator.uniform(0.5, 1, (len(rows), 1)).astype(np.float32)
    others = rows[generator.permutation(len(rows))]
    words[rows] = np.sqrt(share) * words[rows] + np.sqrt(1 - share) * words[others]
    target[rows] = share * target[rows] + (1 - share) * target[others]


def loudest(window: Floats) -> float:
    """Root mean square of the loudest tenth of a window."""
    frames = np.square(window[: len(window) // 10 * 10].reshape(10, -1)).mean(axis=1)
    return float(np.sqrt(frames.max()))
