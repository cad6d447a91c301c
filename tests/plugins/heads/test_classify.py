"""The classification head: shapes, labels, and refusals of labels that cannot work."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from edgemm_plugins.heads import classify


@pytest.mark.parametrize("hidden", [None, 7])
def test_one_logit_per_label(hidden: int | None) -> None:
    head = classify.build(classify.Config(labels=["yes", "no", "maybe"], hidden=hidden), 8)
    assert head(torch.randn(4, 8)).shape == (4, 3)
    assert head.labels == ("yes", "no", "maybe")


def test_logits_are_unbounded_and_rows_independent() -> None:
    head = classify.build(classify.Config(labels=["yes", "no"]), 8)
    fused = torch.randn(4, 8)
    torch.testing.assert_close(head(fused)[1:2], head(fused[1:2]), rtol=1e-5, atol=1e-6)
    assert float(head(fused * 1000).detach().abs().max()) > 10


def test_repeated_labels_are_refused() -> None:
    with pytest.raises(ValidationError, match="repeated: yes"):
        classify.Config(labels=["yes", "no", "yes"])


def test_one_label_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 2 items"):
        classify.Config(labels=["yes"])


def test_a_typo_in_the_options_is_refused() -> None:
    with pytest.raises(ValidationError, match="hiden"):
        classify.Config(labels=["yes", "no"], hiden=3)  # type: ignore[call-arg]
