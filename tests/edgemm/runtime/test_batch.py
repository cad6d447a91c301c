"""Several streams in a batch say what each of them says apart, whether their rows run together or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import MISFIT, Slow, Tensor, models, raw, scripts, shown

from edgemm.errors import InputError, UnknownNameError, UsageError
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runtime.batch import Batch, BatchInputError, Measured
from edgemm.runtime.schedule import Live
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.outputs.array import Array

MS = 1_000_000
STREAMS = 3


def forced(together, model, runners, streams=STREAMS):
    """A batch that runs rows together, all or those of the graphs that are named, without measuring what pays."""
    pays = (lambda graph: graph in together) if isinstance(together, set) else lambda graph: together
    kind = type("Forced", (Batch,), {"_measure": lambda self, graph, trial: Measured(pays(graph))})
    return kind(model, runners, streams)


@pytest.mark.parametrize("together", [True, False])
@given(data=st.data())
def test_streams_of_a_batch_say_what_they_say_apart(together, data):
    model = data.draw(models())
    inputs, runners, others = model.graph.inputs, model.runners(), model.runners()
    batch, apart = forced(together, model.graph, runners), [Live(model.graph, others) for _ in range(STREAMS)]
    for do, name, value, at in data.draw(scripts(model.graph, length=12)):
        if do in ("break", "mend"):
            runners[name].broken = others[name].broken = do == "break"
        elif do == "push":
            values, times = (
                data.draw(rows(value)),
                [at + data.draw(st.sampled_from([0, 0, 7 * MS])) for _ in range(STREAMS)],
            )
            assert pushed(batch, name, values, times, inputs) == pushed_apart(apart, name, values, times, inputs)
        else:
            some = data.draw(st.lists(st.sampled_from(range(STREAMS)), min_size=1, max_size=STREAMS, unique=True))
            for index in some:
                assert happened(batch.streams[index], do, name, at) == happened(apart[index], do, name, at)
    for one, other in zip(batch.streams, apart, strict=True):
        assert (one.late, one.failing, one.running) == (other.late, other.failing, other.running)


@st.composite
def rows(draw, value):
    """What each stream is given: a script's value, the same with other numbers, a misfit, or nothing."""
    return [draw(st.sampled_from([value, value, _other(value), None, MISFIT])) for _ in range(STREAMS)]


def _other(value):
    if isinstance(value, tuple):
        return (value[0] + 1, value[1])
    return value if value is MISFIT else [*value, 3] if isinstance(value, list) else value + 2


def pushed(batch, name, values, times, inputs):
    """Results and errors of each stream."""
    given_values = [None if value is None else raw(inputs[name], value) for value in values]
    try:
        return [shown(result) for result in batch.push(name, given_values, times)], {}
    except BatchInputError as error:
        return [shown(result) for result in error.results], {i: str(e) for i, e in error.errors.items()}


def pushed_apart(streams, name, values, times, inputs):
    results, errors = [None] * STREAMS, {}
    for index, (live, value, at) in enumerate(zip(streams, values, times, strict=True)):
        try:
            results[index] = None if value is None else shown(live.push(name, raw(inputs[name], value), at))
        except InputError as error:
            errors[index] = str(error)
    return results, errors


def happened(live, do, name, at):
    if do == "advance":
        return [shown(result) for result in live.advance(at)]
    if do in ("end", "reset", "reset all"):
        return live.end(name) if do == "end" else live.reset(name or None)
    return shown({"tick": live.tick, "resume": live.resume, "start": live.start}[do](at))


class Adder:
    """y = x + total, total = y, counting how often it runs, and how many rows at once."""

    def __init__(self, fixed_batch=None):
        first = BATCH if fixed_batch is None else fixed_batch
        self.inputs = (TensorSpec("x", "float32", (first, 1)), TensorSpec("before", "float32", (first, 1)))
        self.outputs = (TensorSpec("total", "float32", (first, 1)),)
        self.rows = []

    def run(self, feeds):
        rows = len(feeds["x"])
        if isinstance(self.inputs[0].shape[0], int) and rows != 1:
            raise RuntimeError("its batch is fixed")
        self.rows.append(rows)
        return [feeds["x"] + feeds["before"]]


