"""Windows of a room: what a batch holds, and what counts as nothing."""

import copy

import numpy as np
import pytest
import torch

from edgemm_digit_desk.sound.clips import join_clips
from edgemm_digit_desk.sound.windows import NOTHING, WINDOW_SAMPLES, SoundSampler, _Draw, add_at


@pytest.fixture(scope="module")
def sampler(tone_clips):
    return SoundSampler(tone_clips())


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


def test_mixing_mixes_targets_and_can_be_turned_off(sampler):
    def rows_of_two_digits(mixing):
        other = copy.copy(sampler)  # shares the backgrounds, which take a second to make
        other.mixing = mixing
        target = other.batch(64, torch.Generator().manual_seed(1))[1]
        return int(((target[:, :NOTHING] > 0).sum(dim=1) > 1).sum())

    assert rows_of_two_digits(0.0) == 0
    assert rows_of_two_digits(1.0) > 20


def test_rare_synthesizers_are_drawn_more_often_than_their_share(tone_clips):
    many = tone_clips(("espeak",), each=40)
    few = tone_clips(("kokoro",), each=1)
    both = join_clips([many, few])
    drawn = _Draw(both, both.words < 10)
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
