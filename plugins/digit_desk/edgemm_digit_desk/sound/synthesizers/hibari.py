"""hibari: one neural voice that takes phonemes.

Source: hibari-tts (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from edgemm_digit_desk.sound.synthesizers.synthesizer import Synthesizer, Utterance, needs_package
from edgemm_digit_desk.sound.synthesizers.words import DIGIT_PHONEMES, ENDINGS, OTHER_WORD, OTHER_WORDS

__all__ = ["SYNTHESIZER"]


def _speak() -> Iterator[Utterance]:
    voice: Any = import_module("hibari").Hibari(threads=1)
    generator = np.random.default_rng(2)
    for speed in np.linspace(0.7, 1.45, 10):
        for digit in range(10):
            for phonemes in DIGIT_PHONEMES[digit][:2]:
                ending = str(generator.choice(ENDINGS))
                samples = voice.from_phonemes(
                    phonemes + ending, speed=float(speed), seed=int(generator.integers(2**31))
                )
                yield Utterance(digit, "heart", samples, voice.sample_rate)
        for text in generator.choice(OTHER_WORDS, 20, replace=False):
            samples = voice(str(text), speed=float(speed), seed=int(generator.integers(2**31)))
            yield Utterance(OTHER_WORD, "heart", samples, voice.sample_rate)


SYNTHESIZER = Synthesizer("hibari", 390, needs_package("hibari", "hibari-tts"), _speak)
