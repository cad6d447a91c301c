"""Other voices and rooms: shapes stay, rows differ, the seed decides."""

import torch

from edgemm_digit_desk.sound.spectrogram_augment import SpectrogramAugment


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
