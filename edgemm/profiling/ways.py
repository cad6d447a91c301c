"""What takes turns in a profile: a stream's steps, plain `session.run`, and sessions bound once.

All three run the same nodes on the same rows, with presence and masks as a single pass gives them. On a device each node is waited for, so that
the time that it takes is its own; a stream waits only where it looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np

from edgemm.bundle.files import Bundle
from edgemm.checking.vectors import load_vectors
from edgemm.runners.values import HOST, Value, bind
from edgemm.runtime.model import Model
from edgemm.runtime.single_pass import SinglePass, by_key, specs_by_key

Times = dict[str, list[int]]
Way = Callable[[int, Times], None]
Row = Mapping[str, np.ndarray]

TOTAL = "total"
_STEP_NS = 33_000_000
_MADE_UP_ROWS = 4


def streamed(model: Model, rows: Sequence[Row]) -> Way:
    """What a stream does: take the tensors, run the steps, make the result."""
    live = model.live()
    waits = {name: step.binding.wait for name, step in live.steps.items() if _on_device(step.cell.values)}
    now_ns = 0

    def run(index: int, times: Times) -> None:
        nonlocal now_ns
        now_ns += _STEP_NS
        row = rows[index % len(rows)]
        total = 0
        started = before = perf_counter_ns()
        for name, cell in live.inputs.items():
            cell.take(tuple(row[key] for key in specs_by_key({name: cell.kind})), now_ns)
        for name, step in live.steps.items():
            step.run(now_ns)
            if name in waits:
                waits[name]()
            spent = perf_counter_ns() - before
            total += spent
            if not step.skipped:
                times.setdefault(f"node {name}", []).append(spent)
            before = perf_counter_ns()
        live.answer(now_ns, started)
        spent = perf_counter_ns() - before
        times.setdefault("result", []).append(spent)
        times.setdefault(TOTAL, []).append(total + spent)

    return run


def bare(model: Model, rows: Sequence[Row]) -> Way:
    """`session.run(None, feeds)` per node; building the feeds is not counted, so that nothing flatters us."""
    calls = {graph: _plain(runner) for graph, runner in model.runners.items()}
    passes = [SinglePass(model.graph, model.runners, row).feeds for row in rows]
    plans = [[(name, calls[model.graph.node(name).graph], feeds) for name, feeds in each.items()] for each in passes]

    def run(index: int, times: Times) -> None:
        total = 0
        for name, call, feeds in plans[index % len(plans)]:
            before = perf_counter_ns()
            call(feeds)
            spent = perf_counter_ns() - before
            times.setdefault(f"node {name}", []).append(spent)
            total += spent
        times.setdefault(TOTAL, []).append(total)

    return run


def floor(model: Model, row: Row) -> Way:
    """Everything bound once, inputs that never change."""
    graphs = []
    for name, feeds in SinglePass(model.graph, model.runners, row).feeds.items():
        bound = bind(model.runners[model.graph.node(name).graph])
        for tensor, array in feeds.items():
            bound.feed(tensor, np.ascontiguousarray(array))
        outputs = bound.new_outputs()
        graphs.append((name, bound, outputs, _on_device(outputs)))

    def run(index: int, times: Times) -> None:
        total = 0
        for name, bound, outputs, on_device in graphs:
            before = perf_counter_ns()
            bound.run(outputs)
            if on_device:
                bound.wait()
            spent = perf_counter_ns() - before
            times.setdefault(f"node {name}", []).append(spent)
            total += spent
        times.setdefault(TOTAL, []).append(total)

    return run


def converted(model: Model) -> Way:
    """Raw values as sources deliver them, through each input's feed."""
    generator = np.random.default_rng(0)
    feeds = {name: kind.open_feed() for name, kind in model.graph.inputs.items()}
    values = {name: kind.example(generator) for name, kind in model.graph.inputs.items()}
    titles = {name: f"{name}: {kind.describe()}" for name, kind in model.graph.inputs.items()}
    now_ns = 0

    def run(index: int, times: Times) -> None:
        nonlocal now_ns
        now_ns += _STEP_NS
        for name, feed in feeds.items():
            before = perf_counter_ns()
            for _ in feed.push(values[name], now_ns):
                pass
            times.setdefault(titles[name], []).append(perf_counter_ns() - before)

    return run


def test_rows(model: Model) -> list[dict[str, np.ndarray]]:
    """The test vectors' inputs row by row `(1, …)`, those in which most nodes find something; made-up ones where a bundle has none."""
    tensors = _tensors(model.bundle, model)
    count = min(len(tensor) for tensor in tensors.values())
    rows = [{key: np.ascontiguousarray(tensor[i : i + 1]) for key, tensor in tensors.items()} for i in range(count)]
    found = [sum(bool(column[0]) for column in model.run(row).usable.values()) for row in rows]
    return [row for row, usable in zip(rows, found, strict=True) if usable == max(found)]


def _tensors(bundle: Bundle, model: Model) -> dict[str, np.ndarray]:
    if bundle.manifest.vectors:
        vectors = load_vectors(bundle)
        return {key: vectors[f"input.{key}"] for key in specs_by_key(model.graph.inputs)}
    generator = np.random.default_rng(0)
    drawn = {name: kind.draw(_MADE_UP_ROWS, generator) for name, kind in model.graph.inputs.items()}
    return by_key(model.graph.inputs, drawn)


def _on_device(values: Sequence[Value]) -> bool:
    return any(value.memory != HOST for value in values)


def _plain(runner: Any) -> Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]:
    """`session.run` itself where there is a session."""
    session = getattr(runner, "session", None)
    return runner.run if session is None else lambda feeds: session.run(None, feeds)
