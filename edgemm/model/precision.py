"""The precisions that a graph can be written in: one table of their names, of what each must reach, and of what is tried when it does not.

It knows nothing of how a graph gets its precision, nor of which devices take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FP32 = "fp32"
HALF = "fp16"


@dataclass(frozen=True)
class Gate:
    """What a graph must reach, compared with the FP32 reference (and that with torch).

    Attributes:
        cosine: of each node's float outputs with the reference's, mean of the rows.
        agreement: share of rows with equal bools and equal labels.
        relative: largest difference over the reference's largest absolute value; 0 for no limit.
    """

    cosine: float
    agreement: float
    relative: float = 0.0

    def on_few(self, rows: int) -> Gate:
        """The gate where only so few rows are compared, on another machine: what may miss some may miss one of them, and a hundredth of the cosine."""
        if self.agreement == 1.0:
            return Gate(self.cosine, 1.0)
        return Gate(self.cosine - 0.01, 1.0 - 1.0 / rows)

    def __str__(self) -> str:
        return f"cosine {self.cosine:g} or agreement {self.agreement:.3f}"


@dataclass(frozen=True)
class Precision:
    """One precision.

    Attributes:
        name: as `--precision`, profiles and manifests say it.
        gate: what a graph in it must reach to be used.
        fallback: the next higher precision, for a graph that misses the gate; "" when there is none.
    """

    name: str
    gate: Gate
    fallback: str = ""


PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        precision.name: precision
        for precision in (
            Precision(FP32, Gate(0.999999, 1.0, 1e-4)),
            Precision(HALF, Gate(0.9995, 0.96), FP32),
            Precision("int8", Gate(0.985, 0.93), FP32),
            Precision("int8+fp16", Gate(0.985, 0.93), HALF),
        )
    }
)
"""Name -> precision, the reference first."""
