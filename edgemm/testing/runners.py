"""The contract of runners: one compiled graph, run by itself and bound to a stream's values. Knows neither bundles nor what a graph computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgemm.errors import InputError
from edgemm.host.interfaces import Runner
from edgemm.runners.values import HOST, Bound, HostValue, Value, bind
from edgemm.tensors import TensorSpec
from edgemm.testing.contract import ABSOLUTE, RELATIVE, ContractError, expect

Arrays = dict[str, np.ndarray]
Draw = Callable[[int, np.random.Generator], Mapping[str, np.ndarray]]

_SMALL_INTEGERS = 4  # indices that any table has


@dataclass(frozen=True)
class _Case:
    """The runner, and legal inputs for it."""

    runner: Runner
    draw: Draw
    generator: np.random.Generator
    relative: float
    absolute: float

    def feeds(self, batch: int = 1) -> Arrays:
        """Contiguous random inputs."""
        return {name: np.ascontiguousarray(array) for name, array in self.draw(batch, self.generator).items()}

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """What it computes, copied."""
        return [array.copy() for array in self.runner.run(feeds)]

    def expect_same(self, what: str, got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> None:
        """Raise unless both are the same, up to the tolerance."""
        for spec, one, other in zip(self.runner.outputs, got, wanted, strict=True):
            same = one.shape == other.shape and np.allclose(
                one.astype(np.float64), other.astype(np.float64), self.relative, self.absolute, equal_nan=True
            )
            expect(same, f"{what}: output '{spec.name}' is {_short(one)}, expected {_short(other)}")


def check_runner(
    runner: Runner,
    draw: Draw | None = None,
    *,
    batches: Sequence[int] = (1, 3),
    seed: int = 0,
    relative: float = RELATIVE,
    absolute: float = ABSOLUTE,
) -> None:
    """Check everything that EdgeMM asks of a runner: declared tensors, results of the caller's own, rows that do not see each other, and that it
    does the same when it is bound, by its own `bind` or without one.

    Args:
        runner: loaded; it is closed afterwards.
        draw: `(batch, generator)` -> input -> array `(batch, …)`, for graphs that do not take any numbers; without it floats are normal, bytes
            of any value, and other integers below 4.
        batches: rows to bind for, where the graph's first axis is dynamic.
        seed: draws the inputs.
        relative, absolute: how far the answers of two runs may be apart, as `numpy.allclose` takes them.

    Raises:
        ContractError: for the first thing that does not hold.
    """
    _check_tensors(runner)
    case = _Case(runner, draw or _drawn_for(runner.inputs), np.random.default_rng(seed), relative, absolute)
    dynamic = all(spec.shape and isinstance(spec.shape[0], str) for spec in runner.inputs)
    try:
        _check_run(case)
        for batch in batches if dynamic else (1,):
            if dynamic:
                _check_rows(case, batch)
            _check_feeds(case, batch)
        _check_outputs(case)
        _check_links(case)
        _check_independence(case)
    finally:
        runner.close()
    runner.close()
    try:
        runner.run(case.feeds())
    except Exception:  # whichever class it is: what was closed must not answer
        return
    raise ContractError("run() still answers after close()")


def _check_tensors(runner: Runner) -> None:
    for kind, specs in (("inputs", runner.inputs), ("outputs", runner.outputs)):
        wrong = [spec for spec in specs if not isinstance(spec, TensorSpec)]
        expect(not wrong, f"{kind}: expected a sequence of edgemm.tensors.TensorSpec, got {wrong[:1]}")
        names = [spec.name for spec in specs]
        expect(len(set(names)) == len(names), f"{kind}: a name is there twice: {', '.join(names)}")
    expect(bool(runner.outputs), "outputs: a graph has at least one")


def _check_run(case: _Case) -> None:
    """Outputs as declared, inputs left alone, results that belong to the caller."""
    feeds = case.feeds()
    given = {name: array.copy() for name, array in feeds.items()}
    answer = case.runner.run(feeds)
    expect(
        len(answer) == len(case.runner.outputs),
        f"run() gave {len(answer)} arrays, {len(case.runner.outputs)} are declared",
    )
    for spec, array in zip(case.runner.outputs, answer, strict=True):
        _expect_fits(spec, array, 1)
    changed = [name for name, array in feeds.items() if not np.array_equal(array, given[name])]
    expect(not changed, f"run() changes its input '{changed[:1]}'")
    kept = [array.copy() for array in answer]
    case.runner.run(case.feeds())
    moved = [s.name for s, a, b in zip(case.runner.outputs, answer, kept, strict=True) if not _equal(a, b)]
    expect(not moved, f"output '{moved[:1]}' of run() is overwritten by the next run: it belongs to the caller")
    case.expect_same("the same inputs again", case.run(given), kept)


def _check_rows(case: _Case, batch: int) -> None:
    feeds = case.feeds(batch)
    together = case.run(feeds)
    for row in range(batch):
        alone = case.run({name: array[row : row + 1] for name, array in feeds.items()})
        case.expect_same(f"row {row} of {batch}, alone", alone, [array[row : row + 1] for array in together])


def _check_feeds(case: _Case, batch: int) -> None:
    """Bound, it computes what `run` does, on what its arrays hold at each run."""
    bound = bind(case.runner, batch)
    feeds, outputs = case.feeds(batch), bound.new_outputs()
    for spec, value in zip(case.runner.outputs, outputs, strict=True):
        expect(
            isinstance(value.memory, str), f"memory of a value: expected text such as '{HOST}', got {value.memory!r}"
        )
        if _is_fixed(spec):
            _expect_fits(spec, value.array, batch)
            expect(not value.array.any(), f"new_outputs(): output '{spec.name}' is not zero")
    for name, array in feeds.items():
        bound.feed(name, array)
    for what in ("bound", "bound, with arrays changed in place"):
        bound.run(outputs)
        case.expect_same(f"{what}, {batch} rows", _arrays(outputs), case.run(feeds))
        for name, array in case.feeds(batch).items():
            feeds[name][...] = array
    feeds = case.feeds(batch)
    for name, array in feeds.items():
        bound.feed(name, array)
    bound.run(outputs)
    case.expect_same("bound, with other arrays fed", _arrays(outputs), case.run(feeds))
    bound.wait()
    for way in ("up", "down"):
        count = bound.copied_bytes.get(way)
        expect(
            isinstance(count, int) and count >= 0, f"copied_bytes['{way}']: expected a count of bytes, got {count!r}"
        )


def _check_outputs(case: _Case) -> None:
    """A run writes into the values that it is given, and no others; values can be read, set and cleared."""
    bound = _bound(case, first := case.feeds())
    one, other = bound.new_outputs(), bound.new_outputs()
    bound.run(one)
    wanted, second = case.run(first), case.feeds()
    for name, array in second.items():
        bound.feed(name, array)
    bound.run(other)
    case.expect_same("a run into other values changes the ones before", _arrays(one), wanted)
    case.expect_same("a run into other values", _arrays(other), case.run(second))
    for value, array in zip(one, wanted, strict=True):
        value.clear()
        expect(not value.array.any(), "clear() leaves something in a value")
        if array.ndim and len(array) == 1:
            value.put(array[0])
            expect(_equal(value.array, array), f"put(row): a value is {_short(value.array)}, expected {_short(array)}")
            row = value.row()
            expect(_equal(row, array[0]), f"row(): {_short(row)}, expected {_short(array[0])}")
            value.clear()
            expect(_equal(row, array[0]), "row() changes with its value: it must be a copy")


def _check_links(case: _Case) -> None:
    """Another node's output is read at each run: on the host, moving or not, and where this runner writes."""
    feeds = case.feeds()
    bound = _bound(case, feeds)
    outputs = bound.new_outputs()
    for name in feeds:
        for fixed in (True, False):
            value = HostValue(feeds[name].copy(), fixed=fixed)
            bound.link(name, value)
            for _ in range(2):
                feeds[name] = case.feeds()[name]
                if fixed:
                    value.array[...] = feeds[name]
                else:
                    value.array = feeds[name]
                bound.run(outputs)
                case.expect_same(f"input '{name}' linked to a value on the host", _arrays(outputs), case.run(feeds))
    for place, written in enumerate(case.runner.outputs):
        for read in case.runner.inputs:
            same = written.dtype == read.dtype and written.shape[1:] == read.shape[1:]
            if same and np.dtype(read.dtype).kind == "f":  # of integers not all may be legal
                _check_chain(case, place, read.name)


