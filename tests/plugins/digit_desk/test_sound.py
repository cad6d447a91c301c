"""Windows of a room: what a batch holds, what counts as nothing, and the fixed tests."""

import numpy as np
import pytest
import torch

from edgemm_plugins.digit_desk.background import BACKGROUNDS, background
from edgemm_plugins.digit_desk.sound import NOTHING, WINDOW_SAMPLES, SoundSampler, add_at
from edgemm_plugins.digit_desk.sound_tests import (
    QUIET_KINDS,
    false_alarms,
    heard,
    quiet_sounds,
    slid_words,
    windows,
    word_windows,
)
from edgemm_plugins.digit_desk.spectrogram_augment import SpectrogramAugment
from edgemm_plugins.digit_desk.speech import Clips


def clips(engines=("espeak", "kokoro"), each=2):
    """Words that are tones of 200 Hz times (word + 1)."""
    words = np.array([word for _ in engines for word in range(11) for _ in range(each)])
    pieces = [
        np.round(20_000 * np.sin(2 * np.pi * 200 * (word + 1) * np.arange(3000) / 8000)).astype(np.int16)
        for word in words
    ]
    starts = np.arange(len(words) + 1) * 3000
    return Clips(
        np.concatenate(pieces), starts, words, np.full(len(words), "voice"), np.repeat(np.array(engines), 11 * each)
    )


@pytest.fixture(scope="module")
def sampler():
    return SoundSampler(clips())


def test_a_batch_is_windows_and_distributions(sampler):
    x, target = sampler.batch(64, torch.Generator().manual_seed(0))
    assert x.shape == (64, WINDOW_SAMPLES)
    assert target.shape == (64, sampler.classes)
    assert x.dtype == target.dtype == torch.float32
    assert float(x.abs().max()) <= 1
    torch.testing.assert_close(target.sum(dim=1), torch.ones(64))


def test_the_same_generator_gives_the_same_batch(sampler):
    first, again = (sampler.batch(16, torch.Generator().manual_seed(5)) for _ in range(2))
    other = sampler.batch(16, torch.Generator().manual_seed(6))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_every_class_is_drawn_and_words_are_balanced(sampler):
    target = torch.cat([sampler.batch(200, torch.Generator().manual_seed(seed))[1] for seed in range(5)])
    share = target.mean(dim=0)
    assert 0.15 < float(share[NOTHING]) < 0.4
    assert float(share[:NOTHING].min()) > 0.4 * float(share[:NOTHING].max())


def test_mixing_mixes_targets_and_can_be_turned_off():
    plain = SoundSampler(clips(), mixing=0.0)
    mixed = SoundSampler(clips(), mixing=1.0)

    def two_digits(sampler):
        target = sampler.batch(64, torch.Generator().manual_seed(1))[1]
        return int(((target[:, :NOTHING] > 0).sum(dim=1) > 1).sum())

    assert two_digits(plain) == 0
    assert two_digits(mixed) > 20


def test_rare_engines_are_drawn_more_often_than_their_share():
    many = clips(("espeak",), each=40)
    few = clips(("kokoro",), each=1)
    both = Clips(
        np.concatenate([many.samples, few.samples]),
        np.arange(len(many) + len(few) + 1) * 3000,
        np.concatenate([many.words, few.words]),
        np.concatenate([many.voices, few.voices]),
        np.concatenate([many.engines, few.engines]),
    )
    drawn = SoundSampler(both)._digits
    generator = np.random.default_rng(0)
    rare = np.mean([drawn.draw(generator) >= len(many) for _ in range(4000)])
    assert rare > 4 * len(few) / len(both)


@pytest.mark.parametrize(
    ("begin", "expected"), [(-2, [3, 0, 0, 0]), (1, [0, 1, 2, 3]), (3, [0, 0, 0, 1]), (9, [0] * 4)]
)
def test_adding_outside_the_window_loses_what_does_not_fit(begin, expected):
    window = np.zeros(4, np.float32)
    add_at(window, np.array([1, 2, 3], np.float32), begin)
    assert window.tolist() == expected


@pytest.mark.parametrize("kind", list(BACKGROUNDS))
def test_backgrounds_have_unit_loudness_and_differ(kind):
    generator, voices = np.random.default_rng(0), [clips().clip(index) for index in range(11)]
    first, second = (background(16_000, 8000, generator, voices, (kind,)) for _ in range(2))
    assert first.dtype == np.float32
    assert 0.3 < np.sqrt(np.mean(np.square(first))) < 2
    assert not np.array_equal(first, second)


def test_test_windows_hold_every_word_once_and_are_fixed():
    words = clips()
    x, said = word_windows(words, seed=1)
    again, _ = word_windows(words, seed=1)
    assert x.shape == (len(words), WINDOW_SAMPLES)
    assert np.array_equal(x, again)
    assert np.array_equal(said, words.words)
    loudness = np.square(x).reshape(len(x), 8, 1000).mean(axis=2).max(axis=1)
    assert (loudness > 0).all()


def test_a_slid_word_has_a_second_of_quiet_on_either_side():
    for sound, _word in slid_words(clips(), seed=0, noise_db=(-60, -60)):
        loud = np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())
        assert loud[0] >= 8000
        assert len(sound) - loud[-1] >= 8000


def test_windows_move_on_by_a_tenth_of_a_second():
    sound = np.arange(9700, dtype=np.float32)
    made = windows(sound)
    assert made.shape == (3, 8000)
    assert made[:, 0].tolist() == [0, 800, 1600]


def test_quiet_sounds_are_of_every_kind():
    made = list(quiet_sounds(clips(), seed=0, streams=1, length_s=2))
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


def test_augmentation_keeps_shape_and_stays_finite():
    torch.manual_seed(0)
    power = torch.rand(32, 129, 1, 100) ** 2
    before = power.clone()
    for scale in (0.0, 1e-9, 1.0):
        changed = SpectrogramAugment(8000)(power * scale)
        assert changed.shape == power.shape
        assert bool(changed.isfinite().all())
        assert bool((changed >= 0).all())
    assert torch.equal(power, before)


def test_augmentation_differs_between_rows_and_follows_the_seed():
    power = torch.rand(1, 129, 1, 100).expand(4, -1, -1, -1)
    augment = SpectrogramAugment(8000)
    torch.manual_seed(3)
    first = augment(power)
    torch.manual_seed(3)
    assert torch.equal(first, augment(power))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, augment(power))
