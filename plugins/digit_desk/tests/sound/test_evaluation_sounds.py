"""The fixed sounds of the tests, and how what was heard in them is judged."""

import numpy as np
import pytest

from edgemm_digit_desk.sound.evaluation_sounds import (
    QUIET_KINDS,
    false_alarms,
    heard,
    quiet_sounds,
    slid_words,
    windows,
    word_windows,
)
from edgemm_digit_desk.sound.windows import WINDOW_SAMPLES


def test_test_windows_hold_every_word_once_and_are_fixed(tone_clips):
    words = tone_clips()
    x, said = word_windows(words, seed=1)
    again, _ = word_windows(words, seed=1)
    assert x.shape == (len(words), WINDOW_SAMPLES)
    assert np.array_equal(x, again)
    assert np.array_equal(said, words.words)
    loudness = np.square(x).reshape(len(x), 8, 1000).mean(axis=2).max(axis=1)
    assert (loudness > 0).all()


def test_a_slid_word_has_a_second_of_quiet_on_either_side(tone_clips):
    for sound, _word in slid_words(tone_clips(), seed=0, noise_db=(-60, -60)):
        loud = np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())
        assert loud[0] >= 8000
        assert len(sound) - loud[-1] >= 8000


def test_windows_move_on_by_a_tenth_of_a_second():
    sound = np.arange(9700, dtype=np.float32)
    made = windows(sound)
    assert made.shape == (3, 8000)
    assert made[:, 0].tolist() == [0, 800, 1600]


def test_quiet_sounds_are_of_every_kind(tone_clips):
    made = list(quiet_sounds(tone_clips(), seed=0, streams=1, length_s=2))
    assert [kind for kind, _ in made] == list(QUIET_KINDS)
    assert all(np.abs(sound).max() <= 1 and sound.shape == (16_000,) for _, sound in made)
    assert not dict(made)["zeros"].any()


def test_the_last_valid_window_is_what_was_heard():
    digits = np.array([1, 2, 3])
    answers = [
        (np.array([True, True, False]), digits, 2),
        (np.array([True, True, True]), digits, 2),
        (np.array([False, False, False]), digits, 2),
        (np.array([True, False, False]), digits, 1),
    ]
    result = heard(answers)
    assert (result.right, result.wrong, result.never) == (0.5, 0.25, 0.25)


@pytest.mark.parametrize(("valid", "count"), [([0, 0, 0], 0), ([1, 1, 0, 1], 2), ([0, 1, 1, 1], 1), ([], 0)])
def test_false_alarms_are_counted_once_each(valid, count):
    assert false_alarms(np.array(valid, bool)) == count
