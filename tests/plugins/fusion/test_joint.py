"""What is particular to joint fusion."""

from __future__ import annotations

import pytest
import torch

from edgemm.errors import SpecError
from edgemm_plugins.fusion import joint

WIDTH = 16


def test_age_of_a_present_input_matters() -> None:
    torch.manual_seed(0)
    fusion = joint.build(joint.Config(), ["image", "audio"], WIDTH)
    tokens, valid = [torch.randn(2, 1, WIDTH) for _ in range(2)], [torch.ones(2, 1, dtype=torch.bool) for _ in range(2)]
    presence = torch.ones(2, 2)
    fresh = fusion(tokens, valid, presence, torch.zeros(2, 2))
    stale = fusion(tokens, valid, presence, torch.tensor([[0.0, 3000.0]]).expand(2, 2))
    assert not torch.allclose(fresh, stale, atol=1e-3)


def test_two_inputs_are_not_interchangeable() -> None:
    torch.manual_seed(0)
    fusion = joint.build(joint.Config(), ["front", "rear"], WIDTH)
    a, b = torch.randn(1, 1, WIDTH), torch.randn(1, 1, WIDTH)
    valid, presence, age = [torch.ones(1, 1, dtype=torch.bool)] * 2, torch.ones(1, 2), torch.zeros(1, 2)
    swapped = fusion([b, a], valid, presence, age)
    assert not torch.allclose(fusion([a, b], valid, presence, age), swapped, atol=1e-3)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(SpecError, match=r"heads = 5 does not divide the model's width 16"):
        joint.build(joint.Config(heads=5), ["image"], WIDTH)
