"""Fixed sounds for testing an encoder of spoken digits: words in windows, words that a window slides over, quiet rooms.

The same seed gives the same sounds. Knows nothing of any model; `heard` and `false_alarms` only read what one said.

`word_windows` asks for the right digit, `slid_words` for the right digit in the last window that the encoder called
valid, `quiet_sounds` for no valid window at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemm_digit_desk.sound.background import BACKGROUNDS, Floats, background, coloured_noise
from edgemm_digit_desk.sound.clips import SAMPLE_RATE_HZ, Clips
from edgemm_digit_desk.sound.windows import WINDOW_SAMPLES, add_at, loudest

__all__ = ["Heard", "false_alarms", "heard", "quiet_sounds", "slid_words", "windows", "word_windows"]

QUIET_KINDS = (*BACKGROUNDS, "white", "faint", "zeros")


@dataclass(frozen=True)
class Heard:
    """What became of words that a window slid over, as shares of all words.

    Attributes:
        right: the last valid window gave the right digit.
        wrong: it gave another one.
        never: no window was valid.
    """

    right: float
    wrong: float
    never: float


def word_windows(clips: Clips, seed: int, noise_db: float = -35.0) -> tuple[Floats, NDArray[np.int64]]:
    """Every clip once, whole, anywhere in its window, at any loudness: (n, 8000) float32 in [-1, 1] and (n,) words.

    Args:
        clips: words to place.
        seed: the same seed gives the same windows.
        noise_db: white to pink noise, relative to the loudest tenth of the window.
    """
    generator = np.random.default_rng(seed)
    made = np.zeros((len(clips), WINDOW_SAMPLES), np.float32)
    for index in range(len(clips)):
        clip, sound = clips.clip(index), made[index]
        add_at(sound, clip, int(generator.integers(0, WINDOW_SAMPLES - len(clip) + 1)))
        sound += _noise(WINDOW_SAMPLES, loudest(sound), noise_db, generator)
        sound *= np.float32(0.5 * 10 ** (generator.uniform(-30, 0) / 20) / max(float(np.abs(sound).max()), 1e-6))
    return made, clips.words.copy()


def slid_words(clips: Clips, seed: int, noise_db: tuple[float, float] = (-50.0, -25.0)) -> Iterator[tuple[Floats, int]]:
    """Every clip once, with more than a second of quiet on either side: ((samples,) float32, word) each.

    Args:
        clips: words to say.
        seed: the same seed gives the same sounds.
        noise_db: range of the noise, relative to the loudest tenth of a second of the word.
    """
    generator = np.random.default_rng(seed)
    for index in range(len(clips)):
        clip = clips.clip(index)
        before = WINDOW_SAMPLES + int(generator.integers(0, WINDOW_SAMPLES // 4))
        sound = np.zeros(before + len(clip) + WINDOW_SAMPLES + WINDOW_SAMPLES // 5, np.float32)
        add_at(sound, clip, before)
        sound *= np.float32(0.3 / max(loudest(sound), 1e-4))
        sound += _noise(len(sound), 0.3, generator.uniform(*noise_db), generator)
        yield np.clip(sound * np.float32(10 ** (generator.uniform(-30, 0) / 20)), -1, 1), int(clips.words[index])


def quiet_sounds(clips: Clips, seed: int, streams: int = 6, length_s: int = 15) -> Iterator[tuple[str, Floats]]:
    """Rooms in which nobody says a digit: (kind, (samples,) float32), `streams` of each of `QUIET_KINDS`.

    Loudness is -10 to -50 dB of a voice's; "faint" is a bit or two of noise, "zeros" a muted microphone.
    """
    generator = np.random.default_rng(seed)
    count = length_s * SAMPLE_RATE_HZ
    for kind in QUIET_KINDS:
        for _ in range(streams):
            level = np.float32(0.3 * 10 ** (generator.uniform(-50, -10) / 20))
            yield kind, np.clip(_quiet(kind, count, level, clips, generator), -1, 1)


def _quiet(kind: str, count: int, level: np.float32, clips: Clips, generator: np.random.Generator) -> Floats:
    if kind == "zeros":
        return np.zeros(count, np.float32)
    if kind == "faint":
        bits = np.round(generator.standard_normal(count) * generator.uniform(0.2, 3))
        return (bits / 32768).astype(np.float32)
    if kind == "white":
        return generator.standard_normal(count, dtype=np.float32) * level
    some = [clips.clip(index) for index in generator.integers(0, len(clips), 30)]
    return background(count, SAMPLE_RATE_HZ, generator, some, (kind,)) * level


def windows(sound: Floats, hop: int = SAMPLE_RATE_HZ // 10) -> Floats:
    """Every whole window of (samples,) `sound`, `hop` samples apart: (n, 8000), a copy."""
    return np.lib.stride_tricks.sliding_window_view(sound, WINDOW_SAMPLES)[::hop].copy()


def heard(answers: list[tuple[NDArray[np.bool_], NDArray[np.int64], int]]) -> Heard:
    """Judge slid words: per word, which of its windows were valid, (n,), the digits they gave, (n,), and the true one."""
    right = never = 0
    for valid, digits, word in answers:
        last = np.flatnonzero(valid)[-1:]
        never += len(last) == 0
        right += len(last) == 1 and int(digits[last[0]]) == word
    count = max(len(answers), 1)
    return Heard(right / count, (len(answers) - right - never) / count, never / count)


def false_alarms(valid: NDArray[np.bool_]) -> int:
    """How often the windows of a quiet sound, (n,), began to be valid."""
    return int(valid[:1].sum()) + int((valid[1:] & ~valid[:-1]).sum())


def _noise(count: int, loudness: float, level_db: float, generator: np.random.Generator) -> Floats:
    gain = np.float32(loudness * 10 ** (level_db / 20))
    return coloured_noise(count, generator.uniform(0, 1.5), generator) * gain
