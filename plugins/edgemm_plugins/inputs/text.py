"""Text to bytes: UTF-8, cut where a character ends, padded with 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgemm.errors import InputError
from edgemm.inputs.kind import InputKind, Tensors, check_positive, not_this
from edgemm.tensors import BATCH, TensorSpec

_LINES = ("add them", "what do you hear?", "哪个更大", "ignore the picture", "x")


@dataclass(frozen=True)
class Text(InputKind):
    """A line of text as its UTF-8 bytes, int32, 1 to 255, padded with 0. Outer white space is not part of a line."""

    kind: ClassVar[str] = "text"
    trigger: ClassVar[str] = "change"
    max_bytes: int = 64

    def __post_init__(self) -> None:
        check_positive(self, "max_bytes")

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """int32 `(batch, max_bytes)`."""
        return (TensorSpec("text", "int32", (BATCH, self.max_bytes)),)

    def convert(self, raw: Any) -> Tensors:
        """One line of text to the tensor.

        Raises:
            InputError: when it is not a `str`.
        """
        if not isinstance(raw, str):
            raise not_this("text as str", raw)
        row = np.zeros((1, self.max_bytes), np.int32)
        encoded = raw.strip().replace("\0", "").encode("utf-8", "replace")[: self.max_bytes]
        encoded = encoded.decode("utf-8", "ignore").encode("utf-8")
        row[0, : len(encoded)] = np.frombuffer(encoded, np.uint8)
        return (row,)

    def raw_rows(self, rows: np.ndarray) -> Sequence[Any]:
        """Lines, from an array of str, or of bytes padded with 0."""
        if rows.dtype.kind == "U" and rows.ndim == 1:
            return [str(row) for row in rows]
        if rows.dtype.kind not in "iu" or rows.ndim != 2 or not ((rows >= 0) & (rows <= 255)).all():
            raise InputError(
                f"expected an array of str, or of bytes, 0 to 255 (rows, bytes); got {rows.dtype} {list(rows.shape)}"
            )
        return [bytes(row.astype(np.uint8)).rstrip(b"\0").decode("utf-8", "ignore") for row in rows]

    def draw(self, count: int, generator: np.random.Generator) -> Tensors:
        """Lines with a number behind them, so that no two are alike."""
        lines = [f"{self.example(generator)} {generator.integers(10**6)}" for _ in range(count)]
        return (np.concatenate([self.convert(line)[0] for line in lines]),)

    def example(self, generator: np.random.Generator) -> Any:
        """A line."""
        return _LINES[int(generator.integers(len(_LINES)))]

    def prepared(self, *tensors: Any) -> Any:
        """The bytes as int64, as embeddings take them."""
        return tensors[0].long()

    def describe(self) -> str:
        """One line for people."""
        return f"up to {self.max_bytes} bytes"
