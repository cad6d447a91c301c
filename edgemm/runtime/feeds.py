"""Who is present, how old, and what a graph is fed where something is missing: the rules, and what is shared of them.

Streams, single passes, calibration, parity, evaluation and profiles ask these functions. Streams add time (`Cell.age_ns`: what expires, and what was
made of something that has) and policies (`Once.prepare`); tests/edgemm/runtime/reference.py says all of it once more, plainly, and is run beside them.

    A source is usable while it was captured, has not expired, and what it was made of is usable too. What a node holds stands by itself.
    A node that takes presence runs with any member usable; its answer is of now, and columns say who stood behind it.
    Any other node runs only when everything that it reads is usable; its answer is as old as the first thing that it reads.
    What is missing has presence 0 and age 0, and a graph that takes presence must not look at it: it is fed as zeros where it never came,
    and as what was there last where it has expired, failed or was not recognised.
    A node that says whether it recognised anything is usable only where it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from edgemm.model.graph import Node
from edgemm.tensors import TensorSpec

NEVER = -1
NS_PER_MS = 1_000_000


Row: TypeAlias = Any  # float32 numbers that can be assigned one by one: an array's row, or a memoryview of it


class Aged(Protocol):
    """As much of a cell as is asked here."""

    def age_ns(self, now_ns: int) -> int:
        """Age of what may be used, or `NEVER`."""
        ...


def may_run(node: Node, usable: Iterable[bool]) -> bool:
    """Whether a node can run, given which of its sources (of its members, where it takes presence) are usable."""
    return any(usable) if node.presence else all(usable)


def all_usable(cells: Iterable[Aged], now_ns: int) -> bool:
    """The same for a node without presence, asked of cells."""
    for cell in cells:  # noqa: SIM110 - the hot path: no generator
        if cell.age_ns(now_ns) == NEVER:
            return False
    return True


def write_members(ages_ns: Sequence[int], presence: Row, age_ms: Row) -> bool:
    """Write one row of presence and age from each member's age (or `NEVER`); whether anybody is present."""
    someone = False
    for index, age_ns in enumerate(ages_ns):
        if age_ns == NEVER:
            presence[index] = age_ms[index] = 0.0
        else:
            presence[index], age_ms[index] = 1.0, age_ns / NS_PER_MS
            someone = True
    return someone


def recognised(flags: np.ndarray) -> bool:
    """Whether a node that says so found anything: `flags.any()`, eight times as fast for the few bools that tokens have."""
    return b"\x01" in flags.tobytes()


def nothing(spec: TensorSpec, batch: int) -> np.ndarray:
    """What stands for a missing tensor."""
    return np.zeros(spec.with_batch(batch), spec.dtype)
