"""What quantizers are shown: samples with every set of inputs missing in turn, and of a model that remembers the states that really come up."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import edgemm
from edgemm.errors import InputError, UsageError
from edgemm.exporting.calibrate import Samples, feeds_per_graph, load_samples
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runtime.schedule import Live
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.outputs.array import Array


class Adds:
    """y = all of its inputs together; h_next = h + x where it has state."""

    def __init__(self, *inputs, state=False):
        self.inputs = tuple(TensorSpec(name, "float32", (BATCH, 1)) for name in (*inputs, *(["h"] if state else [])))
        self.state = state

    def run(self, feeds):
        total = sum(feeds.values())
        return [total, feeds["h"] + feeds["x"]] if self.state else [total]


def two_inputs(state):
    """Two encoders, the first with or without state, and a fusion that takes presence."""
    following = {"h_next": "h"} if state else {}
    graph = ModelGraph(
        "two",
        {"a": edgemm.Tensor((1,)), "b": edgemm.Tensor((1,))},
        (
            Node("a", "sum", edges(x="input.a"), ("y", *following), role="encoder", state=following),
            Node("b", "plain", edges(x="input.b"), ("y",), role="encoder"),
            Node("fusion", "fusion", edges(a="a.y", b="b.y"), ("y",), members=("a", "b"), presence="presence", age="age_ms"),
        ),
        {"answer": Output.of("fusion.y", Array())},
    )  # fmt: skip
    fusion = Adds("a", "b")
    fusion.run = lambda feeds: [feeds["a"] + feeds["b"]]
    return graph, {"sum": Adds("x", state=state), "plain": Adds("x"), "fusion": fusion}


def fed(state, rows):
    graph, runners = two_inputs(state)
    values = np.arange(rows, dtype=np.float32)[:, np.newaxis] + 1
    return feeds_per_graph(graph, runners, Samples({"a": values, "b": -values}, "a test"))


def presence_of(batches):
    """Of the fusion, row by row."""
    return [tuple(row) for feeds in batches["fusion"] for row in feeds["presence"].tolist()]


def three_inputs(members="abc", others=""):
    """Encoders and a fusion of those that are named; `others` are read by a node of their own."""
    inputs = (*members, *others)
    encoders = [Node(name, "plain", edges(x=f"input.{name}"), ("y",), role="encoder") for name in inputs]
    fusion = Node(
        "fusion", "fusion", edges({n: f"{n}.y" for n in members}), ("y",), members=tuple(members), presence="presence", age="age_ms"
    )  # fmt: skip
    graph = ModelGraph(
        "three", {name: edgemm.Tensor((1,)) for name in inputs}, (*encoders, fusion), {"answer": Output.of("fusion.y", Array())}
    )  # fmt: skip
    runner = Adds(*members)
    runner.run = lambda feeds: [sum(feeds[name] for name in members)]
    return graph, {"plain": Adds("x"), "fusion": runner}


def shown(graph, runners, rows):
    values = np.arange(rows, dtype=np.float32)[:, np.newaxis] + 1
    return feeds_per_graph(graph, runners, Samples(dict.fromkeys(graph.inputs, values), "a test"))


@pytest.mark.parametrize("rows", [16, 24, 30, 41, 48, 96, 192])
def test_every_input_is_missing_somewhere_however_few_rows_there_are_and_five_of_eight_miss_nothing(rows):
    seen = presence_of(shown(*three_inputs(), rows))
    assert len(seen) == rows
    assert {(0, 1, 1), (1, 0, 1), (1, 1, 0)} <= set(seen)
    assert seen.count((1, 1, 1)) == rows - rows * 3 // 8


def test_with_rows_enough_every_set_of_inputs_is_missing_equally_often_and_none_in_a_row():
    seen = presence_of(shown(*three_inputs(), 96))
    counts = {presence: seen.count(presence) for presence in set(seen)}
    assert counts == {(1, 1, 1): 60} | dict.fromkeys(
        [(0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)], 6
    )
    assert not any(one != (1, 1, 1) != other for one, other in pairwise(seen))


def test_which_inputs_are_missing_is_the_same_every_time():
    assert presence_of(shown(*three_inputs(), 48)) == presence_of(shown(*three_inputs(), 48))


def test_a_single_input_is_never_missing():
    assert set(presence_of(shown(*three_inputs("a"), 32))) == {(1,)}


def test_what_takes_presence_is_not_shown_rows_in_which_nobody_is_present():
    """Where the fusion's only member is missing and another input is there, it does not run in a stream."""
    graph, runners = three_inputs("a", others="b")
    batches = shown(graph, runners, 16)
    assert presence_of(batches) == [(1,)] * 13
    assert [len(feeds["x"]) for feeds in batches["plain"]] == [8] * 4, "encoders are shown every sample"
    with_a = [value for value in range(1, 17) if value not in (3, 8, 14)]
    assert np.concatenate([feeds["a"] for feeds in batches["fusion"]]).ravel().tolist() == with_a


