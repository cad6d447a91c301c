"""The parity ladder: does every rung compute what the one before it did, and by how many nines?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgemm.model.precision import PRECISIONS

_MOST_DIGITS = 7.0
_EXACT_DB = 200.0  # what a comparison says when nothing differs


@dataclass(frozen=True)
class Row:
    """A node, or an output (`answer`), of a rung; `nines` and `gate` are shares of the widest bar."""

    name: str
    answer: bool
    hue: str
    cosine: str
    nines: float
    gate: float | None
    snr: str
    agreement: float


@dataclass(frozen=True)
class Rung:
    """One table of the ladder."""

    name: str
    rows: tuple[Row, ...]


def rungs(parity: Mapping[str, Mapping[str, Mapping[str, Any]]], outputs: Sequence[str]) -> list[Rung]:
    """What the manifest's `parity` holds, ready to draw."""
    return [Rung(name, tuple(_rows(name, records, outputs))) for name, records in parity.items()]


def _rows(rung: str, records: Mapping[str, Mapping[str, Any]], outputs: Sequence[str]) -> Iterator[Row]:
    precision = PRECISIONS.get(rung.rsplit(maxsplit=1)[-1])
    for name, record in records.items():
        answer = name in outputs
        limit = precision.gate.cosine if precision is not None and not answer else None
        cosine, snr_db = float(record["cosine"]), float(record["snr_db"])
        met = limit is None or cosine >= limit
        yield Row(
            name=name,
            answer=answer,
            hue="good" if met and answer else "blue" if met else "bad",
            cosine=f"{cosine:.6f}",
            nines=_nines(cosine),
            gate=None if limit is None else _nines(limit),
            snr="exact" if snr_db >= _EXACT_DB else f"{snr_db:.1f} dB",
            agreement=float(record["agreement"]),
        )


def _nines(cosine: float) -> float:
    """How many nines a cosine has (0.999 has three), of the most that a bar shows."""
    return min(_MOST_DIGITS, -math.log10(max(1.0 - cosine, 10**-_MOST_DIGITS))) / _MOST_DIGITS
