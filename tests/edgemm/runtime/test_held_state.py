"""`hold` and state in one node: its state goes on, and whoever reads anything of it sees the last moment that was usable."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import Stream

import edgemm
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runtime.schedule import Live
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.outputs.array import Array

FLOAT = "float32", (BATCH, 1)


class Sums:
    """y = the sum of all x so far, valid where x is not negative; and the next state."""

    inputs = tuple(TensorSpec(name, *FLOAT) for name in ("x", "total"))
    outputs = (TensorSpec("y", *FLOAT), TensorSpec("valid", "bool", (BATCH, 1)), TensorSpec("total_next", *FLOAT))

    def run(self, feeds):
        total = feeds["x"] + feeds["total"]
        return [total, feeds["x"] >= 0, total]


class Copies:
    inputs, outputs = (TensorSpec("x", *FLOAT),), (TensorSpec("y", *FLOAT),)

    def run(self, feeds):
        return [feeds["x"].copy()]


@pytest.fixture
def live():
    """A holding node, one that reads its answer, and one that reads its state."""
    state = {"total_next": "total"}
    graph = ModelGraph(
        "held",
        {"x": edgemm.Tensor((1,))},
        (
            Node("sum", "sum", edges(x="input.x"), ("y", "valid", "total_next"), state=state, usable="valid", hold=True),
            Node("answer", "copy", edges(x="sum.y"), ("y",)),
            Node("shown", "copy", edges(x="sum.total_next"), ("y",)),
        ),
        {name: Output.of(f"{name}.y", Array()) for name in ("answer", "shown")},
    )  # fmt: skip
    return Live(graph, {"sum": Sums(), "copy": Copies()})


def said(live):
    """What a stream answers now."""
    return {name: tensors["value"].item() for name, tensors in live.tick(0).tensors.items()}


def push(live, *numbers):
    for number in numbers:
        live.push("x", np.array([number], np.float32), 0)


def test_what_is_held_stays_and_the_state_goes_on(live):
    push(live, 1, 2)
    assert said(live) == {"answer": 3, "shown": 3}
    push(live, -5, -5)
    assert said(live) == {"answer": 3, "shown": 3}, "of the moment that is held, both"
    push(live, 100)
    assert said(live) == {"answer": 93, "shown": 93}, "what was not usable counts all the same"


def test_what_is_held_is_forgotten_with_the_state(live):
    push(live, 7, -1)
    live.reset()
    assert said(live) == {}
    push(live, 2)
    assert said(live) == {"answer": 2, "shown": 2}


def test_a_first_moment_that_is_not_usable_is_no_answer_but_counts(live):
    push(live, -4)
    assert said(live) == {}
    push(live, 6)
    assert said(live) == {"answer": 2, "shown": 2}


def test_a_held_answer_is_not_told_while_what_it_waits_for_came_alone():
    options = {"hold": True, "policy": "reference(b, 10)"}
    stream = Stream({"mix": (lambda x, z: x + z, {"x": "input.a", "z": "input.b"}, options)})
    stream.push("a", 1, 0)
    assert stream.push("b", 2, 0) == {"answer": 3}
    assert stream.push("b", 2, 100) == {}, "nothing was captured near enough"
    stream.push("a", 5, 105)
    assert stream.push("b", 2, 110) == {"answer": 7}
