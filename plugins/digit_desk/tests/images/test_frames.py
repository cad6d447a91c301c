import math

import numpy as np
import pytest
import torch

from edgemm_digit_desk.images import frames as module
from edgemm_digit_desk.images.digits import Digits
from edgemm_digit_desk.images.frames import (
    NOTHING,
    FrameSampler,
    digit_frames,
    empty_frames,
    evaluation_empty_frames,
    evaluation_frames,
)
from edgemm_digit_desk.images.ink import Draw, bounding_boxes, cut_off_placement, free_placement, ink_coverage
from edgemm_digit_desk.images.scene import scribbles


def strokes(count: int) -> np.ndarray:
    """Make `count` images with a thick ring, 18 pixels high, in the middle."""
    y, x = np.mgrid[:28, :28] - 13.5
    ring = np.abs(np.hypot(x * 1.3, y) - 7.5) < 1.6
    return np.repeat((ring * 255).astype(np.uint8)[None], count, 0)


@pytest.fixture
def digits() -> Digits:
    labels = np.arange(20, dtype=np.uint8) % 10
    return Digits(strokes(20), labels, strokes(20), labels)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_batch_is_frames_and_one_hot_targets(digits):
    x, target = FrameSampler(digits).batch(24, seeded())
    assert x.shape == (24, 96, 96, 3)
    assert x.dtype == torch.uint8
    assert target.shape == (24, 11)
    assert target.dtype == torch.float32
    assert target.sum(1).tolist() == [1.0] * 24


def test_the_same_seed_paints_the_same_frames(digits):
    sampler = FrameSampler(digits)
    first, again, other = (sampler.batch(6, seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_share_of_empty_frames_is_as_asked(digits):
    target = FrameSampler(digits, nothing=0.5).batch(80, seeded())[1]
    assert 20 < target[:, NOTHING].sum() < 60
    assert FrameSampler(digits, variations=False).batch(80, seeded())[1][:, NOTHING].sum() == 0


def test_digits_are_20_to_80_percent_high_and_wholly_inside():
    images = torch.from_numpy(strokes(200))
    draw, box = Draw(200, seeded()), bounding_boxes(images)
    placement = free_placement(box, draw)
    ink = ink_coverage(images, box, placement, draw.uniform(1, 1), draw) > 0.5
    rows = ink.any(2)
    height = 96 - rows.int().argmax(1) - rows.flip(1).int().argmax(1)
    assert 15 <= height.min() <= 22  # 20 % of 96 is 19; pen, rotation and stretch change it a little
    assert 70 <= height.max() <= 90
    border = torch.cat([ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]], 1)
    assert not border.any()
    assert placement.angle.abs().max() <= math.radians(15)
    assert placement.x.min() < 25
    assert placement.x.max() > 71


def test_of_a_cut_off_digit_less_than_half_is_visible():
    images = torch.from_numpy(strokes(100))
    draw, box = Draw(100, seeded()), bounding_boxes(images)
    placement = cut_off_placement(box, draw)
    ink = ink_coverage(images, box, placement, draw.uniform(1, 1), draw)
    assert (placement.x.clamp(0, 96) != placement.x).logical_or(placement.y.clamp(0, 96) != placement.y).all()
    assert ink.sum((1, 2)).max() > 0


def test_both_polarities_are_painted():
    x = digit_frames(torch.from_numpy(strokes(60)), False, seeded()).float().mean(3)
    middle = x[:, 24:72, 24:72].flatten(1)
    border = x[:, :8].flatten(1).mean(1)
    darker = middle.amin(1) < border - 30
    lighter = middle.amax(1) > border + 30
    assert darker.any()
    assert lighter.any()
    assert (darker | lighter).all()


def test_variations_move_the_digit():
    images = torch.from_numpy(strokes(40))
    centred = digit_frames(images, False, seeded()).float().mean(3)
    assert (centred[:, :15] - centred[:, :15].mean((1, 2), keepdim=True)).abs().amax((1, 2)).max() < 40  # only noise
    varied = digit_frames(images, True, seeded()).float().mean(3)
    assert (varied[:, :15] - varied[:, :15].mean((1, 2), keepdim=True)).abs().amax((1, 2)).max() > 60


def test_scribbles_are_tangled_and_inside():
    ink = scribbles(Draw(10, seeded()))
    assert ink.shape == (10, 96, 96)
    assert ((ink > 0.5).sum((1, 2)) > 150).all()


def test_evaluation_sets_are_fixed_and_cover_every_test_digit(digits, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 7)
    x, labels = evaluation_frames(digits, variations=True)
    assert x.shape == (20, 96, 96, 3)
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(labels, digits.test_labels)
    np.testing.assert_array_equal(x, evaluation_frames(digits, variations=True)[0])
    assert not np.array_equal(x, evaluation_frames(digits, variations=False)[0])
    assert evaluation_empty_frames(digits, 5).shape == (5, 96, 96, 3)


def test_empty_frames_are_of_many_kinds():
    x = empty_frames(torch.from_numpy(strokes(20)), 64, seeded()).float()
    detail = (x[:, 1:] - x[:, :-1]).abs().mean((1, 2, 3))
    assert detail.max() > 2 * detail.min()
