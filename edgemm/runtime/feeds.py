"""Who is present, how old, and what a graph is fed where something is missing: defined here, once.

Streams, single passes, calibration, parity, evaluation and profiles all ask these functions, so that a rule about presence is written in one
place. They know ages and names, not arrays of a device nor threads.

    A source is usable while it was captured and has not expired.
    A node that takes presence runs with any member usable; its answer is of now, and columns say who stood behind it.
    Any other node runs only when everything that it reads is usable; its answer is as old as the first thing that it reads.
    What is missing is fed as zeros, with presence 0 and age 0.
    A node that says whether it recognised anything is usable only where it did.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence, Sequence

import numpy as np

from edgemm.model.graph import Node
from edgemm.tensors import TensorSpec

NEVER = -1
NS_PER_MS = 1_000_000


def may_run(node: Node, usable: Iterable[bool]) -> bool:
    """Whether a node can run, given which of its sources (of its members, where it takes presence) are usable."""
    return any(usable) if node.presence else all(usable)


def write_members(ages_ns: Sequence[int], presence: MutableSequence[float], age_ms: MutableSequence[float]) -> bool:
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


def nothing(spec: TensorSpec, batch: int = 1) -> np.ndarray:
    """What stands for a missing tensor."""
    return np.zeros(spec.with_batch(batch), spec.dtype)
