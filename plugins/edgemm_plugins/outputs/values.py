"""Numbers that mean something: each with a name, a unit, and how it is scaled from what the network computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from edgemm.errors import SpecError, UnknownNameError
from edgemm.outputs.kind import OutputKind
from edgemm.tensors import TensorSpec


@dataclass(frozen=True)
class Quantities:
    """Numbers with names and units.

    Attributes:
        numbers: float64 `(n,)`, in units; the caller's own array.
        names: one for each.
        units: one for each, "" where it has none.
    """

    numbers: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]

    def __getitem__(self, name: str) -> float:
        if name not in self.names:
            raise UnknownNameError("value", name, self.names)
        return float(self.numbers[self.names.index(name)])


@dataclass(frozen=True)
class Values(OutputKind):
    """One number per name, float or whole `(batch, n)`, read as `number * scale + offset`.

    Attributes:
        names: in the order of the numbers.
        units: one for each, or one for all, or none.
        scale, offset: one for each or one for all; networks answer best around 0, people ask for degrees.
    """

    kind: ClassVar[str] = "values"
    names: tuple[str, ...]
    units: tuple[str, ...] | str = ()
    scale: tuple[float, ...] | float = 1.0
    offset: tuple[float, ...] | float = 0.0

    def __post_init__(self) -> None:
        names = tuple(self.names) if isinstance(self.names, (tuple, list)) else ()
        if not names or len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
            raise SpecError(f"values output: names must be a list of different names, got {self.names!r}")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "units", self._one_each("units", str, ""))
        object.__setattr__(self, "scale", tuple(map(float, self._one_each("scale", (int, float), 1.0))))
        object.__setattr__(self, "offset", tuple(map(float, self._one_each("offset", (int, float), 0.0))))

    def _one_each(self, field: str, of: Any, default: Any) -> tuple[Any, ...]:
        """A field as one item per name."""
        given = getattr(self, field)
        items = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(self.names)
        items = items or (default,) * len(self.names)
        fits = all(isinstance(item, of) and not isinstance(item, bool) for item in items)
        if not fits or len(items) != len(self.names) or not all(isinstance(i, str) or isfinite(i) for i in items):
            what = "texts" if of is str else "finite numbers"
            raise SpecError(
                f"values output: {field} must be {what}, one for all or one for each of {', '.join(self.names)}; got {given!r}"
            )
        return items

    def check(self, specs: Mapping[str, TensorSpec]) -> str:
        """Every number needs a name, and every name a number."""
        spec = specs["value"]
        if len(spec.shape) != 2 or (isinstance(spec.shape[1], int) and spec.shape[1] != len(self.names)):
            return f"it has {len(self.names)} names ({', '.join(self.names)}), but its values are {spec}"
        return "truth values are no numbers" if spec.dtype == "bool" else ""

    def read(self, tensors: Mapping[str, np.ndarray]) -> Quantities:
        """Numbers in their units."""
        numbers = tensors["value"].astype(np.float64) * self.scale + self.offset
        return Quantities(numbers, self.names, tuple(self.units))

    def show(self, value: Quantities) -> str:
        """All of them: `speed 3.2 m/s, angle 12 °`."""
        pairs = zip(value.names, value.numbers, value.units, strict=True)
        return ", ".join(f"{name} {number:.4g} {unit}".rstrip() for name, number, unit in pairs)

    def to_json(self, value: Quantities) -> Any:
        """Name -> number, to six digits, with its unit where it has one."""
        return {
            name: {"value": float(f"{number:.6g}"), **({"unit": unit} if unit else {})}
            for name, number, unit in zip(value.names, value.numbers, value.units, strict=True)
        }
