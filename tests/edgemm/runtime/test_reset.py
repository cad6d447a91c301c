"""What is reset is as on the first day, and what is not goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import Slow, models, play, scripts
from tiny import MS, Stream, number

from edgemm.runtime.schedule import Live


def same(x):
    return x


def total(**feeds):
    return sum(array.sum() for array in feeds.values())


@given(st.data())
def test_a_stream_that_was_reset_says_what_a_new_one_says(data):
    model = data.draw(models())
    runners = model.runners()
    live, fresh = Live(model.graph, runners), Live(model.graph, runners)
    for _ in play(live, data.draw(scripts(model.graph)), runners, model.graph.inputs):
        pass
    for runner in runners.values():
        runner.broken = False
    live.reset()
    live._sequence = 0
    for cell in live.inputs.values():
        cell.late = 0
    events = data.draw(scripts(model.graph, do=["push"] * 4 + ["resume", "tick", "advance", "end"], length=15))
    one, other = (play(each, events, runners, model.graph.inputs) for each in (live, fresh))
    for said, expected in zip(list(one), list(other), strict=True):
        assert said == expected


def test_a_window_that_an_input_feeds_is_cleared_with_it_and_another_is_not():
    stream = Stream({"say": (total, {"x": "input.a[2]", "z": "input.b[2]"})})
    for ms, name in enumerate("abab"):
        stream.push(name, ms + 1, ms)
    stream.live.reset("a")
    stream.push("a", 9, 5)
    assert stream.fed("say")[-1] == {"x": [0, 9], "z": [2, 4]}


def test_a_window_that_was_cleared_is_absent():
    stream = Stream({"say": (total, {"x": "input.a[2]", "z": "input.b"})})
    stream.push("a", 1, 0)
    assert stream.push("b", 2, 1) == {"answer": 3}
    stream.live.reset("a")
    assert stream.push("b", 2, 2) is None


def test_a_window_of_what_an_input_feeds_is_cleared_with_it():
    stream = Stream(
        {"see": (same, {"x": "input.a"}), "say": (total, {"x": "see.y[2]", "m": "see.y[2].mask", "g": "see.y[2].age"})}
    )
    stream.push("a", 1, 0)
    stream.push("a", 2, 10)
    stream.live.reset("a")
    stream.push("a", 3, 20)
    assert stream.fed("say")[-1] == {"x": [0, 3], "m": [False, True], "g": [0, 0]}


def test_state_begins_at_zero_again():
    count = (
        lambda x, before: (before + 1, before + 1),
        {"x": "input.a"},
        {"outputs": ("y", "n"), "state": {"n": "before"}},
    )
    stream = Stream({"count": count})
    assert [stream.push("a", 1, ms) for ms in range(2)] == [{"answer": 1}, {"answer": 2}]
    stream.live.reset()
    assert stream.push("a", 1, 5) == {"answer": 1}


def test_what_was_held_is_gone():
    see = (lambda x: (x, x > 0), {"x": "input.a"}, {"outputs": ("y", "valid"), "usable": "valid", "hold": True})
    stream = Stream(
        {
            "see": see,
            "say": (
                lambda x, p, z,: x,
                {"x": "see.y", "z": "input.b"},
                {"members": ("see", "input.b"), "presence": "p"},
            ),
        }
    )
    stream.push("a", 5, 0)
    stream.live.reset("a")
    assert stream.push("b", 1, 1) == {"answer": 0}, "what never came is zero"
    assert stream.state("a", 2).reason == "no data"


def test_what_is_missing_after_a_reset_is_zero_as_what_never_came():
    options = {"members": ("input.a", "input.b"), "presence": "p"}
    stream = Stream({"mix": (lambda x, z, p: z, {"x": "input.a", "z": "input.b"}, options)})
    stream.push("a", 1, 0)
    assert stream.push("b", 7, 0) == {"answer": 7}
    stream.live.reset()
    assert stream.push("a", 1, 1) == {"answer": 0}


def test_a_reset_stream_says_nothing_until_it_could_answer():
    stream = Stream({"mix": (total, {"x": "input.a", "z": "input.b"})})
    stream.push("a", 1, 0)
    assert stream.push("b", 1, 0) == {"answer": 2}
    stream.live.reset()
    assert stream.push("a", 1, 1) is None


def test_a_barrier_waits_again_for_what_was_reset():
    stream = Stream(
        {
            "mix": (
                lambda x, z, p: p.sum(),
                {"x": "input.a", "z": "input.b"},
                {"members": ("input.a", "input.b"), "presence": "p", "policy": "barrier"},
            )
        }
    )
    stream.push("a", 1, 0)
    stream.push("b", 1, 0)
    stream.live.reset()
    assert stream.push("a", 1, 1) is None
    assert stream.push("b", 1, 2) == {"answer": 2}


def test_a_reset_of_one_input_is_no_news():
    stream = Stream({"mix": (total, {"x": "input.a", "z": "input.b"}, {"trigger": "hop(2)"})})
    for ms, name in enumerate("aab"):
        stream.push(name, 1, ms)
    stream.live.reset("a")
    assert [stream.push("a", 1, 10 + ms) for ms in range(2)] == [None, {"answer": 2}]


def test_time_may_begin_anew_with_a_reset_of_everything():
    stream = Stream({"rate": (same, {"x": "input.a"}, {"trigger": "tick(10)"})})
    stream.push("a", 1, 5000)
    stream.live.reset()
    assert stream.live.due_ns is None
    assert stream.push("a", 2, 10) is None
    assert stream.push("a", 3, 100) == {"answer": 2}


def test_rates_go_on_when_one_input_is_reset():
    stream = Stream({"rate": (same, {"x": "input.a"}, {"trigger": "tick(10)"})})
    stream.push("a", 1, 50)
    stream.live.reset("a")
    assert stream.live.due_ns == 100 * MS


def test_a_failure_is_forgotten_with_what_it_reads_alone():
    stream = Stream(
        {"see": (same, {"x": "input.a"}), "hear": (same, {"x": "input.b"})}, {"see": "see.y", "hear": "hear.y"}
    )
    for runner in stream.runners.values():
        runner.broken = True
    stream.push("a", 1, 0)
    stream.push("b", 1, 0)
    stream.live.reset("a")
    assert stream.live.failing == {"hear": "RuntimeError: broken"}
    stream.runners["see"].broken = False
    assert stream.push("a", 1, 1) == {"see": 1}


def test_what_is_late_and_how_many_results_there_were_is_counted_on():
    stream = Stream({"say": (same, {"x": "input.a"})})
    stream.push("a", 1, 5)
    stream.push("a", 1, 4)
    stream.live.reset()
    assert stream.live.push("a", number(1), 0).sequence == 1
    assert stream.live.late == {"a": 1}


def test_an_end_is_forgotten():
    stream = Stream({"say": (same, {"x": "input.a"})})
    stream.live.end("a")
    stream.live.reset("a")
    assert stream.state("a", 0).reason == "no data"


def test_what_the_feed_has_of_the_past_is_gone():
    class Sum(Slow):
        def open_feed(self):
            feed = super().open_feed()
            feed.total = 0

            def push(raw, captured_ns):
                feed.total += raw[0]
                return type(feed).push(feed, [feed.total], captured_ns)

            feed.push, feed.reset = push, lambda: setattr(feed, "total", 0)
            return feed

    stream = Stream({"say": (same, {"x": "input.a"})}, inputs={"a": Sum()})
    stream.live.push("a", [3], 0)
    stream.live.reset("a")
    assert stream.live.push("a", [4], 1).outputs["answer"][0] == 4


@pytest.mark.parametrize("name", ["a", None])
def test_a_loop_that_was_reset_waits_for_news(name):
    loop = (lambda x: (x, False), {"x": "input.a"}, {"trigger": "until(stop, 0, finish)", "outputs": ("y", "stop")})
    stream = Stream({"loop": loop})
    stream.push("a", 1, 0)
    stream.push("a", 2, 1)
    stream.live.reset(name)
    assert stream.live.running == ()
    assert stream.tick(5) == {}
    assert stream.live.running == ()


def test_a_loop_has_done_nothing_before_its_start_and_after_a_reset():
    loop = (lambda x: (x, False), {"x": "input.a"}, {"trigger": "until(stop)", "outputs": ("y", "stop")})
    stream = Stream({"loop": loop})
    step = stream.live.steps["loop"]
    assert (step.running, step.steps, step.resumed) == (False, 0, 0)
    stream.push("a", 1, 0)
    stream.live.resume(0)
    assert (step.running, step.steps) == (True, 1)
    assert step.resumed > 0
    stream.live.reset()
    assert (step.running, step.steps, step.resumed) == (False, 0, 0)


def test_after_a_reset_what_is_missing_is_fed_as_zeros():
    mix = (
        total,
        {"x": "input.a", "z": "input.b", "v": "input.a[2]"},
        {"members": ("input.a", "input.b"), "presence": "p"},
    )
    stream = Stream({"mix": mix})
    stream.push("a", 7, 0)
    stream.live.reset()
    stream.push("b", 1, 1)
    assert stream.fed("mix")[-1] == {"x": [0], "z": [1], "v": [0, 0], "p": [0, 1]}


def test_after_a_reset_a_window_is_as_absent_as_what_it_is_of():
    stream = Stream({"say": (total, {"v": "input.a[2]"})})
    assert stream.push("a", 1, 0) == {"answer": 1}
    stream.live.reset()
    assert stream.tick(1) == {}
