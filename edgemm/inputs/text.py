"""Text to bytes: UTF-8, cut where a character ends, padded with 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgemm.errors import InputError
from edgemm.inputs.declarations import Text


class TextAdapter:
    """`str` to int32 `(1, max_bytes)`; bytes are 1 to 255, 0 is padding. Outer white space is not part of a line."""

    def __init__(self, name: str, spec: Text) -> None:
        self.name = name
        self.spec = spec
        self.tensor = spec.tensor

    def convert(self, raw: Any) -> np.ndarray:
        """One line of text to the tensor.

        Raises:
            InputError: when it is not a `str`.
        """
        if not isinstance(raw, str):
            raise InputError(f"input '{self.name}': expected text as str, got {type(raw).__name__}")
        row = np.zeros((1, self.spec.max_bytes), np.int32)
        encoded = raw.strip().replace("\0", "").encode("utf-8", "replace")[: self.spec.max_bytes]
        encoded = encoded.decode("utf-8", "ignore").encode("utf-8")
        row[0, : len(encoded)] = np.frombuffer(encoded, np.uint8)
        return row