def adding():
    node = Node("sum", "sum", edges(x="input.x"), ("total",), state={"total": "before"})
    return ModelGraph("adding", {"x": Tensor((1,))}, (node,), {"total": Output.of("sum.total", Array())})


def number(value):
    return np.array([value], np.float32)


def totals(results):
    return [None if result is None else float(result.outputs["total"][0]) for result in results]


def test_rows_that_pay_run_as_one():
    runner = Adder()
    batch = forced(True, adding(), {"sum": runner})
    assert totals(batch.push("x", [number(1), number(2), number(3)], 0)) == [1, 2, 3]
    assert totals(batch.push("x", [number(1), None, number(3)], 1)) == [2, None, 6]
    assert totals(batch.push("x", [None, number(5), None], 2)) == [None, 7, None]
    assert runner.rows == [3, 2, 1]


def test_rows_that_do_not_pay_run_one_by_one():
    runner = Adder()
    batch = forced(False, adding(), {"sum": runner})
    assert totals(batch.push("x", [number(1), number(2), number(3)], 0)) == [1, 2, 3]
    assert runner.rows == [1, 1, 1]


def test_measuring_what_pays_leaves_no_trace():
    runner = Adder()
    batch = Batch(adding(), {"sum": runner}, 2)
    assert {1, 2} <= set(runner.rows), "both ways were measured"
    assert totals(batch.push("x", [number(1), number(2)], 0)) == [1, 2]


class Timed(Adder):
    """Takes as long as a test says, by a clock of the test's."""

    def __init__(self, now, row_us):
        super().__init__()
        self._now, self._row_us = now, row_us

    def run(self, feeds):
        rows = len(feeds["x"])
        self._now[0] += int(1000 * rows * self._row_us(rows, self.rows.count(rows)))
        return super().run(feeds)


@pytest.mark.parametrize(("row_us", "pays"), [(89, True), (90, False), (100, False), (120, False)])
def test_what_pays_saves_a_tenth_of_each_row(row_us, pays, monkeypatch):
    now = [0]
    monkeypatch.setattr("edgemm.runtime.batch.perf_counter_ns", lambda: now[0])
    batch = Batch(adding(), {"sum": Timed(now, lambda rows, before: row_us if rows > 1 else 100)}, 2)
    assert batch.batched == {"sum": (pays, 2, row_us, 100, "")}


def test_the_shortest_of_what_is_measured_decides(monkeypatch):
    now = [0]
    monkeypatch.setattr("edgemm.runtime.batch.perf_counter_ns", lambda: now[0])
    hiccups = Timed(now, lambda rows, before: (50 if rows > 1 else 100) if before == 3 else 10_000)
    batch = Batch(adding(), {"sum": hiccups}, 2)
    assert batch.batched == {"sum": (True, 2, 50, 100, "")}


def test_larger_batches_are_tried_while_their_rows_get_cheaper(monkeypatch):
    now = [0]
    monkeypatch.setattr("edgemm.runtime.batch.perf_counter_ns", lambda: now[0])
    costs = {1: 100, 2: 95, 4: 40, 8: 30}
    runner = Timed(now, lambda rows, before: costs[rows])
    assert Batch(adding(), {"sum": runner}, 8).batched == {"sum": (False, 2, 95, 100, "")}
    assert max(runner.rows) == 2, "a session keeps what it once needed for a large batch"
    costs[2] = 89
    assert Batch(adding(), {"sum": runner}, 8).batched == {"sum": (True, 8, 30, 100, "")}
    assert set(runner.rows) == {1, 2, 4, 8}


def test_a_row_alone_that_costs_more_in_a_batch_says_nothing_of_larger_ones(monkeypatch):
    now = [0]
    monkeypatch.setattr("edgemm.runtime.batch.perf_counter_ns", lambda: now[0])
    singles = 4 * 10  # the runs of streams alone, before batches are tried
    costs = {2: 95, 4: 40, 8: 30}
    runner = Timed(now, lambda rows, before: costs.get(rows, 100 if before < singles else 200))
    assert Batch(adding(), {"sum": runner}, 8).batched == {"sum": (True, 8, 30, 100, "")}


