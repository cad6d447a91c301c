"""Reads the header of a TensorRT-RTX plan, as a check that a build made what was asked for.

The layout is not documented: it was observed in version 1.7 (little-endian; `vtrt` at 0, size in bytes at 16, builder version at 24,
a bit per compute capability at 32). A plan that looks different is not judged.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"vtrt"
HEADER_BYTES = 64
KNOWN_VERSION = (1, 7)
COMPUTE_CAPABILITY_BITS = {75: 0x01, 80: 0x02, 86: 0x04, 89: 0x08, 120: 0x10, 121: 0x20}


@dataclass(frozen=True)
class PlanHeader:
    """What a plan says of itself."""

    version: tuple[int, int]
    size_bytes: int
    compute_capability_bits: int


def read_plan_header(plan: bytes) -> PlanHeader | None:
    """The header of a plan, of which the first 64 bytes suffice; None for a layout that is not known."""
    if len(plan) < HEADER_BYTES or plan[:4] != MAGIC:
        return None
    version = (plan[24], plan[25])
    if version != KNOWN_VERSION:
        return None
    size_bytes = struct.unpack_from("<Q", plan, 16)[0]
    bits = struct.unpack_from("<I", plan, 32)[0]
    return PlanHeader(version, size_bytes, bits)


def plan_problem(plan: bytes, size_bytes: int, compute_capability: int) -> str:
    """What is wrong with a plan of `size_bytes` for a GPU; "" when nothing is, or when its layout is not known."""
    header = read_plan_header(plan)
    if header is None:
        return ""
    if header.size_bytes != size_bytes:
        return f"the engine has {size_bytes} bytes, its header says {header.size_bytes}"
    expected = COMPUTE_CAPABILITY_BITS.get(compute_capability)
    if expected is not None and not header.compute_capability_bits & expected:
        return f"the engine's header does not name SM{compute_capability} (bits {header.compute_capability_bits:#x})"
    return ""
