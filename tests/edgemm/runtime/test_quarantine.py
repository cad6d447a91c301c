"""A node that fails: absent with the reason, tried again later and later, and nobody else is held up."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import MS, Stream, number, said

from edgemm.runtime.schedule import Live


def same(x):
    return x


def total(**feeds):
    return sum(array.sum() for array in feeds.values())


def tries(stream, node, until_ms, step_ms=10):
    """When a node is tried while something is pushed all the time."""
    at = []
    for ms in range(0, until_ms, step_ms):
        before = len(stream.fed(node))
        stream.push("a", 1, ms)
        at += [ms] * (len(stream.fed(node)) - before)
    return at


def test_each_failure_in_a_row_doubles_the_wait_up_to_ten_seconds():
    stream = Stream({"say": (same, {"x": "input.a"})})
    stream.runners["say"].broken = True
    at = tries(stream, "say", 43_000, 100)
    assert list(np.diff(at)) == [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]


def test_after_a_hundred_failures_it_is_still_tried():
    stream = Stream({"say": (same, {"x": "input.a"})})
    stream.runners["say"].broken = True
    assert len(tries(stream, "say", 1_000_000, 1000)) > 90


def test_a_success_begins_again_with_the_shortest_wait():
    stream = Stream({"say": (same, {"x": "input.a"})})
    runner = stream.runners["say"]
    runner.broken = True
    tries(stream, "say", 400)
    runner.broken = False
    assert stream.push("a", 1, 800) == {"answer": 1}
    assert stream.live.failing == {}
    runner.broken = True
    stream.push("a", 1, 900)
    runner.broken = False
    assert stream.push("a", 1, 999) is None
    assert stream.push("a", 1, 1000) == {"answer": 1}


def test_what_it_held_is_gone_and_the_reason_is_told_even_where_it_holds():
    nodes = {
        "see": (same, {"x": "input.a"}, {"hold": True}),
        "say": (lambda x, p: p[0], {"x": "see.y"}, {"members": ("see",), "presence": "p"}),
    }
    stream = Stream(nodes)
    stream.push("a", 1, 0)
    stream.runners["see"].broken = True
    result = stream.live.push("a", number(1), 1 * MS)
    assert (said(result), result.inputs["a"]) == ({}, ("absent", None, False, "failed: RuntimeError: broken"))


def test_a_failure_is_told_once_each_time_and_the_node_listed_once():
    told = []
    stream = Stream({"say": (same, {"x": "input.a"})}, on_failure=lambda *words: told.append(words))
    stream.runners["say"].broken = True
    stream.push("a", 1, 0)
    stream.push("a", 1, 100)
    assert [(name, str(error)) for name, error in told] == [("say", "broken")] * 2
    assert stream.live.failing == {"say": "RuntimeError: broken"}
    stream.runners["say"].broken = False
    stream.push("a", 1, 300)
    assert stream.live.failing == {}


@pytest.mark.parametrize("how", ["push", "tick", "deadline", "step"])
def test_once_its_time_is_over_it_is_tried_again_at_whatever_comes_next(how):
    nodes = {
        "see": (same, {"x": "input.a"}),
        "say": (total, {"x": "see.y", "z": "input.b"}),
        "rate": (same, {"x": "input.b"}, {"trigger": "tick(5)"}),
        "loop": (lambda x: (x, False), {"x": "input.b"}, {"trigger": "until(stop)", "outputs": ("y", "stop")}),
    }
    stream = Stream(nodes, {"say": "say.y"})
    stream.push("b", 1, 0)
    stream.runners["see"].broken = True
    stream.push("a", 1, 90)
    stream.runners["see"].broken = False
    live = stream.live
    soon = {
        "push": lambda: live.push("b", number(2), 189 * MS),
        "tick": lambda: live.tick(189 * MS),
        "step": lambda: live.resume(189 * MS),
    }
    soon.get(how, lambda: None)()
    assert live.failing == {"see": "RuntimeError: broken"}
    {
        "push": lambda: live.push("b", number(2), 190 * MS),
        "tick": lambda: live.tick(190 * MS),
        "step": lambda: live.resume(190 * MS),
        "deadline": lambda: list(live.advance(200 * MS)),
    }[how]()
    assert live.failing == {}
    assert said(live.answer(200 * MS, 0)) == {"say": 3.0 if how == "push" else 2.0}


def test_a_node_at_a_rate_that_fails_is_tried_at_its_deadlines():
    stream = Stream({"rate": (same, {"x": "input.a"}, {"trigger": "tick(20)"})})
    stream.push("a", 1, 0)
    stream.runners["rate"].broken = True
    list(stream.live.advance(400 * MS))
    assert len(stream.fed("rate")) == 3, "at 50, 150 and 350"


def test_a_node_that_is_tried_again_needs_what_it_reads():
    nodes = {"see": (same, {"x": "input.a"}, {"valid_for_ms": 50}), "say": (same, {"x": "see.y"})}
    stream = Stream(nodes)
    stream.push("a", 1, 0)
    stream.runners["say"].broken = True
    stream.live.tick(1 * MS)
    stream.runners["say"].broken = False
    assert stream.tick(200) == {}
    assert len(stream.fed("say")) == 2
    assert stream.live.failing == {"say": "RuntimeError: broken"}, "it has not shown that it works"
    assert stream.push("a", 3, 210) == {"answer": 3}


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [1, 100])
def test_an_answer_that_is_no_number_is_a_failure(wrong, size):
    class Wide:
        def __init__(self, outputs):
            self.outputs = outputs

        def run(self, feeds):
            row = np.zeros((1, size), np.float32)
            row[0, -1] = feeds["x"][0, 0]
            return [row]

    stream = Stream({"say": (same, {"x": "input.a"})})
    spec = stream.runners["say"].outputs[0]
    outputs = (type(spec)("y", "float32", ("batch", size)),)
    live = Live(*graph_and(stream, Wide(outputs)))
    assert live.push("a", number(1), 0).outputs["answer"][-1] == 1
    assert live.push("a", number(wrong), 1).outputs == {}
    assert live.failing == {"say": "NotFiniteError: output 'y' of node 'say' is not finite (NaN or infinity)"}


def graph_and(stream, runner):
    """The stream's model, with another runner."""
    from edgemm.model.graph import ModelGraph, Output
    from edgemm_plugins.outputs.array import Array

    nodes = tuple(step.node for step in stream.live.steps.values())
    inputs = {name: cell.kind for name, cell in stream.live.inputs.items()}
    return ModelGraph("m", inputs, nodes, {"answer": Output.of("say.y", Array())}), {"say": runner}