def test_a_run_alone_is_measured_until_it_is_done(monkeypatch):
    now = [0]
    monkeypatch.setattr("edgemm.runtime.batch.perf_counter_ns", lambda: now[0])
    # as on a device: a run returns at once, and who waits for it takes as long as it takes
    monkeypatch.setattr("edgemm.runtime.binding.Binding.wait", lambda self: now.__setitem__(0, now[0] + 100_000))
    runner = Timed(now, lambda rows, before: 80 if rows > 1 else 0)
    assert Batch(adding(), {"sum": runner}, 2).batched == {"sum": (True, 2, 80, 100, "")}


def test_a_graph_whose_batch_is_fixed_runs_one_by_one():
    batch = Batch(adding(), {"sum": Adder(fixed_batch=1)}, 2)
    assert batch.batched == {"sum": (False, 0, 0, 0, "RuntimeError: its batch is fixed")}
    assert totals(batch.push("x", [number(1), number(2)], 0)) == [1, 2]


class Mixing(Adder):
    """Moves each row away from the batch's mean by a share; any batch takes 100 us, by a clock of the test's."""

    def __init__(self, now, share):
        super().__init__()
        self._now, self._share = now, share

    def run(self, feeds):
        self._now[0] += 100_000
        (total,) = super().run(feeds)
        return [total - self._share * (total.mean(axis=0) - total)]


@pytest.mark.parametrize(("share", "together"), [(0.0, True), (0.001, True), (0.5, False)])
def test_a_graph_whose_rows_see_one_another_runs_one_by_one_though_a_batch_would_pay(share, together, monkeypatch):
    now = [0]
    monkeypatch.setattr("edgemm.runtime.batch.perf_counter_ns", lambda: now[0])
    batch = Batch(adding(), {"sum": Mixing(now, share)}, 2)
    reason = "" if together else "rows see one another: 'sum.total' is not the same in a batch as alone"
    assert (batch.batched["sum"].pays, batch.batched["sum"].reason) == (together, reason)
    if not together:
        assert totals(batch.push("x", [number(1), number(2)], 0)) == [1, 2]


def test_a_bool_that_another_row_turns_is_seen(monkeypatch):
    class Largest(Mixing):
        """Whether x is the batch's largest."""

        def __init__(self):
            super().__init__(now, 0.0)
            self.outputs = (TensorSpec("total", "bool", (BATCH, 1)),)

        def run(self, feeds):
            (total,) = super().run(feeds)
            return [total == total.max()]

    now = [0]
    monkeypatch.setattr("edgemm.runtime.batch.perf_counter_ns", lambda: now[0])
    node = Node("sum", "sum", edges(x="input.x", before="input.x"), ("total",))
    graph = ModelGraph("largest", {"x": Tensor((1,))}, (node,), {"total": Output.of("sum.total", Array())})
    assert "rows see one another" in Batch(graph, {"sum": Largest()}, 2).batched["sum"].reason


def test_one_stream_is_never_batched():
    runner = Adder()
    assert Batch(adding(), {"sum": runner}, 1).batched["sum"] == (False, 0, 0, 0, "one stream")
    assert runner.rows == [], "nor measured"


@pytest.mark.parametrize("streams", [0, 65])
def test_a_batch_of_no_or_too_many_streams_is_refused(streams):
    with pytest.raises(UsageError, match=f"1 to 64 streams, got {streams}"):
        Batch(adding(), {"sum": Adder()}, streams)


def test_the_largest_batch():
    assert len(forced(False, adding(), {"sum": Adder()}, 64).streams) == 64


@pytest.mark.parametrize(("values", "times"), [([number(1)] * 2, 0), ([number(1)] * 3, [0, 1])])
def test_a_push_gives_one_value_and_one_time_per_stream(values, times):
    with pytest.raises(UsageError, match="3 streams: give one value"):
        forced(True, adding(), {"sum": Adder()}).push("x", values, times)