def _check_chain(case: _Case, place: int, name: str) -> None:
    """`name` reads what another binding writes at `place`, run after run."""
    first, second = (_bound(case, feeds := case.feeds()), _bound(case, others := case.feeds()))
    between, last = first.new_outputs(), second.new_outputs()
    second.link(name, between[place])
    for _ in range(3):
        for tensor, array in case.feeds().items():
            feeds[tensor][...] = array
        first.run(between)
        second.run(last)
        wanted = case.run({**others, name: case.run(feeds)[place]})
        case.expect_same(f"input '{name}' linked to an output of another binding", _arrays(last), wanted)


def _check_independence(case: _Case) -> None:
    one, other = case.feeds(), case.feeds()
    first, second = _bound(case, one), _bound(case, other)
    outputs = first.new_outputs(), second.new_outputs()
    first.run(outputs[0])
    second.run(outputs[1])
    wanted = case.run(one), case.run(other)
    for name, got, expected in zip(("first", "second"), outputs, wanted, strict=True):
        case.expect_same(f"the {name} of two bindings", _arrays(got), expected)
    first.run(outputs[0])
    case.expect_same("the first of two bindings, after the second ran", _arrays(outputs[0]), wanted[0])


def _bound(case: _Case, feeds: Mapping[str, np.ndarray]) -> Bound:
    bound = bind(case.runner)
    for name, array in feeds.items():
        bound.feed(name, array)
    return bound


def _arrays(values: Sequence[Value]) -> list[np.ndarray]:
    return [value.array.copy() for value in values]


def _is_fixed(spec: TensorSpec) -> bool:
    """Whether every size is known once the batch is."""
    return all(isinstance(size, int) for size in spec.shape[1:])


def _drawn_for(specs: Sequence[TensorSpec]) -> Draw:
    def draw(batch: int, generator: np.random.Generator) -> Arrays:
        return {spec.name: _random(spec, batch, generator) for spec in specs}

    return draw


def _random(spec: TensorSpec, batch: int, generator: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    shape = tuple(size if isinstance(size, int) else 1 if axis else batch for axis, size in enumerate(spec.shape))
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    high = {"b": 2, "u": 256}.get(dtype.kind, _SMALL_INTEGERS)
    return generator.integers(0, high, shape).astype(dtype)


def _expect_fits(spec: TensorSpec, array: Any, batch: int) -> None:
    expect(isinstance(array, np.ndarray), f"output '{spec.name}': expected a numpy array, got {type(array).__name__}")
    try:
        spec.check(array)
    except InputError as error:
        raise ContractError(f"output: {error}") from error
    dynamic = bool(spec.shape) and isinstance(spec.shape[0], str)
    expect(not dynamic or len(array) == batch, f"output '{spec.name}': expected {batch} rows, got {len(array)}")


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _short(array: np.ndarray) -> str:
    return np.array2string(array, threshold=8, precision=5).replace("\n", " ")
