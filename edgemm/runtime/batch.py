"""Several streams of one model, advanced together: what is due in many of them runs as rows of one batch.

A batch pays where a run costs more than the copying of its rows; that is measured once per graph when the batch is made, on this machine,
and a graph for which it does not pay, or whose rows see one another, runs stream by stream as ever. Each stream keeps its own cells, state,
failures and rules, so results are those of separate streams. It knows nothing of threads: one thread pushes for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic_ns, perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from edgemm.errors import InputError, UsageError
from edgemm.model.graph import ModelGraph
from edgemm.outputs.results import Result
from edgemm.runners.values import Bound, Value, bind
from edgemm.runtime.cells import NEVER
from edgemm.runtime.schedule import Live
from edgemm.runtime.single_pass import SinglePass, by_key
from edgemm.runtime.steps import Once

_MEASURED_RUNS, _SINGLES = 9, 4
_GAIN = 0.9  # of a single run's time: what gains less is eaten by the gathering of who is due
_LIMIT = 64
_ROUNDING = (
    0.01  # of an output's largest value: FP16 adds up a larger batch in another order, and does not come near this
)

_Arrived = list[tuple[int, int]]  # (stream, time)
_Due = list[tuple[int, int, Once]]  # (stream, time, its step)
_Plan = list[tuple[bool, tuple[Once, ...]]]  # of a node: whether it runs together, and its step in each stream


class Measured(NamedTuple):
    """What a graph was found to cost when the batch was made, copying included.

    Attributes:
        pays: whether rows of several streams run together.
        rows: of the largest batch that was tried; 0 for none.
        row_us: of one row in it, the shortest of several runs.
        single_us: of a run of one stream alone, likewise.
        reason: why none was tried, or may not be used.
    """

    pays: bool
    rows: int = 0
    row_us: float = 0.0
    single_us: float = 0.0
    reason: str = ""


class BatchInputError(InputError):
    """The values of some streams did not fit. The other streams have taken theirs.

    Attributes:
        errors: stream -> why its value did not fit.
        results: of each stream, what `push` would have returned.
    """

    def __init__(self, errors: Mapping[int, InputError], results: Sequence[Result | None]) -> None:
        super().__init__("; ".join(f"stream {index}: {error}" for index, error in errors.items()))
        self.errors = dict(errors)
        self.results = list(results)


class Batch:
    """Streams of one model that one thread pushes into at once.

    Args:
        graph: the model.
        runners: graph name -> runner, shared by all streams.
        streams: how many.
        options: of each stream, as `Live` takes them.

    Attributes:
        streams: each as `Model.live` makes it; push single values, reset, end, tick and resume loops there.
        batched: graph -> what was measured, and whether its rows run together.
    """

    def __init__(self, graph: ModelGraph, runners: Mapping[str, Any], streams: int, **options: Any) -> None:
        if not 1 <= streams <= _LIMIT:
            raise UsageError(f"a batch has 1 to {_LIMIT} streams, got {streams}")
        self._graph, self._runners = graph, runners
        self._rows: dict[tuple[str, int], _Rows] = {}
        # measured on streams of their own: what these have seen, nobody else has
        trial = [Live(graph, runners, **options) for _ in range(streams)] if streams > 1 else []
        self.batched = {name: self._measure(name, trial) for name in graph.graph_names}
        self.streams = tuple(Live(graph, runners, **options) for _ in range(streams))
        self._plans = {name: self._plan(self.streams[0].plan(name)) for name in graph.inputs}
        self._together = {name for name, plan in self._plans.items() if any(together for together, _ in plan)}
        self._untimed = self._plan(step for step in self.streams[0].steps.values() if not step.period_ns)

    def push(
        self, name: str, values: Sequence[Any], captured_ns: int | Sequence[int] | None = None
    ) -> list[Result | None]:
        """Take one value per stream, None for a stream that has none now, and run what they set off.

        Args:
            name: the input.
            values: one per stream, in order.
            captured_ns: when they were captured: one time for all, or one per stream.

        Returns:
            The newest result of each stream, or None while its policy says not yet.

        Raises:
            UsageError: not one value per stream.
            UnknownNameError: the model has no such input.
            BatchInputError: values do not fit; their streams go on as if they had not come, and the others as if nothing had happened.
        """
        count = len(self.streams)
        # asked in this order: what is abstract takes a microsecond
        one = captured_ns is None or isinstance(captured_ns, int) or not isinstance(captured_ns, (Sequence, np.ndarray))
        times: Sequence[Any] = (captured_ns,) * count if one else captured_ns  # type: ignore[assignment]
        if len(values) != count or len(times) != count:
            raise UsageError(f"this batch has {count} streams: give one value for each, got {len(values)}")
        results: list[Result | None] = [None] * count
        errors: dict[int, InputError] = {}
        waiting: dict[int, Iterator[int]] = {}
        apart = name not in self._together
        for index, value in enumerate(values):
            if value is None:
                continue
            try:
                if apart:
                    results[index] = self.streams[index].push(name, value, times[index])
                else:
                    arrivals, results[index] = self.streams[index].arrive(name, value, times[index])
                    waiting[index] = iter(arrivals)
            except InputError as error:
                errors[index] = error
        while waiting:
            arrived = list(_next_arrivals(waiting, errors))
            waiting = {index: waiting[index] for index, _ in arrived}
            for index, result in self._run_due(name, arrived):
                results[index] = result
        if errors:
            raise BatchInputError(errors, results)
        return results

    def _run_due(self, name: str, arrived: _Arrived) -> Iterator[tuple[int, Result]]:
        """Run what is due after an arrival in these streams; a result of each whose outputs changed."""
        started_ns = monotonic_ns()
        answered = set()
        # a stream with a failing node has more to try
        failing = any(self.streams[index].failing for index, _ in arrived)
        for together, steps in self._untimed if failing else self._plans[name]:
            due = [(index, at_ns, steps[index]) for index, at_ns in arrived if steps[index].due(at_ns)]
            if together and len(due) > 1:
                self._run_together(due)
            else:
                for index, at_ns, step in due:
                    self.streams[index].run(step, at_ns)
            if steps[0].answers:
                answered |= {index for index, _, step in due if step.speaks}
        for index, at_ns in arrived:
            if index in answered:
                yield index, self.streams[index].answer(at_ns, started_ns)

    def _run_together(self, due: _Due) -> None:
        captured = [(each, each[2].prepare(each[1])) for each in due]
        ready = [(each, captured_ns) for each, captured_ns in captured if captured_ns != NEVER]
        if len(ready) > 1:
            steps = [step for (_, _, step), _ in ready]
            try:
                outputs = self._rows_of(steps[0].node.graph, len(steps)).run(steps)
            except Exception:  # one stream's row may be at fault: alone, only that stream is quarantined
                outputs = []
            for ((index, at_ns, step), captured_ns), values in zip(ready, outputs, strict=False):
                self.streams[index].settle(step, values, at_ns, captured_ns)
            if outputs:
                return
        for (index, at_ns, step), _ in ready:
            self.streams[index].run(step, at_ns)

    def _plan(self, steps: Any) -> _Plan:
        """The same steps of every stream, in order."""
        return [
            (
                self.batched[step.node.graph].pays and not step.loops,
                tuple(live.steps[step.node.name] for live in self.streams),
            )
            for step in steps
        ]

    def _rows_of(self, graph: str, count: int) -> _Rows:
        if (graph, count) not in self._rows:
            self._rows[graph, count] = _Rows(self._runners[graph], count)
        return self._rows[graph, count]

    def _measure(self, graph: str, trial: Sequence[Live]) -> Measured:
        """Whether a row of a batch of all streams is cheaper than a single run.

        Larger and larger batches are tried while their rows get cheaper, since what a session once needed for a large one it keeps.
        """
        found = [next((s for s in live.steps.values() if s.node.graph == graph and _joins(s)), None) for live in trial]
        steps = [step for step in found if step is not None]
        if not steps:
            return Measured(False, reason="runs step by step, or at a rate of its own" if trial else "one stream")
        rows, count, row_us, before_us, pays = None, 0, 0.0, 0.0, False
        try:
            single_us = min(_shortest_us(partial(_run_alone, step)) for step in steps[:_SINGLES])
            for count in _doubled_to(len(steps)):
                rows = _Rows(self._runners[graph], count)
                row_us = _shortest_us(partial(rows.run, steps[:count])) / count
                pays = row_us < _GAIN * single_us
                if not pays and before_us and row_us > _GAIN * before_us:
                    break
                before_us = row_us
            if pays and (mixed := _mixed(self._graph, self._runners, graph)):
                return Measured(False, reason=mixed)
        except Exception as error:  # a fixed batch axis, too many rows for an engine, zeros that it does not like
            return Measured(False, reason=f"{type(error).__name__}: {error}")
        if pays and rows is not None:
            self._rows[graph, count] = rows
        return Measured(pays, count, row_us, single_us)


def _next_arrivals(waiting: Mapping[int, Iterator[int]], errors: dict[int, InputError]) -> Iterator[tuple[int, int]]:
    """One arrival of each stream that has one more: a feed lends what it yields until its next is asked for."""
    for index, arrivals in waiting.items():
        try:
            at_ns = next(arrivals, None)
        except InputError as error:  # of a feed that finds out late
            errors[index] = error
        else:
            if at_ns is not None:
                yield index, at_ns


class _Rows:
    """A graph bound for a number of rows: gathers what as many steps read, runs once, and hands each step its row."""

    def __init__(self, runner: Any, count: int) -> None:
        self._bound: Bound = bind(runner, count)
        self._count = count
        self._feeds: dict[str, list[np.ndarray]] = {}  # graph input -> its rows, `(1, …)` each
        self._outputs: tuple[Value, ...] = ()

    def run(self, steps: Sequence[Once]) -> list[tuple[Value, ...]]:
        """Run the steps' graphs as one; the values that each step shall take as its outputs."""
        feeds = self._feeds
        for row, step in enumerate(steps):
            for name, array in step.binding.reads():
                into = (feeds[name] if name in feeds else self._open(name, array))[row]
                if into.shape != array.shape:  # numpy would repeat what is smaller
                    raise ValueError(f"rows of '{name}' differ in shape")
                into[...] = array
        if not self._outputs:
            self._outputs = self._bound.new_outputs()
        self._bound.run(self._outputs)
        handed = []
        for row, step in enumerate(steps):
            outputs = step.binding.buffers.next()
            for value, made in zip(outputs, self._outputs, strict=True):
                value.put(made.array[row])
            handed.append(outputs)
        return handed

    def _open(self, name: str, array: np.ndarray) -> list[np.ndarray]:
        whole = np.zeros((self._count, *array.shape[1:]), array.dtype)
        self._bound.feed(name, whole)
        # views made once: making one takes as long as filling a small one
        rows = self._feeds[name] = [whole[row : row + 1] for row in range(self._count)]
        return rows


