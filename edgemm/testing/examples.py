"""Inputs of a declared kind for checks: tensors that are legal, and some that are extreme."""

from __future__ import annotations

import numpy as np

from edgemm.inputs.kind import InputKind


def draw_inputs(kind: InputKind, batch: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Random converted tensors `(batch, …)` of an input, as its kind draws them: noise, tones, real lines."""
    return kind.draw(batch, np.random.default_rng(seed))


def extreme_inputs(kind: InputKind) -> tuple[np.ndarray, ...]:
    """A batch of what is legal and seldom: nothing at all (black, silence, no text), and as much as there can be."""
    extremes = []
    for spec in kind.tensors:
        shape, dtype = spec.with_batch(1), np.dtype(spec.dtype)
        full = {"u": 255, "i": 255, "b": 1}.get(dtype.kind, 1) if dtype != np.int8 else 127
        extremes.append(np.concatenate([np.zeros(shape, dtype), np.full(shape, full, dtype)]))
    return tuple(extremes)
