"""What quantizers are shown: samples with inputs missing in turn, and of a model that remembers the states that really come up."""

from __future__ import annotations

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
    return [feeds["presence"][0].tolist() for feeds in batches["fusion"]]


IN_TURN = [[1, 1]] * 5 + [[0, 1]] * 3 + [[1, 1]] * 5 + [[1, 0]] * 3


def test_inputs_are_missing_in_turn():
    assert presence_of(fed(state=False, rows=16 * 8)) == IN_TURN


def test_inputs_are_missing_in_turn_over_time_too():
    batches = fed(state=True, rows=40)
    assert [len(feeds["x"]) for feeds in batches["sum"]] == [1] * 40
    assert presence_of(batches)[:16] == IN_TURN


@pytest.mark.parametrize(("rows", "streams"), [(40, 1), (64, 2), (100, 3)])
def test_a_quantizer_sees_the_states_that_come_up(rows, streams):
    batches = fed(state=True, rows=rows)["sum"]
    assert len(batches[0]["x"]) == streams
    state = np.zeros((streams, 1), np.float32)
    for moment, feeds in enumerate(batches):
        count = len(feeds["x"])
        np.testing.assert_array_equal(feeds["h"], state[:count])
        if not 5 <= moment % 16 < 8:  # while its input is missing an encoder does not run, and its state stands still
            state[:count] += feeds["x"]
    assert state.min() > 100
    seen = np.concatenate([feeds["x"] for feeds in batches])
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
