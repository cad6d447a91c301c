"""One pass says what a stream says to the same values, row by row, and passes with a memory what it goes on to say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import OUTPUTS, Model, Pair, Tensor, arrivals, models, plain, raw

from edgemm.errors import InputError
from edgemm.model.edge import AGE, MASK, VALUE, Edge, Window, edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import ARRIVAL, LATEST, Barrier, Change, Hop
from edgemm.runtime.schedule import Live
from edgemm.runtime.single_pass import Memory, SinglePass, by_key, specs_by_key
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.outputs.array import Array

MS = 1_000_000
KINDS = (Tensor((1,)), Pair())
TRIGGERS = st.sampled_from([ARRIVAL, Hop(1), Change()])
WINDOWS = st.sampled_from([None, None, Window(1), Window(2), Window(3)])
NO_WINDOWS = st.none()


def steady(draw, **options):
    """A model whose nodes run once for what comes at once, or as often as they like without a trace."""
    return draw(models(kinds=KINDS, triggers=TRIGGERS, faults=False, **options))


def without(model, **changes):
    """The same model with something taken from every node."""
    nodes = tuple(node._replace(**changes) for node in model.graph.nodes)
    return Model(ModelGraph("same", model.graph.inputs, nodes, model.graph.outputs), model.faults)


def without_absence_of_absence(model):
    """The same where what is not recognised is read, as its newest value, by nodes at most that nobody reads.

    A stream's barrier is told of the first loss in a row alone, and a stream's window keeps what it has when its source is lost.
    """
    nodes = model.graph.nodes
    read = {source for node in nodes for source in node.sources}
    far = {source for node in nodes for source, window in node.windows if window or node.name in read}
    changed = tuple(node._replace(usable="" if node.name in far else node.usable) for node in nodes)
    return Model(ModelGraph("same", model.graph.inputs, changed, model.graph.outputs), model.faults)


def values(draw, graph, names):
    numbers = st.integers(0, 6)
    return {name: plain(graph.inputs[name], [draw(numbers)]) for name in names}


def tensors(graph, rows):
    """What a pass takes: each input's tensors, a row per given value; what a row lacks is zero."""
    arrays = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        kind = graph.inputs[name]
        made = [arrivals(kind, row[name], 0)[0][0] if name in row else _zeros(kind) for row in rows]
        arrays[name] = [np.concatenate(parts) for parts in zip(*made, strict=True)]
    return by_key(graph.inputs, arrays)


def _zeros(kind):
    return tuple(np.zeros(spec.with_batch(1), spec.dtype) for spec in kind.tensors)


def presence(rows):
    return {name: np.array([name in row for row in rows]) for name in {name for row in rows for name in row}}


def said(done, graph, row=0):
    """The answers of one row; nothing where what they are made of was not there."""
    return {
        name: {tensor: array[row].tolist() for tensor, array in arrays.items()}
        for name, arrays in done.outputs().items()
        if all(done.usable[source][row] for source in graph.outputs[name].sources)
    }


def pushed(live, graph, row, now):
    """What a stream says once it was given these values at once."""
    for name, value in row.items():
        live.push(name, raw(graph.inputs[name], value), now)
    return {
        name: {key: array.tolist() for key, array in t.items()} for name, t in live.answer(now, now).tensors.items()
    }


@given(st.data())
def test_a_pass_says_what_a_fresh_stream_says_to_any_of_the_inputs(data):
    model = without(steady(data.draw, windows=NO_WINDOWS, policies=st.just(LATEST)), state={}, hold=False)
    graph = model.graph
    names = data.draw(st.lists(st.sampled_from(list(graph.inputs)), min_size=1, unique=True))
    row = values(data.draw, graph, names)
    done = SinglePass(graph, model.runners(), tensors(graph, [row]))
    assert said(done, graph) == pushed(Live(graph, model.runners()), graph, row, 5 * MS)


@given(st.data())
def test_a_pass_says_what_a_fresh_stream_says_of_state_and_windows(data):
    model = steady(data.draw, windows=WINDOWS, policies=st.sampled_from([LATEST, Barrier()]))
    model = without(model, members=(), presence="", age="")
    graph = model.graph
    row = values(data.draw, graph, graph.inputs)
    done = SinglePass(graph, model.runners(), tensors(graph, [row]))
    assert said(done, graph) == pushed(Live(graph, model.runners()), graph, row, 5 * MS)


