"""What a profile holds, as a table and as JSON. Knows nothing of how it was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgemm.runners.providers import CPU


@dataclass(frozen=True)
class Percentiles:
    """Times of one stage in microseconds."""

    p25_us: float
    p50_us: float
    p95_us: float
    p99_us: float

    @classmethod
    def of(cls, times_ns: Sequence[int]) -> Percentiles:
        """From single times in ns."""
        return cls(*(round(float(value) / 1e3, 2) for value in np.percentile(times_ns, (25, 50, 95, 99))))


@dataclass(frozen=True)
class Stage:
    """One step of an answer.

    Attributes:
        kind: `input`, `node`, `result` or `total` (nodes and result).
        edgemm: what it takes in a stream.
        bare: the same with plain ONNX Runtime; None where that has no such step.
        floor: the same with everything bound once.
    """

    kind: str
    name: str
    edgemm: Percentiles
    bare: Percentiles | None = None
    floor: Percentiles | None = None

    @property
    def ratio(self) -> float | None:
        """Our p25 over the bare one: of the quickest quarter, which other work on the machine disturbs least."""
        return None if self.bare is None else round(self.edgemm.p25_us / max(self.bare.p25_us, 1e-3), 4)


@dataclass(frozen=True)
class Profile:
    """A measured bundle; prints as a table.

    Attributes:
        provider: ONNX Runtime's, where it runs the variant.
        load_ms: opening the bundle and loading its graphs; None for a model that was open.
        bytes: graph -> size of its file.
        machine: processor, load and versions.
    """

    name: str
    bundle: str
    id: str
    variant: str
    provider: str
    runs: int
    load_ms: float | None
    bytes: Mapping[str, int]
    stages: tuple[Stage, ...]
    machine: Mapping[str, Any]

    def stage(self, kind: str, name: str = "") -> Stage:
        """The first stage of that kind (and name)."""
        return next(stage for stage in self.stages if stage.kind == kind and name in ("", stage.name))

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        stages = [{**asdict(stage), "ratio": stage.ratio} for stage in self.stages]
        return {**self.__dict__, "bytes": dict(self.bytes), "stages": stages, "machine": dict(self.machine)}

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(profile: Profile) -> Iterator[str]:
    machine = profile.machine
    provider = "" if profile.provider == CPU else f"  by provider '{profile.provider}'"
    yield f"{profile.bundle}  {profile.variant}{provider}"
    loaded = "" if profile.load_ms is None else f", loaded in {profile.load_ms:.0f} ms"
    yield f"  {sum(profile.bytes.values()) / 2**20:.2f} MiB in {len(profile.bytes)} graphs{loaded}"
    yield (
        f"  {machine['cpu']}, {machine['cores']} cores, load {machine['load']} to {machine['load_after']}, "
        f"onnxruntime {machine['versions']['onnxruntime']}; {profile.runs} runs each, in turns"
    )
    yield ""
    yield f"{'':44}{'edgemm, us':^27}  {'bare ONNX Runtime, us':^27}  {'floor':>8}  {'ratio':>7}"
    columns = f"{'p50':>9}{'p95':>9}{'p99':>9}"
    yield f"{'':44}{columns}  {columns}  {'p50':>8}  {'of p25':>7}"
    for stage in profile.stages:
        ratio = "" if stage.ratio is None else f"{stage.ratio:.3f}"
        floor = "" if stage.floor is None else f"{stage.floor.p50_us:.1f}"
        name = stage.kind if stage.name == stage.kind else f"{stage.kind} {stage.name}"
        yield f"  {name:<42}{_cells(stage.edgemm)}  {_cells(stage.bare)}  {floor:>8}  {ratio:>7}".rstrip()
    yield ""
    yield "ratio: edgemm over bare, of p25, which a busy machine disturbs least. total: nodes and result; inputs come on top."


def _cells(times: Percentiles | None) -> str:
    return " " * 27 if times is None else f"{times.p50_us:>9.1f}{times.p95_us:>9.1f}{times.p99_us:>9.1f}"