def test_streams_may_have_times_of_their_own():
    results = forced(True, adding(), {"sum": Adder()}).push("x", [number(1)] * 3, np.array([5, 6, 7]))
    assert [result.at_ns for result in results] == [5, 6, 7]


def test_without_a_time_each_stream_asks_its_clock():
    batch = Batch(adding(), {"sum": Adder()}, 1, clock=lambda: 42)
    assert batch.push("x", [number(1)])[0].at_ns == 42


def test_an_unknown_input_is_refused_before_anything_is_taken():
    with pytest.raises(UnknownNameError, match="unknown input 'y'"):
        forced(True, adding(), {"sum": Adder()}).push("y", [number(1)] * 3, 0)


def test_a_value_that_does_not_fit_is_its_streams_matter_alone():
    batch = forced(True, adding(), {"sum": Adder()})
    with pytest.raises(BatchInputError, match=r"stream 1: input 'x': expected float32 \[1\]") as caught:
        batch.push("x", [number(1), np.zeros(7), number(3)], 0)
    assert totals(caught.value.results) == [1, None, 3]
    assert list(caught.value.errors) == [1]
    assert totals(batch.push("x", [number(1)] * 3, 0)) == [2, 1, 4]


def test_a_misfit_that_a_feed_finds_while_it_yields_is_its_streams_matter_alone():
    class Late(Slow):
        def open_feed(self):
            feed = super().open_feed()
            feed.push = self._yield
            return feed

        def _yield(self, raw, captured_ns):
            for value in raw:
                if value < 0:
                    raise InputError("no more")
                yield (np.array([[value]], np.float32),), captured_ns

    node = Node("sum", "sum", edges(x="input.x"), ("total",), state={"total": "before"})
    graph = ModelGraph("adding", {"x": Late()}, (node,), {"total": Output.of("sum.total", Array())})
    batch = forced(True, graph, {"sum": Adder()})
    with pytest.raises(BatchInputError, match="stream 1: input 'x': no more") as caught:
        batch.push("x", [[1, 1], [2, -1, 2], [3, 3]], 0)
    assert totals(caught.value.results) == [2, 2, 6], "what came before it has been taken"


def test_a_row_that_fails_fails_for_its_stream_alone():
    class Picky(Adder):
        def run(self, feeds):
            if (feeds["x"] < 0).any():
                raise RuntimeError("negative")
            return super().run(feeds)

    batch = forced(True, adding(), {"sum": Picky()})
    batch.push("x", [number(1), number(1), number(1)], 0)
    results = batch.push("x", [number(1), number(-1), number(3)], 1)
    assert [result.outputs.keys() for result in results] == [{"total"}, set(), {"total"}]
    assert [list(live.failing) for live in batch.streams] == [[], ["sum"], []]
    assert totals(batch.push("x", [number(1), None, number(1)], 2)) == [3, None, 5]


def test_rows_of_different_shapes_run_one_by_one():
    class Spread:
        """As many numbers as x says."""

        inputs = (TensorSpec("x", "float32", (BATCH, 1)),)
        outputs = (TensorSpec("y", "float32", (BATCH, "n")),)

        def run(self, feeds):
            return [np.ones((len(feeds["x"]), int(feeds["x"][0, 0])), np.float32) * feeds["x"]]

    class Count:
        inputs = (TensorSpec("y", "float32", (BATCH, "n")),)
        outputs = (TensorSpec("sum", "float32", (BATCH, 1)),)

        def run(self, feeds):
            return [feeds["y"].sum(axis=1, keepdims=True)]

    nodes = (
        Node("spread", "spread", edges(x="input.x"), ("y",)),
        Node("count", "count", edges(y="spread.y"), ("sum",)),
    )
    graph = ModelGraph("spread", {"x": Tensor((1,))}, nodes, {"total": Output.of("count.sum", Array())})
    batch = forced({"count"}, graph, {"spread": Spread(), "count": Count()}, 2)
    for values in ([3, 1], [1, 3]):
        assert totals(batch.push("x", [number(value) for value in values], 0)) == [v * v for v in values]
