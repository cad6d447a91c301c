"""Presence and ages as they are drawn for training."""

from __future__ import annotations

import torch

from edgemm.training.dropout import sample_ages, sample_presence


def test_every_subset_but_the_empty_one_is_drawn() -> None:
    presence = sample_presence(2000, 3, 0.25, torch.Generator().manual_seed(0))
    seen = {tuple(row) for row in presence.int().tolist()}
    assert len(seen) == 7
    assert (0, 0, 0) not in seen


def test_inputs_are_absent_as_often_as_asked() -> None:
    presence = sample_presence(100_000, 3, 0.25, torch.Generator().manual_seed(0))
    kept_instead = 0.25**3 / 3  # a row that lost everything gets one input back
    torch.testing.assert_close(presence.mean(0), torch.full((3,), 0.75 + kept_instead), atol=0.01, rtol=0)


def test_without_dropout_everything_is_present() -> None:
    assert bool(sample_presence(100, 2, 0.0, torch.Generator()).bool().all())


def test_ages_are_fresh_or_within_the_inputs_limit() -> None:
    ages = sample_ages(4000, [200.0, 4000.0], torch.Generator().manual_seed(0))
    assert ages.shape == (4000, 2)
    assert 0.45 < float((ages == 0).float().mean()) < 0.55
    assert 150 < float(ages[:, 0].max()) <= 200
    assert 3500 < float(ages[:, 1].max()) <= 4000
