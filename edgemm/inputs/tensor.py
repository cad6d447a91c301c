"""Any other array, taken as it is after a check."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgemm.errors import InputError
from edgemm.inputs.declarations import Tensor


class TensorAdapter:
    """An array of the declared shape and dtype, with or without a batch axis of 1; the result is a view."""

    def __init__(self, name: str, spec: Tensor) -> None:
        self.name = name
        self.tensor = spec.tensor
        self._shape = spec.shape
        self._dtype = np.dtype(spec.dtype)

    def convert(self, raw: Any) -> np.ndarray:
        """The array with a batch axis.

        Raises:
            InputError: for another type, dtype or shape.
        """
        if type(raw) is np.ndarray and raw.dtype == self._dtype:
            if raw.shape == self._shape:
                return raw[np.newaxis]
            if raw.shape == (1, *self._shape):
                return raw[:]  # a new view: a graph binds arrays by identity, and copies those that are not contiguous
        got = f"{raw.dtype} {list(raw.shape)}" if isinstance(raw, np.ndarray) else type(raw).__name__
        raise InputError(f"input '{self.name}': expected {self._dtype} {list(self._shape)}, got {got}")