@given(st.data())
def test_passes_with_a_memory_say_what_streams_say(data):
    windows = st.sampled_from([None, Window(1), Window(2), Window(3), Window(3, 40), Window(3, 70)])
    model = without(
        steady(data.draw, windows=windows), policy=Barrier(), members=(), presence="", age="", hold=False, trigger=ARRIVAL
    )  # fmt: skip
    model = without_absence_of_absence(model)
    graph, runners, streams = model.graph, model.runners(), 2
    memory, lives, now = Memory(), [Live(graph, model.runners()) for _ in range(streams)], 0
    for _ in range(data.draw(st.integers(1, 5))):
        rows = [values(data.draw, graph, graph.inputs if data.draw(st.integers(0, 3)) else []) for _ in range(streams)]
        if not any(rows):
            continue
        now += 33 * MS  # the pace of both kinds
        done = SinglePass(graph, runners, tensors(graph, rows), presence=presence(rows), memory=memory)
        for index, (live, row) in enumerate(zip(lives, rows, strict=True)):
            if row:
                assert pushed(live, graph, row, now) == said(done, graph, index)


@given(st.data())
def test_rows_of_a_batch_are_rows_alone(data):
    model = steady(data.draw, windows=WINDOWS)
    graph, runners = model.graph, model.runners()
    names = st.lists(st.sampled_from(list(graph.inputs)), min_size=1, unique=True)
    rows = [values(data.draw, graph, data.draw(names)) for _ in range(3)]
    ages = {member: data.draw(st.integers(0, 9)) for node in graph.nodes for member in node.members}
    together = SinglePass(graph, runners, tensors(graph, rows), presence=presence(rows), age_ms=ages)
    for index, row in enumerate(rows):
        alone = SinglePass(graph, runners, tensors(graph, [row]), age_ms=ages)
        assert said(together, graph, index) == said(alone, graph)
        assert {s for s, usable in together.usable.items() if usable[index]} == {
            s for s, u in alone.usable.items() if u[0]
        }


class Recorder:
    """A runner that remembers what it was fed, and gives numbers that tell its rows apart."""

    def __init__(self, *inputs):
        self.inputs = inputs
        self.outputs = tuple(
            TensorSpec(n, d, (BATCH, 1)) for n, d in zip(OUTPUTS, ("float32", "bool", "bool", "float32"), strict=True)
        )
        self.fed = []

    def run(self, feeds):
        self.fed.append({name: array.copy() for name, array in feeds.items()})
        rows = np.arange(1.0, len(next(iter(feeds.values()))) + 1, dtype=np.float32)[:, np.newaxis]
        before = feeds.get("before", 0)
        return [rows + before, rows % 2 == 1, rows > 9, before + 10 * rows]


def graph_of(*nodes, inputs="ab"):
    return ModelGraph(
        "m", {name: Tensor((1,)) for name in inputs}, nodes, {"y": Output.of(f"{nodes[-1].name}.y", Array())}
    )


def column(*numbers):
    return np.array(numbers, np.float32)[:, np.newaxis]


X = TensorSpec("x", "float32", (BATCH, 1))


def test_what_is_missing_is_fed_as_zeros_with_presence_and_age_zero():
    reads = edges(x="input.a", z="input.b")
    node = Node("n", "n", reads, OUTPUTS, members=("input.a", "input.b"), presence="p", age="g")
    runner = Recorder(X, TensorSpec("z", "float32", (BATCH, 1)))
    SinglePass(graph_of(node), {"n": runner}, {"a": column(3, 4)}, age_ms={"input.a": 7.0, "input.b": 9.0})
    (fed,) = runner.fed
    assert {name: array.tolist() for name, array in fed.items()} == {
        "x": [[3], [4]], "z": [[0], [0]], "p": [[1, 0], [1, 0]], "g": [[7, 0], [7, 0]],
    }  # fmt: skip
    assert fed["z"].dtype == np.float32


def test_a_node_may_take_ages_alone():
    node = Node("n", "n", edges(x="input.a"), OUTPUTS, members=("input.a",), age="g")
    runner = Recorder(X)
    SinglePass(graph_of(node, inputs="a"), {"n": runner}, {"a": column(3)}, age_ms={"input.a": 1.5})
    assert runner.fed[0]["g"].tolist() == [[1.5]]
    assert "p" not in runner.fed[0]


