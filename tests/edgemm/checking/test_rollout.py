"""A model that remembers, rolled out over rows: state and windows go on from moment to moment, stream by stream, as they do live."""

from __future__ import annotations

import numpy as np
import pytest

import edgemm
from edgemm.checking.rollout import in_time, remembers, rollout
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Until
from edgemm.runtime.schedule import Live
from edgemm.runtime.single_pass import Memory, SinglePass
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.outputs.array import Array


class Function:
    """A runner of a numpy function of batches.

    Attributes:
        batches: rows of every run.
    """

    def __init__(self, function, inputs, outputs):
        self._function = function
        self.inputs = tuple(TensorSpec(name, dtype, (BATCH, *shape)) for name, (dtype, shape) in inputs.items())
        self.outputs = tuple(TensorSpec(name, dtype, (BATCH, *shape)) for name, (dtype, shape) in outputs.items())
        self.batches = []

    def run(self, feeds):
        self.batches.append(len(next(iter(feeds.values()))))
        return list(self._function(**feeds))


FLOAT = "float32", (1,)


def heard(x, total):
    """The sum so far; what is negative counts, but is nothing that one could say something about."""
    return x, x >= 0, total + x


def summed(recent, there, seen, count):
    return recent.sum(1) + 100 * there.sum(1, keepdims=True) + 10_000 * seen, count + 1


def memories(windows="hear.tokens[3]"):
    """An encoder with state; a node with state of its own that reads a window of it and another input."""
    graph = ModelGraph(
        "memories",
        {"x": edgemm.Tensor((1,)), "y": edgemm.Tensor((1,))},
        (
            Node("hear", "hear", edges(x="input.x"), ("tokens", "valid", "total_next"), state={"total_next": "total"}, usable="valid"),
            Node(
                "join",
                "join",
                edges(recent=windows, there=f"{windows}.mask", seen="hear.total_next"),
                ("y", "count_next"),
                state={"count_next": "count"},
            ),
            Node("other", "other", edges(x="input.y"), ("y",)),
        ),
        {"sum": Output.of("join.y", Array()), "count": Output.of("join.count_next", Array())},
    )  # fmt: skip
    runners = {
        "hear": Function(heard, {"x": FLOAT, "total": FLOAT}, {"tokens": FLOAT, "valid": ("bool", (1,)), "total_next": FLOAT}),
        "join": Function(
            summed,
            {"recent": ("float32", (3, 1)), "there": ("bool", (3,)), "seen": FLOAT, "count": FLOAT},
            {"y": FLOAT, "count_next": FLOAT},
        ),
        "other": Function(lambda x: (x,), {"x": FLOAT}, {"y": FLOAT}),
    }  # fmt: skip
    return graph, runners


def rows(*values):
    return np.array(values, np.float32)[:, np.newaxis]


def live_answers(graph, runners, values):
    """What a stream says after each value, and None where it says nothing."""
    live = Live(graph, runners)
    said = []
    for index, value in enumerate(values):
        result = live.push("x", value, index)
        said.append(dict(result.outputs) if result and result.outputs else None)
    return said


@pytest.mark.parametrize("seed", range(20))
def test_a_rollout_says_what_a_stream_says(seed):
    graph, runners = memories()
    values = rows(*np.random.default_rng(seed).integers(-30, 60, 12))
    done = rollout(graph, runners, {"x": values, "y": values}, streams=1)
    outputs = done.outputs()
    for index, said in enumerate(live_answers(graph, runners, values)):
        usable = bool(done.passes[index].usable["join"][0])
        assert usable == (said is not None)
        for name, answer in (said or {}).items():
            assert outputs[name]["value"][index] == answer, name


def test_streams_are_contiguous_parts_that_know_nothing_of_each_other():
    graph, runners = memories()
    values = rows(*range(11))
    together = rollout(graph, runners, {"x": values, "y": values}, streams=3)
    assert [len(done.values["hear"]["tokens"]) for done in together.passes] == [3, 3, 3, 2], "rows 0-3, 4-7 and 8-10"
    parts = [rollout(graph, runners, {"x": part, "y": part}, streams=1) for part in np.array_split(values, 3)]
    for moment, done in enumerate(together.passes):
        for stream in range(done.batch):
            alone = parts[stream].passes[moment]
            for node, outputs in done.values.items():
                for name, array in outputs.items():
                    np.testing.assert_array_equal(array[stream], alone.values[node][name][0], f"{node}.{name}")


def test_what_a_rollout_gives_is_in_the_order_of_its_moments():
    graph, runners = memories()
    values = rows(*range(5))
    done = rollout(graph, runners, {"x": values, "y": values}, streams=2)
    assert done.values("hear")["tokens"].ravel().tolist() == [0, 3, 1, 4, 2]
    assert done.feeds("hear")["total"].ravel().tolist() == [0, 0, 0, 3, 1]
    assert done.outputs()["count"]["value"].ravel().tolist() == [1, 1, 2, 2, 3]
    assert set(done.nodes) == {"hear", "join", "other"}