def _mixed(model: ModelGraph, runners: Mapping[str, Any], graph: str) -> str:
    """Why rows of a graph may not run together though it pays: an output of two rows that is not that of each alone; "" where there is none.

    Rows are drawn, since rows that are alike would not be seen to mix.
    """
    generator = np.random.default_rng(0)
    drawn = by_key(model.inputs, {name: kind.draw(2, generator) for name, kind in model.inputs.items()})
    alone = [
        SinglePass(model, runners, {key: array[row : row + 1] for key, array in drawn.items()}) for row in range(2)
    ]
    for node in model.nodes:
        if node.graph != graph or any(node.name not in done.feeds for done in alone):
            continue
        fed = [done.feeds[node.name] for done in alone]
        together = runners[graph].run({name: np.concatenate([feeds[name] for feeds in fed]) for name in fed[0]})
        for output, rows in zip(node.outputs, together, strict=True):
            if not _same(rows, np.concatenate([done.values[node.name][output] for done in alone])):
                return f"rows see one another: '{node.name}.{output}' is not the same in a batch as alone"
    return ""


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype.kind != "f":
        return np.array_equal(one, other)
    largest = float(np.abs(other).max(initial=0.0))
    return bool(np.allclose(one, other, rtol=0.0, atol=_ROUNDING * largest, equal_nan=True))


def _joins(step: Once) -> bool:
    """Whether a step may run together with those of other streams: where all are pushed at once."""
    return not step.loops and not step.period_ns


def _run_alone(step: Once) -> None:
    step.binding.run()
    step.binding.wait()


def _doubled_to(most: int) -> list[int]:
    """1, 2, 4, … and `most`."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


def _shortest_us(run: Callable[[], object]) -> float:
    """Of several runs, after one that warms up: whoever else works here makes a run longer, never shorter."""
    run()
    times = []
    for _ in range(_MEASURED_RUNS):
        started = perf_counter_ns()
        run()
        times.append(perf_counter_ns() - started)
    return min(times) / 1e3