def test_a_node_that_needs_everything_does_not_run_without():
    node = Node("n", "n", edges(x="input.a", z="input.b"), OUTPUTS)
    done = SinglePass(graph_of(node), {"n": Recorder(X)}, {"a": column(1)})
    assert (done.values, done.usable.keys(), done.outputs()) == ({}, {"input.a"}, {})


def test_where_nothing_was_recognised_a_node_is_not_usable_but_ran():
    encoder = Node("e", "e", edges(x="input.a"), OUTPUTS, usable="valid")
    head = Node("h", "h", edges(x="e.y"), OUTPUTS)
    done = SinglePass(graph_of(encoder, head, inputs="a"), {"e": Recorder(X), "h": Recorder(X)}, {"a": column(5, 5, 5)})
    assert done.usable["e"].tolist() == [True, False, True]
    assert done.ran["e"].tolist() == [True, True, True]
    assert done.ran["h"].tolist() == done.usable["h"].tolist() == [True, False, True]


def test_batches_of_different_sizes_are_refused():
    with pytest.raises(InputError, match="'b' has a batch of 2, the inputs before it 1"):
        SinglePass(
            graph_of(Node("n", "n", edges(x="input.a", z="input.b"), OUTPUTS)), {}, {"a": column(1), "b": column(1, 2)}
        )


def test_a_pass_of_nothing_is_of_one_row():
    done = SinglePass(graph_of(Node("n", "n", edges(x="input.a"), OUTPUTS), inputs="a"), {"n": Recorder(X)}, {})
    assert (done.batch, done.values) == (1, {})


def test_state_is_zero_without_a_memory_and_goes_on_with_one():
    node = Node("n", "n", edges(x="input.a"), OUTPUTS, state={"h": "before"})
    runner = Recorder(X, TensorSpec("before", "float32", (BATCH, 1)))
    graph, memory = graph_of(node, inputs="a"), Memory()
    for kept in (None, None, memory, memory):
        SinglePass(graph, {"n": runner}, {"a": column(1, 1)}, memory=kept)
    assert [fed["before"].tolist() for fed in runner.fed] == [[[0], [0]], [[0], [0]], [[0], [0]], [[10], [20]]]


def test_the_state_of_a_row_that_did_not_run_stands_still():
    node = Node("n", "n", edges(x="input.a"), OUTPUTS, state={"h": "before"})
    graph, memory = graph_of(node, inputs="a"), Memory()
    runner = Recorder(X, TensorSpec("before", "float32", (BATCH, 1)))
    for here in ([True, True], [False, True], [True, True]):
        SinglePass(graph, {"n": runner}, {"a": column(1, 1)}, presence={"a": np.array(here)}, memory=memory)
    assert runner.fed[-1]["before"].tolist() == [[10], [40]]


def test_a_runner_that_gives_less_than_it_declares_is_refused():
    class Short(Recorder):
        def run(self, feeds):
            return super().run(feeds)[:-1]

    with pytest.raises(ValueError, match="shorter"):
        SinglePass(graph_of(Node("n", "n", edges(x="input.a"), OUTPUTS), inputs="a"), {"n": Short(X)}, {"a": column(1)})


def test_fewer_rows_go_on_with_the_first_streams():
    node = Node(
        "n", "n", {**edges(x="input.a"), "w": Edge("input", "a", "", Window(2))}, OUTPUTS, state={"h": "before"}
    )
    graph, memory = graph_of(node, inputs="a"), Memory()
    runner = Recorder(X, TensorSpec("before", "float32", (BATCH, 1)))
    SinglePass(graph, {"n": runner}, {"a": column(1, 2)}, memory=memory)
    SinglePass(graph, {"n": runner}, {"a": column(3)}, memory=memory)
    assert runner.fed[-1]["before"].tolist() == [[10]]
    assert runner.fed[-1]["w"].tolist() == [[[1], [3]]]