def test_infinities_that_would_cancel_are_no_answer():
    say = (lambda x: (x, -x), {"x": "input.a"}, {"outputs": ("y", "z")})
    stream = Stream({"say": say}, {"y": "say.y", "z": "say.z"})
    assert stream.push("a", 1, 0) == {"y": 1, "z": -1}
    assert stream.push("a", np.inf, 1) == {}


def test_what_no_answer_is_made_of_may_be_anything():
    nodes = {"see": (same, {"x": "input.a"}), "say": (np.nan_to_num, {"x": "see.y"})}
    assert Stream(nodes).push("a", np.nan, 0) == {"answer": 0}


def test_a_failing_node_holds_up_nobody():
    nodes = {"see": (same, {"x": "input.a"}), "hear": (same, {"x": "input.a"})}
    stream = Stream(nodes, {"see": "see.y", "hear": "hear.y"})
    stream.runners["see"].broken = True
    assert [stream.push("a", ms, ms) for ms in range(3)] == [{"hear": 0}, {"hear": 1}, {"hear": 2}]


def adds_up(x, h):
    return x[0] + h[0], True, x[0] + h[0]


REMEMBERS = {"outputs": ("y", "valid", "h2"), "state": {"h2": "h"}, "usable": "valid"}


def present(*names):
    """Sums what is present and never looks at the rest."""

    def fuse(p, **tokens):
        return sum((tokens[name][0] if p[place] > 0 else 0.0) for place, name in enumerate(names))

    return fuse


def test_a_state_that_became_nan_is_the_one_from_before():
    nodes = {
        "see": (adds_up, {"x": "input.a"}, REMEMBERS),
        "say": (present("t"), {"t": "see.y"}, {"members": ("see",), "presence": "p"}),
    }
    stream = Stream(nodes)
    said = [stream.push("a", np.nan if count == 2 else 1, 1000 * count) for count in range(5)]
    assert said == [{"answer": 1}, {"answer": 2}, {}, {"answer": 3}, {"answer": 4}]
    assert stream.live.failing == {}


def test_a_state_that_was_nan_before_too_begins_at_zero():
    """The answer did not show it at once, so the state from before is no better."""

    def counts(x, h):
        return h[0] if x[0] == 2 else 0, h[0] + (np.nan if x[0] == 0 else 1)

    stream = Stream({"say": (counts, {"x": "input.a"}, {"outputs": ("y", "h2"), "state": {"h2": "h"}})})
    said = [stream.push("a", value, 1000 * count) for count, value in enumerate([1, 2, 0, 1, 2, 2, 2])]
    assert said == [{"answer": number} for number in (0, 1, 0, 0)] + [{}, {"answer": 0}, {"answer": 1}]


@pytest.mark.parametrize("through", ["see.y", "input.a"])
def test_who_brought_nan_is_absent_and_the_others_are_heard(through):
    nodes = {
        "see": (same, {"x": "input.a"}),
        "hear": (same, {"x": "input.b"}),
        "say": (
            lambda p, t, u: np.where(p[0] > 0, t[0], 0) + np.where(p[1] > 0, u[0], 0),
            {"t": through, "u": "hear.y"},
            {"members": (through.removesuffix(".y"), "hear"), "presence": "p"},
        ),
    }
    stream = Stream(nodes)
    stream.push("b", 1, 0)
    assert stream.push("a", np.nan, 10) == {}
    assert stream.push("b", 2, 200) == {"answer": 2}
    assert stream.push("a", 5, 300) == {"answer": 7}


def test_nan_is_followed_to_where_it_came_from():
    nodes = {
        "see": (same, {"x": "input.a"}),
        "mid": (same, {"x": "see.y"}),
        "hear": (same, {"x": "input.b"}),
        "say": (
            lambda p, t, u: np.where(p[0] > 0, t[0], 0) + u[0],
            {"t": "mid.y", "u": "hear.y"},
            {"members": ("mid", "hear"), "presence": "p"},
        ),
    }
    stream = Stream(nodes)
    stream.push("b", 1, 0)
    stream.push("a", np.nan, 10)
    assert [stream.live.steps[name].cell.reason for name in ("see", "mid", "hear")] == [
        "not finite (NaN or infinity)"
    ] * 2 + [""]
    assert stream.live.inputs["a"].reason == "not finite (NaN or infinity)"
