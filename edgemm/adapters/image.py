"""Frames of any size to the model's size: crop, letterbox or stretch, then antialiased bilinear resizing.

Resizing is two small matrix products with weights that are computed once per frame size (a triangle filter as wide as the
scale, as Pillow's BILINEAR). It knows nothing of normalisation, which is in the graph.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from edgemm.errors import InputError
from edgemm.inputs import Image


class ImageAdapter:
    """uint8 RGB `(height, width, 3)`, or grey `(height, width)`, to uint8 `(1, H, W, 3)`.

    A frame that has the model's size already is not copied: the result is a view of it.
    """

    def __init__(self, name: str, spec: Image) -> None:
        self.name = name
        self.spec = spec
        self.tensor = spec.tensor
        self._size = (spec.height, spec.width, 3)

    def convert(self, raw: Any) -> np.ndarray:
        """One frame to the tensor.

        Raises:
            InputError: for another type, dtype or number of axes.
        """
        if type(raw) is not np.ndarray or raw.dtype != np.uint8:
            raise InputError(self._expected(raw))
        if raw.shape == self._size:
            return raw[np.newaxis]
        if raw.ndim == 2:
            raw = np.broadcast_to(raw[:, :, np.newaxis], (*raw.shape, 3))
        if raw.ndim != 3 or raw.shape[2] != 3 or 0 in raw.shape:
            raise InputError(self._expected(raw))
        height, width = self.spec.height, self.spec.width
        if self.spec.fit == "crop":
            raw = _centre_crop(raw, height / width)
        if self.spec.fit != "letterbox":
            return resize(raw, height, width)[np.newaxis]
        scale = min(height / raw.shape[0], width / raw.shape[1])
        inner = resize(raw, max(1, round(raw.shape[0] * scale)), max(1, round(raw.shape[1] * scale)))
        frame = np.zeros((1, *self._size), np.uint8)
        top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
        frame[0, top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return frame

    def _expected(self, raw: Any) -> str:
        got = f"{raw.dtype} {list(raw.shape)}" if isinstance(raw, np.ndarray) else type(raw).__name__
        return (
            f"input '{self.name}': expected a frame as a numpy array, uint8 RGB (height, width, 3) or grey (height, width); "
            f"got {got}"
        )


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 `(h, w, 3)` to `(height, width, 3)`, antialiased; a frame of that size comes back as it is."""
    if frame.shape[:2] == (height, width):
        return frame
    rows = _weights(frame.shape[0], height)
    columns = _weights(frame.shape[1], width)
    source_height, source_width = frame.shape[:2]
    tall = rows @ frame.reshape(source_height, -1).astype(np.float32)
    wide = np.matmul(columns, tall.reshape(height, source_width, 3))
    rounded: np.ndarray = np.clip(np.rint(wide), 0, 255).astype(np.uint8)
    return rounded


@lru_cache(maxsize=32)
def _weights(source: int, target: int) -> np.ndarray:
    """Rows of a triangle filter, `(target, source)` float32; each row sums to 1."""
    scale = source / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(centres[:, None] - (np.arange(source)[None, :] + 0.5)) / support
    weights = np.clip(1.0 - distance, 0.0, None)
    return np.ascontiguousarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _centre_crop(frame: np.ndarray, aspect: float) -> np.ndarray:
    """The largest centred part whose height / width is `aspect`."""
    height, width = frame.shape[:2]
    keep_height, keep_width = min(height, max(1, round(width * aspect))), min(width, max(1, round(height / aspect)))
    top, left = (height - keep_height) // 2, (width - keep_width) // 2
    return frame[top : top + keep_height, left : left + keep_width]
