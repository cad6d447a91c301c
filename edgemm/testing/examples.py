"""Inputs of a declared kind for checks: tensors that are legal, and some that are extreme."""

from __future__ import annotations

import numpy as np

from edgemm.inputs.kind import InputKind

_DRAWN = 64


def draw_inputs(kind: InputKind, batch: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Random converted tensors `(batch, …)` of an input, as its kind draws them: noise, tones, real lines."""
    return kind.draw(batch, np.random.default_rng(seed))


def extreme_inputs(kind: InputKind) -> tuple[np.ndarray, ...]:
    """A batch of what is legal and seldom: nothing at all (black, silence, no text), and as much as there can be.

    Of whole numbers that is the largest that the kind draws: ids end with their vocabulary.
    """
    extremes = []
    for spec, drawn in zip(kind.tensors, draw_inputs(kind, _DRAWN), strict=True):
        shape, dtype = spec.with_batch(1), np.dtype(spec.dtype)
        full = {"u": 255, "i": drawn.max(), "b": 1}.get(dtype.kind, 1)
        extremes.append(np.concatenate([np.zeros(shape, dtype), np.full(shape, full, dtype)]))
    return tuple(extremes)