def test_members_are_of_ages_from_none_to_more_than_a_second():
    ages = {tuple(row) for feeds in shown(*three_inputs(), 32)["fusion"] for row in feeds["age_ms"].tolist()}
    present = [max(row[member] for row in ages) for member in range(3)]
    assert present == [1500, 1500, 1500]
    assert {age for row in ages for age in row} == {0, 40, 250, 1500}
    assert all(len({age for age in row if age}) == len([age for age in row if age]) for row in ages), "each its own"


@pytest.mark.parametrize(("rows", "streams"), [(40, 1), (64, 2), (100, 3)])
def test_a_quantizer_sees_the_states_that_come_up(rows, streams):
    batches = fed(state=True, rows=rows)
    assert len(batches["sum"][0]["x"]) == streams
    state = np.zeros((streams, 1), np.float32)
    for moment, feeds in enumerate(batches["sum"]):
        count = len(feeds["x"])
        np.testing.assert_array_equal(feeds["h"], state[:count])
        here = batches["fusion"][moment]["presence"][
            :, :1
        ]  # where its input is missing it does not run: its state stands still
        state[:count] += feeds["x"] * here
    assert state.min() > 100
    seen = np.concatenate([feeds["x"] for feeds in batches["sum"]])
    assert sorted(seen.ravel()) == list(range(1, rows + 1)), "every sample, once"


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.0, np.float32),
        np.array("text"),
        np.array([{}, 1], object),
        np.array([b"a", b"b"]),
        np.zeros(3, "V8"),
        np.zeros((0, 3), np.float32),
        np.full((4, 3), 1e300),
        np.zeros((4, 0)),
        np.array([["a", "b"], ["c", "d"]]),
        np.full((4, 3), np.nan),
    ],
    ids=lambda array: f"{array.dtype} {list(array.shape)}",
)
@pytest.mark.parametrize(
    "kind",
    [edgemm.Image(2, 2), edgemm.Audio(1000, 100, 20), edgemm.Text(8), edgemm.Tensor((2,))],
    ids=["image", "audio", "text", "tensor"],
)
def test_samples_that_are_no_rows_of_the_input_are_refused_with_a_reason(tmp_path, kind, array):
    np.savez(tmp_path / "samples.npz", x=array)
    with pytest.raises((UsageError, InputError), match=r"^calibration: "):
        load_samples({"x": kind}, tmp_path / "samples.npz")


def test_a_quantizer_sees_the_ages_that_a_stream_has():
    """In windows: a graph that reads them would be quantized for zeros otherwise."""
    reads = edges(x="input.sound[3]", age="input.sound[3].age")
    graph = ModelGraph(
        "aged",
        {"sound": edgemm.Audio(1000, window_ms=8, hop_ms=4)},
        (Node("n", "n", reads, ("y",)),),
        {"answer": Output.of("n.y", Array())},
    )
    samples = Samples({"sound": np.ones((32, 8), np.float32)}, "a test")
    ages = [feeds["age"].tolist() for feeds in feeds_per_graph(graph, {"n": Aged()}, samples)["n"]]
    streamed = Aged()
    live = Live(graph, {"n": streamed})
    for number in range(3):
        live.push("sound", np.ones(4, np.float32), number * 4_000_000)
    assert ages[:3] == streamed.seen == [[[0, 0, 0]], [[0, 4, 0]], [[8, 4, 0]]]


class Aged:
    """y = the sum of the ages.

    Attributes:
        seen: the ages of each run.
    """

    inputs = (TensorSpec("x", "float32", (BATCH, 3, 8)), TensorSpec("age", "float32", (BATCH, 3)))
    outputs = (TensorSpec("y", "float32", (BATCH, 1)),)

    def __init__(self):
        self.seen = []

    def run(self, feeds):
        self.seen.append(feeds["age"].tolist())
        return [feeds["age"].sum(axis=1, keepdims=True)]
