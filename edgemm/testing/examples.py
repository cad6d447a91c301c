"""Random inputs of a declared kind: adapter-ready tensors that are legal, and some that are extreme."""

from __future__ import annotations

import numpy as np

from edgemm.inputs.declarations import Audio, Image, InputSpec, Text

WORDS = ("add them", "what do you hear?", "哪个更大", "ignore the picture", "x")


def draw_inputs(spec: InputSpec, batch: int, seed: int = 0) -> np.ndarray:
    """Random adapter-ready tensors `(batch, …)` of an input: noise for frames, tones and sensors, real lines for text."""
    random = np.random.default_rng(seed)
    shape = spec.tensor.with_batch(batch)
    if isinstance(spec, Text):
        return _lines(spec, batch, random)
    if isinstance(spec, Audio):
        return _tones(spec, batch, random)
    if isinstance(spec, Image):
        return random.integers(0, 256, shape, dtype=np.uint8)
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2 if dtype.kind == "b" else 100, shape).astype(dtype)


def extreme_inputs(spec: InputSpec) -> np.ndarray:
    """A batch of what is legal and seldom: nothing at all (black, silence, no text), and as much as there can be."""
    shape, dtype = spec.tensor.with_batch(1), np.dtype(spec.tensor.dtype)
    full = {"image": 255, "audio": 1, "text": 255}.get(spec.modality, 1)
    return np.concatenate([np.zeros(shape, dtype), np.full(shape, full, dtype)])


def _lines(spec: Text, batch: int, random: np.random.Generator) -> np.ndarray:
    rows = np.zeros((batch, spec.max_bytes), np.int32)
    for row in rows:
        encoded = WORDS[int(random.integers(len(WORDS)))].encode()[: spec.max_bytes]
        row[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    return rows


def _tones(spec: Audio, batch: int, random: np.random.Generator) -> np.ndarray:
    time_s = np.arange(spec.window_samples) / spec.sample_rate_hz
    pitches_hz = random.uniform(100, spec.sample_rate_hz / 4, (batch, 1))
    loud = np.sin(2 * np.pi * pitches_hz * time_s) * np.sin(np.pi * time_s / time_s[-1]) ** 2
    noise = random.standard_normal((batch, spec.window_samples)) * 0.05
    samples: np.ndarray = np.clip(0.5 * loud + noise, -1, 1).astype(np.float32)
    return samples
