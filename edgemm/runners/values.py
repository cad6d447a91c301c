"""Values on their way between nodes, and the fallback that binds any runner.

A value stays where its runner computed it. A runner that reads the same memory is handed the value itself; another one reads its
`array`, which is copied from the device once per run, here and nowhere else. It knows nothing of nodes or streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import fsum, isfinite
from typing import Any, Protocol

import numpy as np

from edgemm.tensors import TensorSpec

HOST = "host"
_FEW = 64  # numbers
_SUMMED = (np.dtype(np.float32), np.dtype(np.float64))


class Value(Protocol):
    """One output of one node, overwritten at its next run.

    Attributes:
        memory: where it lies: `host`, or a device's memory such as `cuda:0`.
        array: its content in host memory; of a device value a copy, made at the first look after a run.
        handle: what its own runner binds without copying; None where there is nothing but the array.
        fixed: whether `array` is the same object after every run, so that it may be bound once.
    """

    memory: str
    handle: Any
    fixed: bool

    @property
    def array(self) -> np.ndarray:
        """Its content in host memory."""
        ...

    def put(self, row: np.ndarray) -> None:
        """Take the content of a host array, without its batch axis, as the only row."""
        ...

    def row(self) -> np.ndarray:
        """A copy of the only row, without its batch axis, in host memory."""
        ...

    def clear(self) -> None:
        """Fill it with zeros, where it lies."""
        ...


class HostValue:
    """An array in host memory."""

    __slots__ = ("_row", "array", "fixed", "handle")
    memory = HOST

    def __init__(self, array: np.ndarray, handle: Any = None, *, fixed: bool = True) -> None:
        self.array = array
        self.handle = handle
        self.fixed = fixed
        self._row = array[0] if fixed and len(array) else None  # making a view takes longer than copying a small one

    def put(self, row: np.ndarray) -> None:
        """Take a row's content."""
        if self.fixed:
            self.array[0] = row
        else:
            self.array = row[np.newaxis].copy()

    def row(self) -> np.ndarray:
        """A copy of the only row."""
        row: np.ndarray = self.array[0] if self._row is None else self._row
        return row.copy()

    def clear(self) -> None:
        """Fill it with zeros."""
        self.array.fill(0)


class Bound(Protocol):
    """One graph, bound to what one stream's node reads (IO binding): run again and again without copying what lies in its memory.

    A run on a device may return before it is done: whatever reads its outputs, on the device or through `array`, waits for it. Not thread-safe;
    several of one runner may be used on several threads. One that can be stopped from another thread has a method `interrupt()` too: what runs fails
    soon, and so does whatever would run later; a stream that closes calls it.

    Attributes:
        copied_bytes: what had to be copied between memories so far, `{"up": …, "down": …}` seen from the device.
    """

    @property
    def copied_bytes(self) -> Mapping[str, int]:
        """What was copied so far."""
        ...

    def new_outputs(self) -> tuple[Value, ...]:
        """Values of zeros, one per output in declared order, that a run can write into."""
        ...

    def feed(self, name: str, array: np.ndarray) -> None:
        """Read a host array at the next runs, in place where the runner can; it must stay alive, and may change between runs."""
        ...

    def link(self, name: str, value: Value) -> None:
        """Read another node's output at the next runs."""
        ...

    def run(self, outputs: Sequence[Value]) -> None:
        """Run, and write into `outputs`, which `new_outputs` made."""
        ...

    def wait(self) -> None:
        """Block until what was run is done: for who measures it. Copies nothing."""
        ...


class Runnable(Protocol):
    """As much of a runner as `PlainBound` needs."""

    outputs: Sequence[TensorSpec]

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in declared order."""
        ...


class PlainBound:
    """Binds any runner by feeding it by name; outputs are copied into arrays that last, where their shapes are fixed.

    Args:
        runner: what runs.
        batch: rows of each run.
    """

    def __init__(self, runner: Runnable, batch: int = 1) -> None:
        self._runner = runner
        self._batch = batch
        self._feeds: dict[str, np.ndarray] = {}
        self._linked: dict[str, Value] = {}
        self.copied_bytes: Mapping[str, int] = {"up": 0, "down": 0}

    def new_outputs(self) -> tuple[Value, ...]:
        """Values of zeros; dynamic axes are 1 until the first run."""
        return tuple(self._new(spec) for spec in self._runner.outputs)

    def _new(self, spec: TensorSpec) -> Value:
        fixed = all(isinstance(size, int) for size in spec.shape[1:])
        shape = (self._batch, *(size if isinstance(size, int) else 1 for size in spec.shape[1:]))
        return HostValue(np.zeros(shape, spec.dtype), fixed=fixed)

    def feed(self, name: str, array: np.ndarray) -> None:
        """Read `array` at the next runs."""
        self._linked.pop(name, None)
        self._feeds[name] = array

    def link(self, name: str, value: Value) -> None:
        """Read another node's output at the next runs."""
        self._linked[name] = value

    def run(self, outputs: Sequence[Value]) -> None:
        """Run and put what came out into `outputs`."""
        for name, value in self._linked.items():
            self._feeds[name] = value.array
        for value, made in zip(outputs, self._runner.run(self._feeds), strict=True):
            if value.fixed:
                np.copyto(value.array, made)
            else:
                value.array = made  # type: ignore[misc]

    def wait(self) -> None:
        """Nothing to wait for: a run returns when it is done."""


def few_numbers(*buffers: Iterable[Value]) -> dict[int, memoryview]:
    """By their values' identity, the numbers of small answers: Python adds them up faster than numpy, which leaves the caches colder too."""
    return {
        id(value): memoryview(value.array.reshape(-1))  # type: ignore[arg-type, unused-ignore]
        for values in buffers
        for value in values
        if value.fixed and value.memory == HOST and value.array.dtype in _SUMMED and value.array.size <= _FEW
    }


def is_sum_finite(numbers: memoryview) -> bool:
    """Whether a sum is finite, which NaN and infinity both survive."""
    try:
        return isfinite(fsum(numbers))
    except ValueError:  # infinities of both signs
        return False
    except OverflowError:  # of large numbers, each of which may be finite
        return all(map(isfinite, numbers))


def is_finite(array: np.ndarray) -> bool:
    """Whether it holds neither NaN nor infinity."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def all_finite(values: Iterable[Value]) -> bool:
    """Whether none of them holds NaN or infinity; what lies on a device is copied down."""
    return all(is_finite(value.array) for value in values)


def bind(runner: Any, batch: int = 1) -> Bound:
    """A runner's own way of being bound, or the plain one where it has none."""
    own = getattr(runner, "bind", None)
    bound: Bound = PlainBound(runner, batch) if own is None else own(batch)
    return bound
