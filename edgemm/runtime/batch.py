"""Several streams of one model, advanced together: what is due in many of them runs as rows of one batch.

A batch pays where a run costs more than the copying of its rows; that is measured once per graph when the batch is made, on this machine,
and a graph for which it does not pay runs stream by stream as ever. Each stream keeps its own cells, state, failures and rules, so results are
those of separate streams. It knows nothing of threads: one thread pushes for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic_ns, perf_counter_ns
from typing import Any

import numpy as np

from edgemm.errors import InputError, UsageError
from edgemm.model.graph import ModelGraph
from edgemm.outputs.results import Result
from edgemm.runners.values import Bound, Value, bind
from edgemm.runtime.cells import NEVER
from edgemm.runtime.schedule import Live
from edgemm.runtime.steps import Once

_MEASURED_RUNS = 7
_LIMIT = 64

_Due = list[tuple[int, int]]  # (stream, time)


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
        clock: what time it is where the caller gives none.

    Attributes:
        streams: each as `Model.live` makes it; push single values, reset, end and tick there.
        batched: graph -> whether running its rows together pays here.
    """

    def __init__(self, graph: ModelGraph, runners: Mapping[str, Any], streams: int, **options: Any) -> None:
        if not 1 <= streams <= _LIMIT:
            raise UsageError(f"a batch has 1 to {_LIMIT} streams, got {streams}")
        self.streams = tuple(Live(graph, runners, **options) for _ in range(streams))
        self._runners = runners
        self._rows: dict[tuple[str, int], _Rows] = {}
        self.batched = {name: streams > 1 and self._pays(name, streams) for name in graph.graph_names}
        steps = self.streams[0].steps
        self._together = {name: self.batched[step.node.graph] and not step.loops for name, step in steps.items()}

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
        times = list(captured_ns) if isinstance(captured_ns, (Sequence, np.ndarray)) else [captured_ns] * count
        if len(values) != count or len(times) != count:
            raise UsageError(f"this batch has {count} streams: give one value for each, got {len(values)}")
        results: list[Result | None] = [None] * count
        errors: dict[int, InputError] = {}
        waiting: dict[int, Iterator[int]] = {}
        for index, (live, value, at_ns) in enumerate(zip(self.streams, values, times, strict=True)):
            if value is not None:
                try:
                    arrivals, results[index] = live.arrive(name, value, at_ns)
                except InputError as error:
                    errors[index] = error
                else:
                    waiting[index] = iter(arrivals)
        while waiting:
            arrived = list(_next_arrivals(waiting, errors))
            waiting = {index: waiting[index] for index, _ in arrived}
            for index, result in self._run_due(name, arrived):
                results[index] = result
        if errors:
            raise BatchInputError(errors, results)
        return results

    def _run_due(self, name: str, arrived: _Due) -> Iterator[tuple[int, Result]]:
        """Run what is due after an arrival in these streams; a result of each whose outputs changed."""
        started_ns = monotonic_ns()
        answered = set()
        for node in self._plan(name, arrived):
            due = [(index, at_ns) for index, at_ns in arrived if self.streams[index].steps[node].due(at_ns)]
            if len(due) > 1 and self._together[node]:
                self._run_together(node, due)
            else:
                for index, at_ns in due:
                    live = self.streams[index]
                    live.run(live.steps[node], at_ns)
            answered |= {index for index, _ in due if self.streams[index].steps[node].speaks}
        for index, at_ns in arrived:
            if index in answered:
                yield index, self.streams[index].answer(at_ns, started_ns)

    def _plan(self, name: str, arrived: _Due) -> list[str]:
        """The nodes that may run, in order; a stream with a failing node has more to try."""
        plans = [self.streams[index].plan(name) for index, _ in arrived]
        return [step.node.name for step in max(plans, key=len, default=())]

    def _run_together(self, node: str, due: _Due) -> None:
        ready: list[tuple[int, int, Once, int]] = []
        for index, at_ns in due:
            step = self.streams[index].steps[node]
            captured_ns = step.prepare(at_ns)
            if captured_ns != NEVER:
                ready.append((index, at_ns, step, captured_ns))
        if not ready:
            return
        rows = self._rows_of(ready[0][2].node.graph, len(ready))
        try:
            outputs = rows.run([step for _, _, step, _ in ready])
        except Exception:  # one stream's row may be at fault: alone, only that stream is quarantined
            for index, at_ns, step, _ in ready:
                self.streams[index].run(step, at_ns)
            return
        for (index, at_ns, step, captured_ns), values in zip(ready, outputs, strict=True):
            self.streams[index].settle(step, values, at_ns, captured_ns)

    def _rows_of(self, graph: str, count: int) -> _Rows:
        if (graph, count) not in self._rows:
            self._rows[graph, count] = _Rows(self._runners[graph], count)
        return self._rows[graph, count]

    def _pays(self, graph: str, streams: int) -> bool:
        """Whether a batch of all streams is faster than as many single runs, copying included."""
        steps = [next(s for s in live.steps.values() if s.node.graph == graph) for live in self.streams]
        try:
            rows = self._rows_of(graph, streams)
            rows.run(steps)
        except Exception:  # a graph whose batch axis is fixed, or too large a batch for an engine
            return False
        together, apart = [], []
        for _ in range(_MEASURED_RUNS):
            before = perf_counter_ns()
            rows.run(steps)
            between = perf_counter_ns()
            for step in steps:
                step.run_graph()
            for step in steps:
                step.wait()
            together.append(between - before)
            apart.append(perf_counter_ns() - between)
        for step in steps:
            step.reset()
        return sorted(together)[_MEASURED_RUNS // 2] < sorted(apart)[_MEASURED_RUNS // 2]


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
        self._feeds: dict[str, np.ndarray] = {}
        self._outputs: tuple[Value, ...] = ()

    def run(self, steps: Sequence[Once]) -> list[tuple[Value, ...]]:
        """Run the steps' graphs as one; the values that each step shall take as its outputs."""
        for row, step in enumerate(steps):
            for name, array in step.reads():
                if name not in self._feeds:
                    self._feeds[name] = np.zeros((self._count, *array.shape[1:]), array.dtype)
                    self._bound.feed(name, self._feeds[name])
                elif self._feeds[name].shape[1:] != array.shape[1:]:  # numpy would repeat what is smaller
                    raise ValueError(f"rows of '{name}' differ in shape")
                self._feeds[name][row] = array[0]
        if not self._outputs:
            self._outputs = self._bound.new_outputs()
        self._bound.run(self._outputs)
        handed = []
        for row, step in enumerate(steps):
            outputs = step.next_outputs()
            for value, made in zip(outputs, self._outputs, strict=True):
                value.put(made.array[row])
            handed.append(outputs)
        return handed
