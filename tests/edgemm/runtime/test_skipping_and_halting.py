"""A schedule that is late leaves out what it has missed; one that is told to halt runs nothing more, not even what is under way."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import MS, Stream, number, said

from edgemm_plugins.inputs.motion import Motion


def same(x):
    return x


def two_rates():
    nodes = {
        "one": (same, {"x": "input.a"}, {"trigger": "tick(10)"}),
        "other": (same, {"x": "input.a"}, {"trigger": "tick(25)"}),
    }
    return Stream(nodes, {"one": "one.y", "other": "other.y"})


def test_of_missed_deadlines_each_rate_keeps_its_newest_and_the_others_are_counted():
    stream = two_rates()
    stream.push("a", 1, 0)
    assert stream.live.skip(390 * MS) == 2 + 8
    assert [result.at_ns // MS for result in stream.live.advance(390 * MS)] == [300, 360]
    assert stream.live.due_ns == 400 * MS


@pytest.mark.parametrize("now_ms", [39, 40, 79])
def test_nothing_is_skipped_while_no_deadline_is_missed(now_ms):
    stream = two_rates()
    stream.push("a", 1, 0)
    assert stream.live.skip(now_ms * MS) == 0
    assert stream.live.due_ns == 40 * MS


def test_before_deadlines_begin_there_is_none_to_skip():
    stream = two_rates()
    assert stream.live.skip(1000 * MS) == 0
    assert stream.live.due_ns is None


def test_a_push_that_makes_thousands_of_arrivals_can_be_halted_in_its_middle():
    def encode(x):
        if len(stream.fed("node")) == 3:
            stream.live.halt()
        return x.sum()

    motion = Motion(channels=1, samples=1, hop=1, rate_hz=1000)
    stream = Stream({"node": (encode, {"x": "input.a"})}, inputs={"a": motion})
    result = stream.live.push("a", np.ones((5000, 1), np.float32), 0)
    assert len(stream.fed("node")) == 3
    assert said(result) == {"answer": 1}, "what was under way is answered"
    assert stream.live.push("a", np.ones((10, 1), np.float32), 5000 * MS) is None


def test_after_halting_nothing_is_due_and_no_loop_goes_on():
    nodes = {
        "rate": (same, {"x": "input.a"}, {"trigger": "tick(10)"}),
        "loop": (lambda x: (x, False), {"x": "input.a"}, {"trigger": "until(stop)", "outputs": ("y", "stop")}),
    }
    stream = Stream(nodes, {"rate": "rate.y", "loop": "loop.y"})
    stream.push("a", 1, 0)
    assert stream.live.running == ("loop",)
    stream.live.halt()
    assert list(stream.live.advance(1000 * MS)) == []
    assert (stream.live.due_ns, stream.live.running, stream.live.resume(0)) == (None, (), None)
    assert stream.live.push("a", number(2), 10 * MS) is None


def test_a_schedule_with_a_failing_node_halts_too():
    stream = Stream({"node": (same, {"x": "input.a"})})
    stream.runners["node"].broken = True
    stream.push("a", 1, 0)
    stream.live.halt()
    stream.push("a", 2, 60_000)
    assert len(stream.fed("node")) == 1
