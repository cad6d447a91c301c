"""Any other sensor: an array of a fixed shape, taken as it is after a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgemm.errors import SpecError
from edgemm.inputs.kind import InputKind, Tensors, not_this
from edgemm.tensors import BATCH, DTYPES, TensorSpec


@dataclass(frozen=True)
class Tensor(InputKind):
    """An array that a graph reads as it is, with or without a batch axis of 1.

    Attributes:
        shape: without the batch axis.
        dtype: bool, uint8, int8, int32, int64, float16 or float32.
        modality: what it measures, as sources and encoders name it (`imu`, `depth`, …).
    """

    kind: ClassVar[str] = "tensor"
    shape: tuple[int, ...]
    dtype: str = "float32"
    modality: str = "tensor"
    _dtype: ClassVar[np.dtype[Any]] = np.dtype(np.float32)

    def __post_init__(self) -> None:
        shape = tuple(self.shape) if isinstance(self.shape, (tuple, list)) else ()
        if not shape or not all(isinstance(size, int) and size >= 1 for size in shape):
            raise SpecError(f"tensor input: shape must be whole numbers of at least 1, got {self.shape!r}")
        object.__setattr__(self, "shape", shape)
        if self.dtype not in DTYPES:
            raise SpecError(f"tensor input: unknown dtype '{self.dtype}'; known: {', '.join(DTYPES)}")
        object.__setattr__(self, "_dtype", np.dtype(self.dtype))  # comparing with a name takes a microsecond

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """`dtype` `(batch, *shape)`."""
        return (TensorSpec(self.modality, self.dtype, (BATCH, *self.shape)),)

    def convert(self, raw: Any) -> Tensors:
        """The array with a batch axis; a view.

        Raises:
            InputError: for another type, dtype or shape.
        """
        if isinstance(raw, np.ndarray) and raw.dtype == self._dtype:
            if raw.shape == self.shape:
                return (raw[np.newaxis],)
            if raw.shape == (1, *self.shape):
                return (raw[:],)  # a new view: graphs bind arrays by identity, and copy those that are not contiguous
        raise not_this(f"{self.dtype} {list(self.shape)}", raw)

    def describe(self) -> str:
        """One line for people."""
        return f"{self.dtype} {list(self.shape)}"
