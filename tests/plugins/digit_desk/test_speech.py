"""Spoken digits: engines, cache, and splits that never share a voice."""

import itertools

import numpy as np
import pytest

from edgemm_plugins.digit_desk import speech, speech_engines
from edgemm_plugins.digit_desk.speech_engines import (
    DIGIT_WORDS,
    ENGINES,
    HELD_OUT_ESPEAK_VARIANTS,
    OTHER_WORD,
    Engine,
    Utterance,
)


def tone(length_s=0.4, rate_hz=16_000, quiet_s=0.2):
    sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(length_s * rate_hz)) / rate_hz)
    quiet = np.zeros(int(quiet_s * rate_hz))
    return np.concatenate([quiet, sound, quiet]).astype(np.float32)


def says(*words_and_voices):
    return lambda: (Utterance(word, voice, tone(), 16_000) for word, voice in words_and_voices)


@pytest.fixture
def engines(monkeypatch):
    """Synthesizers that say tones at once."""
    held_out = HELD_OUT_ESPEAK_VARIANTS[0]
    voices = [(word, voice) for voice in ("adam", "max", held_out) for word in (*range(10), OTHER_WORD)]
    fakes = {
        "espeak": Engine("espeak", 33, lambda: None, says(*voices)),
        "kokoro": Engine("kokoro", 10, lambda: None, says(*((digit, "alpha") for digit in range(10)))),
        "flite": Engine("flite", 10, lambda: None, says(*((digit, "kal") for digit in range(10)))),
        "hibari": Engine("hibari", 10, lambda: "pip install hibari-tts", says()),
    }
    monkeypatch.setattr(speech, "ENGINES", fakes)
    return fakes


def test_a_word_is_trimmed_resampled_and_made_loud(engines, tmp_path):
    speech.prepare_speech(tmp_path)
    clip = speech.held_out_engine(tmp_path).clip(3)
    assert clip.dtype == np.float32
    assert len(clip) == pytest.approx(0.45 * 8000, abs=80)  # the tone and 25 ms on either side
    assert np.abs(clip).max() == pytest.approx(0.9, abs=0.01)


def test_held_out_voices_and_the_held_out_engine_never_reach_training(engines, tmp_path):
    speech.prepare_speech(tmp_path)
    training, voices = speech.training_clips(tmp_path), speech.held_out_voices(tmp_path)
    assert set(training.voices) == {"adam", "max", "alpha"}
    assert set(voices.voices) == {HELD_OUT_ESPEAK_VARIANTS[0]}
    assert set(training.engines) == {"espeak", "kokoro"}
    assert sorted(voices.words) == list(range(10))  # digits only
    assert sorted(training.words[training.engines == "espeak"]) == sorted([*range(11)] * 2)


def test_an_engine_that_is_not_here_is_skipped_and_says_what_to_install(engines, tmp_path):
    assert speech.prepare_speech(tmp_path) == {"hibari": "pip install hibari-tts"}
    assert len(speech.training_clips(tmp_path)) > 0


def test_what_is_prepared_is_not_made_again(engines, tmp_path, monkeypatch):
    speech.prepare_speech(tmp_path)

    def never():
        raise AssertionError("synthesized twice")

    monkeypatch.setitem(engines, "espeak", Engine("espeak", 1, lambda: "gone", never))
    assert "espeak" not in speech.prepare_speech(tmp_path)
    assert len(speech.held_out_voices(tmp_path)) == 10


def test_an_interrupted_preparation_leaves_no_file(engines, tmp_path, monkeypatch):
    def interrupted():
        yield Utterance(0, "kal", tone(), 16_000)
        raise KeyboardInterrupt

    monkeypatch.setitem(engines, "flite", Engine("flite", 2, lambda: None, interrupted))
    with pytest.raises(KeyboardInterrupt):
        speech.prepare_speech(tmp_path, engines=["flite"])
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_up_to_all_utterances(engines, tmp_path):
    seen = []
    speech.prepare_speech(tmp_path, lambda *report: seen.append(report), ["flite"])
    assert seen[-1] == ("flite", 10, 10)


def test_silent_and_overlong_utterances_are_left_out(engines, tmp_path, monkeypatch):
    def odd():
        yield Utterance(0, "kal", np.zeros(8000, np.float32), 16_000)
        yield Utterance(1, "kal", np.zeros(0, np.float32), 16_000)
        yield Utterance(2, "kal", tone(length_s=1.5), 16_000)
        yield Utterance(3, "kal", tone(), 16_000)

    monkeypatch.setitem(engines, "flite", Engine("flite", 4, lambda: None, odd))
    speech.prepare_speech(tmp_path, engines=["flite"])
    assert speech.held_out_engine(tmp_path).words.tolist() == [3]


def test_the_held_out_engine_says_what_to_install_when_it_was_not_prepared(engines, tmp_path, monkeypatch):
    monkeypatch.setitem(engines, "flite", Engine("flite", 1, lambda: "apt install flite", says()))
    speech.prepare_speech(tmp_path)
    with pytest.raises(speech.SpeechError, match="apt install flite"):
        speech.held_out_engine(tmp_path)


def test_training_without_any_speech_says_what_to_do(tmp_path):
    with pytest.raises(speech.SpeechError, match="espeakng-loader"):
        speech.training_clips(tmp_path)


def test_a_broken_file_is_named(engines, tmp_path):
    speech.prepare_speech(tmp_path)
    path = tmp_path / "flite.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(speech.SpeechError, match=r"flite\.npz"):
        speech.held_out_engine(tmp_path)


def test_trimming_silence_leaves_nothing():
    assert len(speech.trimmed(np.zeros(100, np.float32), 8000)) == 0


def test_engines_have_the_names_of_their_files():
    assert all(name == engine.name for name, engine in ENGINES.items())
    assert len(DIGIT_WORDS) == 10


def test_espeak_says_different_digits_differently():
    pytest.importorskip("espeakng_loader")
    espeak, variants = speech_engines._espeak()
    assert set(HELD_OUT_ESPEAK_VARIANTS) <= set(variants)
    assert len(HELD_OUT_ESPEAK_VARIANTS) >= 16
    assert not espeak.set_voice("no-such-language")
    assert espeak.set_voice("en-us+max")
    one, six = (espeak.say(word, 160, 50, 50) for word in ("one", "six"))

    def high_share(sound):  # the hiss of "six" is above 2 kHz
        power = np.abs(np.fft.rfft(sound)) ** 2
        return power[int(len(power) * 4000 / espeak.sample_rate_hz) :].sum() / power.sum()

    assert high_share(six) > 2 * high_share(one)


def test_espeak_gives_every_digit_of_a_voice():
    pytest.importorskip("espeakng_loader")
    utterances = list(itertools.islice(ENGINES["espeak"].speak(), 13))
    assert [utterance.word for utterance in utterances] == [*range(10), *[OTHER_WORD] * 3]
    assert len({utterance.voice for utterance in utterances}) == 1
    assert all(np.abs(utterance.samples).max() > 0.01 for utterance in utterances)
