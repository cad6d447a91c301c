"""The synthesizers themselves: who they are, and that eSpeak NG speaks."""

import itertools

import numpy as np
import pytest

from edgemm_digit_desk.sound.speech import HELD_OUT, TEACHING
from edgemm_digit_desk.sound.synthesizers import HELD_OUT_VARIANTS, OTHER_WORD, SYNTHESIZERS
from edgemm_digit_desk.sound.synthesizers.espeak import load_espeak


def test_a_synthesizer_either_teaches_or_is_held_out():
    assert sorted((*TEACHING, HELD_OUT)) == sorted(SYNTHESIZERS)


def test_espeak_says_different_digits_differently():
    pytest.importorskip("espeakng_loader")
    espeak, variants = load_espeak()
    assert set(HELD_OUT_VARIANTS) <= set(variants)
    assert len(HELD_OUT_VARIANTS) >= 16
    assert not espeak.set_voice("no-such-language")
    assert espeak.set_voice("en-us+max")
    one, six = (espeak.say(word, 160, 50, 50) for word in ("one", "six"))

    def high_share(sound):  # the hiss of "six" is above 2 kHz
        power = np.abs(np.fft.rfft(sound)) ** 2
        return power[int(len(power) * 4000 / espeak.sample_rate_hz) :].sum() / power.sum()

    assert high_share(six) > 2 * high_share(one)


def test_espeak_gives_every_digit_of_a_voice():
    pytest.importorskip("espeakng_loader")
    utterances = list(itertools.islice(SYNTHESIZERS["espeak"].speak(), 13))
    assert [utterance.word for utterance in utterances] == [*range(10), *[OTHER_WORD] * 3]
    assert len({utterance.voice for utterance in utterances}) == 1
    assert all(np.abs(utterance.samples).max() > 0.01 for utterance in utterances)