def test_a_window_says_what_was_newest_what_is_there_and_how_old_it_is():
    parts = {part: Edge("input", "a", "", Window(3), part) for part in ("value", MASK, AGE)}
    node = Node("n", "n", {**edges(x="input.a"), **parts}, OUTPUTS)
    runner, graph, memory = Recorder(X), graph_of(node, inputs="a"), Memory()
    constant = column(4)
    for _ in range(2):  # the same array twice is two values
        SinglePass(graph, {"n": runner}, {"a": constant}, memory=memory)
    fed = runner.fed[-1]
    assert fed["value"].tolist() == [[[0], [4], [4]]]
    assert fed[MASK].tolist() == [[False, True, True]]
    assert fed[AGE].tolist() == [[0, 33, 0]]
    assert (fed[MASK].dtype, fed[AGE].dtype) == (bool, np.float32)


def test_in_a_window_what_is_older_than_its_time_or_its_source_is_valid_for_is_as_what_never_came():
    parts = {"x": VALUE, "m": MASK, "g": AGE}
    encoder = Node("e", "e", edges(x="input.a"), OUTPUTS, valid_for_ms=70)
    reads = {
        f"{name}{window.ms:g}": Edge("e", "h", "", window, part)
        for window in (Window(4), Window(4, 40))
        for name, part in parts.items()
    }
    runner, memory = Recorder(X), Memory()
    graph = graph_of(encoder, Node("n", "n", reads, OUTPUTS), inputs="a")
    runners = {"e": Recorder(X), "n": runner}
    runners["e"].run = lambda feeds: [feeds["x"], feeds["x"] > 0, feeds["x"] > 0, feeds["x"]]
    for value in (1, 2, 3, 4):
        SinglePass(graph, runners, {"a": column(value)}, memory=memory)
    assert {name: array.squeeze(-1).tolist() for name, array in runner.fed[-1].items() if array.ndim == 3} == {
        "x0": [[0, 2, 3, 4]], "x40": [[0, 0, 3, 4]],
    }  # fmt: skip
    assert {name: array.tolist() for name, array in runner.fed[-1].items() if array.ndim == 2} == {
        "m0": [[False, True, True, True]], "g0": [[0, 66, 33, 0]], "m40": [[False, False, True, True]], "g40": [[0, 0, 33, 0]],
    }  # fmt: skip


def test_ages_go_on_in_rows_that_add_nothing():
    node = Node("n", "n", {"x": Edge("input", "a", "", Window(3), AGE)}, OUTPUTS)
    runner, graph, memory = Recorder(X), graph_of(node, inputs="a"), Memory()
    for here in ([True, True], [True, False], [True, True]):
        SinglePass(graph, {"n": runner}, {"a": column(1, 1)}, presence={"a": np.array(here)}, memory=memory)
    assert runner.fed[-1]["x"].tolist() == [[66, 33, 0], [0, 66, 0]]


def test_a_row_whose_source_says_nothing_adds_nothing_to_its_window():
    node = Node("n", "n", {"x": Edge("input", "a", "", Window(2))}, OUTPUTS)
    runner, graph, memory = Recorder(TensorSpec("x", "float32", (BATCH, 2, 1))), graph_of(node, inputs="a"), Memory()
    for number, here in ((1, [True, True]), (2, [True, False]), (3, [True, True])):
        SinglePass(graph, {"n": runner}, {"a": column(number, -number)}, presence={"a": np.array(here)}, memory=memory)
    assert runner.fed[-1]["x"].tolist() == [[[2], [3]], [[-1], [-3]]]


def test_tensors_of_an_input_that_has_several_are_keyed_by_both_names():
    inputs = {"one": Tensor((1,)), "two": Pair()}
    assert list(specs_by_key(inputs)) == ["one", "two.number", "two.counts"]
    arrays = by_key(inputs, {"one": [column(1)], "two": [column(2), column(3)]})
    assert {name: array.item() for name, array in arrays.items()} == {"one": 1, "two.number": 2, "two.counts": 3}


def test_every_tensor_of_an_input_must_be_given():
    with pytest.raises(ValueError, match="shorter"):
        by_key({"two": Pair()}, {"two": [column(2)]})


@pytest.mark.parametrize("part", ["number", "counts"])
def test_an_edge_reads_its_tensor_of_an_input(part):
    node = Node("n", "n", {"x": Edge("input", "two", part)}, OUTPUTS)
    graph = ModelGraph("m", {"two": Pair()}, (node,), {"y": Output.of("n.y", Array())})
    runner = Recorder(X)
    SinglePass(graph, {"n": runner}, {"two.number": column(2), "two.counts": column(3)})
    assert runner.fed[0]["x"].item() == (2 if part == "number" else 3)
