"""Frames of any size to the model's size: crop, letterbox or stretch, then antialiased bilinear resizing.

Resizing weighs a few rows, then a few columns, with weights that are computed once per frame size (a triangle filter as wide as
the scale, as Pillow's BILINEAR). It knows nothing of normalisation, which is in the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from edgemm.inputs.kind import InputKind, Tensors, check_choice, check_positive, not_this
from edgemm.limits import PICTURE_PIXELS
from edgemm.tensors import BATCH, TensorSpec

FITS = ("crop", "letterbox", "stretch")
_Taps = tuple[tuple[int, int, np.ndarray], ...]
_UINT8 = np.dtype(np.uint8)
_EXPECTED = "a frame as a numpy array, uint8 RGB (height, width, 3) or grey (height, width)"
_CAMERA = (480, 640)  # a usual camera's frame


@dataclass(frozen=True)
class Image(InputKind):
    """A camera's frame, uint8 RGB `(height, width, 3)` or grey `(height, width)`, of any size, made this one's.

    A frame that has this size already is not copied: graphs read it in place.

    Attributes:
        fit: `crop` the centre to this aspect ratio, `letterbox` it with black, or `stretch`.
    """

    kind: ClassVar[str] = "image"
    height: int
    width: int
    fit: str = "crop"
    _shape: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        check_positive(self, "height", "width")
        check_choice(self, "fit", FITS)
        object.__setattr__(self, "_shape", (self.height, self.width, 3))

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """uint8 `(batch, height, width, 3)`, RGB."""
        return (TensorSpec("image", "uint8", (BATCH, self.height, self.width, 3)),)

    def convert(self, raw: Any) -> Tensors:
        """One frame to the tensor.

        Raises:
            InputError: for another type, dtype or number of axes.
        """
        if type(raw) is np.ndarray and raw.shape == self._shape and raw.dtype == _UINT8:
            return (raw[np.newaxis],)  # what a camera of this size delivers: at once
        return (self.fitted(raw)[np.newaxis],)

    def fitted(self, raw: Any) -> np.ndarray:
        """One frame as uint8 `(height, width, 3)`; a view of `raw` where it has that size.

        Raises:
            InputError: for another type, dtype or number of axes.
        """
        frame, height, width = self.checked(raw), self.height, self.width
        if frame.shape == self._shape:
            return frame
        if self.fit == "crop":
            frame = _centre_crop(frame, height / width)
        if self.fit != "letterbox":
            return resize(frame, height, width)
        scale = min(height / frame.shape[0], width / frame.shape[1])
        inner = resize(frame, max(1, round(frame.shape[0] * scale)), max(1, round(frame.shape[1] * scale)))
        boxed = np.zeros((height, width, 3), np.uint8)
        top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
        boxed[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return boxed

    def checked(self, raw: Any) -> np.ndarray:
        """One frame of any size as uint8 RGB, a view.

        Raises:
            InputError: for another type, dtype or number of axes, or more pixels than a frame may have.
        """
        if not isinstance(raw, np.ndarray) or raw.dtype != _UINT8:
            raise not_this(_EXPECTED, raw)
        if raw.ndim == 2:
            raw = np.broadcast_to(raw[:, :, np.newaxis], (*raw.shape, 3))
        if raw.ndim != 3 or raw.shape[2] != 3 or 0 in raw.shape:
            raise not_this(_EXPECTED, raw)
        if raw.shape[0] * raw.shape[1] > PICTURE_PIXELS:
            raise not_this(f"a frame of at most {PICTURE_PIXELS} pixels", raw)
        frame: np.ndarray = raw
        return frame

    def draw(self, count: int, generator: np.random.Generator) -> Tensors:
        """Noise."""
        return (generator.integers(0, 256, (count, self.height, self.width, 3), dtype=np.uint8),)

    def example(self, generator: np.random.Generator) -> Any:
        """A frame as a usual camera has it."""
        return generator.integers(0, 256, (*_CAMERA, 3), dtype=np.uint8)

    def prepared(self, *tensors: Any) -> Any:
        """uint8 NHWC to float NCHW in [0, 1]; cast first, as compilers take bytes only into a cast."""
        return tensors[0].float().permute(0, 3, 1, 2) * (1 / 255)

    def describe(self) -> str:
        """One line for people."""
        return f"{self.width} x {self.height} RGB, {self.fit}"


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 `(h, w, 3)` to `(height, width, 3)`, antialiased; a frame of that size comes back as it is.

    Row by row, each from the few source rows that it reads: the same as a product with the whole filter, but never large enough for a
    BLAS to start threads, which cost fifty times the work on a busy CPU.
    """
    if frame.shape[:2] == (height, width):
        return frame
    source_height, source_width = frame.shape[:2]
    rows = np.ascontiguousarray(frame).reshape(source_height, -1)
    tall = _weighted_rows(rows, _taps(source_height, height)).reshape(height, source_width, 3)
    columns = np.ascontiguousarray(tall.transpose(1, 0, 2)).reshape(source_width, -1)
    wide = _weighted_rows(columns, _taps(source_width, width)).reshape(width, height, 3)
    rounded: np.ndarray = np.clip(np.rint(wide), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(rounded.transpose(1, 0, 2))


def _weighted_rows(rows: np.ndarray, taps: _Taps) -> np.ndarray:
    """`(source, n)` to `(target, n)` float32."""
    out = np.empty((len(taps), rows.shape[1]), np.float32)
    for index, (first, last, weights) in enumerate(taps):
        np.dot(weights, rows[first:last].astype(np.float32, copy=False), out=out[index])
    return out


@lru_cache(maxsize=32)
def _taps(source: int, target: int) -> _Taps:
    """For each output: the first source row that it reads, the one after the last, and their weights, which sum to 1."""
    scale = source / target
    support = max(scale, 1.0)
    found = []
    for centre in (np.arange(target) + 0.5) * scale:
        first, last = max(0, int(np.floor(centre - support))), min(source, int(np.ceil(centre + support)) + 1)
        weights = np.clip(1.0 - np.abs(centre - (np.arange(first, last) + 0.5)) / support, 0.0, None)
        found.append((first, last, (weights / weights.sum()).astype(np.float32)))
    return tuple(found)


def _centre_crop(frame: np.ndarray, aspect: float) -> np.ndarray:
    """The largest centred part whose height / width is `aspect`."""
    height, width = frame.shape[:2]
    keep_height, keep_width = min(height, max(1, round(width * aspect))), min(width, max(1, round(height / aspect)))
    top, left = (height - keep_height) // 2, (width - keep_width) // 2
    return frame[top : top + keep_height, left : left + keep_width]
