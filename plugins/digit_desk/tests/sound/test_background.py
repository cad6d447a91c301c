"""Rooms in which nobody says a digit."""

import numpy as np
import pytest

from edgemm_digit_desk.sound.background import BACKGROUNDS, background


@pytest.mark.parametrize("kind", list(BACKGROUNDS))
def test_backgrounds_have_unit_loudness_and_differ(kind, tone_clips):
    generator, voices = np.random.default_rng(0), [tone_clips().clip(index) for index in range(11)]
    first, second = (background(16_000, 8000, generator, voices, (kind,)) for _ in range(2))
    assert first.dtype == np.float32
    assert 0.3 < np.sqrt(np.mean(np.square(first))) < 2
    assert not np.array_equal(first, second)
