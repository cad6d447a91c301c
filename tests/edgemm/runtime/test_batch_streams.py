"""Batches of real graphs, and what fails, waits or loops in one of their streams."""

from __future__ import annotations

import random

import numpy as np
import pytest

import edgemm
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import ARRIVAL
from edgemm.runtime import batch as module
from edgemm.runtime.batch import Batch
from edgemm.tensors import TensorSpec
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array

MS = 1_000_000
TOGETHER, APART = 1e9, 0.0


def value(number):
    return np.array([number], np.float32)


@pytest.fixture
def gain(monkeypatch):
    """Decides whether batches pay, instead of measuring it."""
    return lambda much: monkeypatch.setattr(module, "_GAIN", much)


class Doubles:
    """y = 2 x, and a running sum; refuses whatever a test does not like, and knows how many rows each run had."""

    inputs = (TensorSpec("x", "float32", ("batch", 1)), TensorSpec("s", "float32", ("batch", 1)))
    outputs = (TensorSpec("y", "float32", ("batch", 1)), TensorSpec("sum", "float32", ("batch", 1)))

    def __init__(self):
        self.rows = []

    def run(self, feeds):
        x, s = feeds["x"], feeds["s"]
        self.rows.append(len(x))
        if (x < -1).any():  # what is drawn, to see that rows do not mix, is not
            raise RuntimeError("below -1")
        with np.errstate(divide="ignore", invalid="ignore"):
            return [np.where(x == 13, np.nan, 2 * x), s + x]


@pytest.fixture
def doubling(gain):
    """Makes three streams that double and add up, and what runs them; from here on its runs are counted."""

    def make(much=TOGETHER, streams=3):
        node = Node("double", "double", edges({"x": "input.a"}), ("y", "sum"), state={"sum": "s"})
        answers = {"y": Output.of("double.y", Array()), "sum": Output.of("double.sum", Array())}
        gain(much)
        runner = Doubles()
        made = Batch(ModelGraph("doubling", {"a": Tensor((1,))}, (node,), answers), {"double": runner}, streams)
        runner.rows.clear()
        return made, runner.rows

    return make


def said(results, output="y"):
    return [
        None if result is None else "absent" if output not in result.outputs else float(result.outputs[output][0])
        for result in results
    ]


# the same as apart


def random_tick(generator, at_ms):
    """An input, a value or none for each of three streams, and their times."""
    name = generator.choice(["image", "audio", "text"])
    makes = {
        "image": lambda: np.full((2, 2, 3), generator.randrange(256), np.uint8),
        # of 20 samples is a hop: none, one or several windows come of it, and silence is not usable
        "audio": lambda: np.full(generator.choice([10, 20, 50]), generator.choice([0, 0.5, 1]), np.float32),
        "text": lambda: chr(generator.randrange(8, 11)),
    }
    values = [makes[name]() if generator.random() < 0.8 else None for _ in range(3)]
    return name, values, [(at_ms + generator.randrange(3)) * MS for _ in range(3)]


def written(result):
    if result is None:
        return None
    outputs = {name: array.tolist() for name, array in result.outputs.items()}
    return (result.at_ns, result.sequence, outputs, result.inputs)


class Flaky:
    """Fails on bright frames."""

    def __init__(self, runner):
        self.inputs, self.outputs, self.close, self._runner = runner.inputs, runner.outputs, runner.close, runner

    def run(self, feeds):
        if (feeds["x"].max((1, 2, 3)) > 224).any():
            raise RuntimeError("too bright")
        return self._runner.run(feeds)


@pytest.mark.parametrize("much", [TOGETHER, APART])
@pytest.mark.parametrize(
    ("runs", "policy", "hold"),
    [("arrival", "latest", False), ("arrival", "latest", True), ("arrival", "barrier", False), ("tick(20)", "latest", False)],
)  # fmt: skip
def test_results_are_those_of_separate_streams(three_inputs, gain, much, runs, policy, hold):
    gain(much)
    generator = random.Random(5)
    with edgemm.open(three_inputs(runs, policy, audio={"hold": hold, "valid_for_ms": 200})) as model:
        model.runners["image"] = Flaky(model.runners["image"])
        batch, lives = model.batch(3), [model.live() for _ in range(3)]
        for turn in range(150):
            name, values, times = random_tick(generator, 20 * turn)
            apart = [
                None if value is None else live.push(name, value, at)
                for live, value, at in zip(lives, values, times, strict=True)
            ]
            assert [written(each) for each in batch.push(name, values, times)] == [written(each) for each in apart]


# what runs together


