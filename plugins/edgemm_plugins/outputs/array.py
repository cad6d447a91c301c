"""An output read as it is: a numpy array without the batch axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgemm.outputs.kind import OutputKind

_SHOWN = 8


@dataclass(frozen=True)
class Array(OutputKind):
    """The numbers as the model computed them."""

    kind: ClassVar[str] = "array"

    def read(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The array; the caller's own."""
        return tensors["value"]

    def show(self, value: np.ndarray) -> str:
        """The first few numbers."""
        flat = value.reshape(-1)
        return " ".join(f"{number:.3g}" for number in flat[:_SHOWN]) + (" …" if flat.size > _SHOWN else "")

    def to_json(self, value: np.ndarray) -> Any:
        """All numbers, rounded to five digits behind the point; truth values as they are."""
        return {"values": (value if value.dtype == np.bool_ else np.round(value, 5)).tolist()}