@pytest.mark.parametrize(("count", "streams", "moments"), [(5, 1, 5), (63, 1, 63), (64, 2, 32), (1000, 8, 125)])
def test_as_many_streams_as_leave_each_a_sequence_worth_the_name(count, streams, moments):
    steps = list(in_time({"x": np.arange(count)}))
    assert (len(steps[0]["x"]), len(steps)) == (streams, moments)
    assert sorted(np.concatenate([step["x"] for step in steps])) == list(range(count)), "every row, once"


def test_a_model_that_remembers_nothing_takes_all_rows_at_once():
    graph, runners = memories()
    plain = ModelGraph("plain", {"y": graph.inputs["y"]}, (graph.node("other"),), {"y": Output.of("other.y", Array())})
    done = rollout(plain, runners, {"y": rows(*range(100))})
    assert runners["other"].batches == [100]
    assert done.nodes == ("other",)
    assert done.values("other")["y"] is done.passes[0].values["other"]["y"], "no copy"
    assert done.outputs()["y"]["value"].ravel().tolist() == list(range(100))


def test_state_stands_still_where_a_node_has_nothing_to_run_on():
    graph, runners = memories()
    memory = Memory()
    here = np.array([True, False])
    for presence in (here, ~here, np.array([True, True])):
        tensors = {"x": rows(2, 5), "y": rows(0, 0)}
        done = SinglePass(graph, runners, tensors, presence={"x": presence}, memory=memory)
        np.testing.assert_array_equal(done.ran["hear"], presence)
    assert memory.state["hear"]["total"].ravel().tolist() == [4, 10], "two of three moments each"
    assert memory.state["join"]["count"].ravel().tolist() == [2, 2]


def test_a_loop_makes_a_step_per_moment_and_begins_anew_once_it_has_stopped():
    node = Node("n", "count", edges(x="input.x"), ("y", "stop"), state={"y": "h"}, trigger=Until("stop"))
    graph = ModelGraph("loop", {"x": edgemm.Tensor((1,))}, (node,), {"y": Output.of("n.y", Array())})
    count = Function(lambda x, h: (h + 1, h + 1 >= x), {"x": FLOAT, "h": FLOAT}, {"y": FLOAT, "stop": ("bool", (1,))})
    done = rollout(graph, {"count": count}, {"x": rows(3, 3, 3, 3, 2, 2, 2)}, streams=1)
    assert done.values("n")["y"].ravel().tolist() == [1, 2, 3, 1, 2, 1, 2]


def test_a_loop_stops_in_its_own_stream_when_any_of_what_says_stop_is_true():
    def step(x, h):
        made = h + np.array([1, 10], np.float32)
        return made, made >= x * np.array([1, 1000], np.float32)

    pair = "float32", (2,)
    node = Node("n", "n", edges(x="input.x"), ("y", "stop"), state={"y": "h"}, trigger=Until("stop"))
    graph = ModelGraph("loop", {"x": edgemm.Tensor((1,))}, (node,), {"y": Output.of("n.y", Array())})
    runner = Function(step, {"x": FLOAT, "h": pair}, {"y": pair, "stop": ("bool", (2,))})
    done = rollout(graph, {"n": runner}, {"x": rows(3, 3, 3, 3, 2, 2, 2, 2)}, streams=2)
    said = [[f"{a:g} {b:g}" for a, b in one.values["n"]["y"]] for one in done.passes]
    assert said == [["1 10", "1 10"], ["2 20", "2 20"], ["3 30", "1 10"], ["1 10", "2 20"]]


def test_windows_take_only_what_their_source_says_in_that_row():
    graph, runners = memories()
    memory = Memory()
    for tensors in (rows(1, -1), rows(-1, 7), rows(3, 8)):
        done = SinglePass(graph, runners, {"x": tensors, "y": tensors}, memory=memory)
    assert done.feeds["join"]["recent"][..., 0].tolist() == [[0, 1, 3], [0, 7, 8]]
    assert done.feeds["join"]["there"].tolist() == [[False, True, True], [False, True, True]]


def test_a_pass_alone_has_zero_state_and_windows_of_one_value():
    graph, runners = memories()
    done = SinglePass(graph, runners, {"x": rows(4, -4), "y": rows(0, 0)})
    assert done.feeds["hear"]["total"].ravel().tolist() == [0, 0]
    assert done.feeds["join"]["recent"][..., 0].tolist() == [[0, 0, 4], [0, 0, 0]]
    assert done.feeds["join"]["there"].tolist() == [[False, False, True], [False, False, False]]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (Node("n", "g", edges(x="input.x"), ("y", "h2"), state={"h2": "h"}), "node 'n' has state (h)"),
        (Node("n", "g", edges(x="input.x[4, 500]"), ("y",)), "node 'n' reads a window (input.x[4, 500])"),
        (Node("n", "g", edges(x="input.x"), ("y",)), ""),
    ],
)
def test_whether_a_model_remembers_is_said_with_what(node, said):
    assert remembers(ModelGraph("m", {"x": edgemm.Tensor((1,))}, (node,), {"y": Output.of("n.y", Array())})) == said