def test_a_stream_that_cannot_run_yet_runs_with_nobody_and_says_nothing(counting, gain):
    ran = []

    def nodes(made):
        node = Node("both", "both", edges({"x": "input.a", "z": "input.b"}), ("y",))
        return {"both": (node, made.plain("both", lambda x, z: ran.append(len(x)) or [x + z]))}

    gain(TOGETHER)
    model = counting(nodes=nodes, outputs={"y": "both.y", "story": "", "fast": ""})
    batch = Batch(model.graph, model.runners, 3)
    batch.push("b", [value(10), None, value(30)], 0)
    ran.clear()
    assert said(batch.push("a", [value(1), value(2), value(3)], 1)) == [11, None, 33]
    assert ran == [2]


def test_a_loop_runs_alone_where_others_of_its_graph_run_together(counting, gain):
    def nodes(made):
        node, _ = made.counter("other", "input.b")
        return {"other": (node._replace(graph="loop", trigger=ARRIVAL), None)}

    gain(TOGETHER)
    model = counting(last=2, nodes=nodes, outputs={"other": "other.said"})
    batch = Batch(model.graph, model.runners, 2)
    batch.push("a", [value(1), value(2)], 0)
    assert said(batch.push("b", [value(3), value(4)], 1), "other") == [301, 401]
    assert said([live.resume(1) for live in batch.streams], "story") == [101, 201]


def test_a_loop_is_started_in_each_stream_and_runs_step_by_step(counting, gain):
    gain(TOGETHER)
    model = counting(last=3)
    batch = Batch(model.graph, model.runners, 2)
    batch.push("a", [value(1), value(2)], 0)
    assert [said([live.resume(0) for _ in range(3)], "story") for live in batch.streams] == [
        [101, 102, 103],
        [201, 202, 203],
    ]


def test_a_batch_says_of_each_graph_what_was_measured(three_inputs):
    with edgemm.open(three_inputs()) as model:
        batch = model.batch(4)
        assert set(batch.batched) == set(model.graph.graph_names)
        for measured in batch.batched.values():
            assert measured.single_us > 0
            assert measured.row_us > 0
            assert measured.rows in (2, 4), "as many as there are, or as many as it took to see that it does not pay"
            assert measured.pays is (measured.rows == 4 and measured.row_us < 0.9 * measured.single_us)
        assert [measured.reason for measured in model.batch(1).batched.values()] == ["one stream"] * 4


def test_a_batch_says_why_a_graph_cannot_run_together(counting, gain):
    class Single:
        def __init__(self, runner):
            self.runner, self.inputs, self.outputs = runner, runner.inputs, runner.outputs

        def run(self, feeds):
            if len(feeds["x"]) > 1:
                raise ValueError("one row at a time")
            return self.runner.run(feeds)

    gain(TOGETHER)
    model = counting()
    batch = Batch(model.graph, {**model.runners, "encoder": Single(model.runners["encoder"])}, 2)
    assert batch.batched["encoder"] == (False, 0, 0, 0, "ValueError: one row at a time")
    assert batch.batched["loop"].reason == "runs step by step, or at a rate of its own"
    batch.push("a", [value(1), value(2)], 0)
    assert said([live.resume(0) for live in batch.streams], "story") == [101, 201]


# what goes wrong in one stream


def test_a_row_at_fault_quarantines_its_stream_alone(doubling):
    batch, rows = doubling()
    batch.push("a", [value(1), value(1), value(1)], 0)
    results = batch.push("a", [value(2), value(-2), value(3)], 1 * MS)
    assert said(results) == [4, "absent", 6]
    assert [live.failing for live in batch.streams] == [{}, {"double": "RuntimeError: below -1"}, {}]
    assert said(batch.push("a", [value(4), value(5), value(6)], 2 * MS)) == [8, None, 12], "not tried again yet"
    assert said(batch.push("a", [value(4), value(5), value(6)], 200 * MS)) == [8, 10, 12]
    assert rows[-1] == 3
    assert [live.failing for live in batch.streams] == [{}, {}, {}]


def test_a_failing_node_is_tried_again_by_whatever_is_pushed(counting, gain):
    broken = [True]

    def before(name, feeds):
        if name == "encoder" and feeds["x"] == 7 and broken:
            raise RuntimeError("lost")

    gain(TOGETHER)
    model = counting(before=before, outputs={"y": "encoder.y"})
    batch = Batch(model.graph, model.runners, 2)
    batch.push("a", [value(7), value(1)], 0)
    assert batch.streams[0].failing
    broken.clear()
    assert said(batch.push("b", [value(1), value(1)], 200 * MS)) == [7, 1]
    assert batch.streams[0].failing == {}


def test_an_answer_that_is_not_finite_is_absent_in_its_stream_alone(doubling):
    batch, rows = doubling()
    batch.push("a", [value(1), value(1), value(1)], 0)
    assert said(batch.push("a", [value(2), value(13), value(3)], 1)) == [4, "absent", 6]
    assert rows == [3, 3]
