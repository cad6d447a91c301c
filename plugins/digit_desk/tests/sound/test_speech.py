"""Spoken digits: what is prepared, what is kept, and splits that never share a voice."""

import numpy as np
import pytest

from edgemm_digit_desk.sound import speech
from edgemm_digit_desk.sound.clips import SpeechError
from edgemm_digit_desk.sound.synthesizers import HELD_OUT_VARIANTS, OTHER_WORD, Synthesizer, Utterance


def tone(length_s=0.4, rate_hz=16_000, quiet_s=0.2):
    sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(length_s * rate_hz)) / rate_hz)
    quiet = np.zeros(int(quiet_s * rate_hz))
    return np.concatenate([quiet, sound, quiet]).astype(np.float32)


def says(*words_and_voices):
    return lambda: (Utterance(word, voice, tone(), 16_000) for word, voice in words_and_voices)


@pytest.fixture
def synthesizers(monkeypatch):
    """Synthesizers that say tones at once."""
    held_out = HELD_OUT_VARIANTS[0]
    voices = [(word, voice) for voice in ("adam", "max", held_out) for word in (*range(10), OTHER_WORD)]
    fakes = {
        "espeak": Synthesizer("espeak", 33, lambda: None, says(*voices)),
        "kokoro": Synthesizer("kokoro", 10, lambda: None, says(*((digit, "alpha") for digit in range(10)))),
        "flite": Synthesizer("flite", 10, lambda: None, says(*((digit, "kal") for digit in range(10)))),
        "hibari": Synthesizer("hibari", 10, lambda: "pip install hibari-tts", says()),
    }
    monkeypatch.setattr(speech, "SYNTHESIZERS", fakes)
    return fakes


def test_a_word_is_trimmed_resampled_and_made_loud(synthesizers, tmp_path):
    speech.prepare_speech(tmp_path)
    clip = speech.held_out_synthesizer(tmp_path).clip(3)
    assert clip.dtype == np.float32
    assert len(clip) == pytest.approx(0.45 * 8000, abs=80)  # the tone and 25 ms on either side
    assert np.abs(clip).max() == pytest.approx(0.9, abs=0.01)


def test_held_out_voices_and_the_held_out_synthesizer_never_reach_training(synthesizers, tmp_path):
    speech.prepare_speech(tmp_path)
    training, voices = speech.training_clips(tmp_path), speech.held_out_voices(tmp_path)
    assert set(training.voices) == {"adam", "max", "alpha"}
    assert set(voices.voices) == {HELD_OUT_VARIANTS[0]}
    assert set(training.synthesizers) == {"espeak", "kokoro"}
    assert sorted(voices.words) == list(range(10))  # digits only
    assert sorted(training.words[training.synthesizers == "espeak"]) == sorted([*range(11)] * 2)


def test_a_synthesizer_that_is_not_here_is_skipped_and_says_what_to_install(synthesizers, tmp_path):
    assert speech.prepare_speech(tmp_path) == {"hibari": "pip install hibari-tts"}
    assert len(speech.training_clips(tmp_path)) > 0


def test_what_is_prepared_is_not_made_again(synthesizers, tmp_path, monkeypatch):
    speech.prepare_speech(tmp_path)

    def never():
        raise AssertionError("synthesized twice")

    monkeypatch.setitem(synthesizers, "espeak", Synthesizer("espeak", 1, lambda: "gone", never))
    assert "espeak" not in speech.prepare_speech(tmp_path)
    assert len(speech.held_out_voices(tmp_path)) == 10


def test_an_interrupted_preparation_leaves_no_file(synthesizers, tmp_path, monkeypatch):
    def interrupted():
        yield Utterance(0, "kal", tone(), 16_000)
        raise KeyboardInterrupt

    monkeypatch.setitem(synthesizers, "flite", Synthesizer("flite", 2, lambda: None, interrupted))
    with pytest.raises(KeyboardInterrupt):
        speech.prepare_speech(tmp_path, synthesizers=["flite"])
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_up_to_all_utterances(synthesizers, tmp_path):
    seen = []
    speech.prepare_speech(tmp_path, lambda *report: seen.append(report), ["flite"])
    assert seen[-1] == ("speech flite", 10, 10, "")


def test_silent_and_overlong_utterances_are_left_out(synthesizers, tmp_path, monkeypatch):
    def odd():
        yield Utterance(0, "kal", np.zeros(8000, np.float32), 16_000)
        yield Utterance(1, "kal", np.zeros(0, np.float32), 16_000)
        yield Utterance(2, "kal", tone(length_s=1.5), 16_000)
        yield Utterance(3, "kal", tone(), 16_000)

    monkeypatch.setitem(synthesizers, "flite", Synthesizer("flite", 4, lambda: None, odd))
    speech.prepare_speech(tmp_path, synthesizers=["flite"])
    assert speech.held_out_synthesizer(tmp_path).words.tolist() == [3]


def test_the_held_out_synthesizer_says_what_to_install_when_it_was_not_prepared(synthesizers, tmp_path, monkeypatch):
    monkeypatch.setitem(synthesizers, "flite", Synthesizer("flite", 1, lambda: "apt install flite", says()))
    speech.prepare_speech(tmp_path)
    with pytest.raises(SpeechError, match="apt install flite"):
        speech.held_out_synthesizer(tmp_path)


def test_training_without_any_speech_says_what_to_do(tmp_path):
    with pytest.raises(SpeechError, match="espeakng-loader"):
        speech.training_clips(tmp_path)


def test_a_broken_file_is_named(synthesizers, tmp_path):
    speech.prepare_speech(tmp_path)
    path = tmp_path / "flite.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SpeechError, match=r"flite\.npz"):
        speech.held_out_synthesizer(tmp_path)


def test_trimming_silence_leaves_nothing():
    assert len(speech.trimmed(np.zeros(100, np.float32), 8000)) == 0
