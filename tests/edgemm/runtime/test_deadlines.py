"""Nodes that run at a rate: deadlines at whole periods, in order, each answered once."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import MS, Stream, number, said

from edgemm.errors import InputError, UnknownNameError


def same(x):
    return x


def total(**feeds):
    return sum(array.sum() for array in feeds.values())


def at_ms(results):
    return [result.at_ns // MS for result in results]


def two_rates(one="tick(10)", other="tick(25)"):
    nodes = {"one": (same, {"x": "input.a"}, {"trigger": one}), "other": (same, {"x": "input.a"}, {"trigger": other})}
    return Stream(nodes, {"one": "one.y", "other": "other.y"})


def test_deadlines_are_whole_periods_of_the_clock_and_begin_after_the_first_value():
    stream = two_rates(other="arrival")
    assert stream.live.due_ns is None
    stream.push("a", 1, 1234)
    assert stream.live.due_ns == 1300 * MS
    assert at_ms(stream.live.advance(1499 * MS)) == [1300, 1400]
    assert at_ms(stream.live.advance(1500 * MS)) == [1500]
    assert at_ms(stream.live.advance(1500 * MS)) == []


def test_a_value_at_a_deadline_leaves_the_next_one_a_whole_period_later():
    stream = two_rates(other="arrival")
    stream.push("a", 1, 1200)
    assert stream.live.due_ns == 1300 * MS


def test_deadlines_may_begin_before_any_value():
    stream = two_rates()
    stream.live.start(5 * MS)
    assert stream.live.due_ns == 40 * MS
    stream.live.start(1000 * MS)
    assert stream.live.due_ns == 40 * MS, "it has begun"
    assert [said(result) for result in stream.live.advance(100 * MS)] == [{}, {}, {}]


def test_without_a_start_time_that_passes_is_no_deadline():
    assert list(two_rates().live.advance(1000 * MS)) == []


def test_without_rates_time_that_passes_is_no_deadline():
    stream = two_rates("arrival", "arrival")
    stream.push("a", 1, 0)
    assert list(stream.live.advance(1000 * MS)) == []
    assert stream.live.due_ns is None


def test_two_rates_take_their_deadlines_in_order_and_share_one_that_both_have():
    stream = two_rates()
    stream.push("a", 1, 0)
    assert at_ms(stream.live.advance(210 * MS)) == [40, 80, 100, 120, 160, 200]
    assert [len(stream.fed(name)) for name in ("one", "other")] == [2, 5]


def test_a_push_answers_the_newest_deadline_of_each_rate_before_it_in_order_and_once():
    stream = two_rates()
    stream.push("a", 1, 0)
    result = stream.live.push("a", number(2), 390 * MS)
    assert result.at_ns == 360 * MS
    assert result.sequence == 1, "one at 300, one at 360"
    assert (stream.fed("one"), stream.fed("other")) == ([{"x": [1]}], [{"x": [1]}])
    assert stream.live.due_ns == 400 * MS


def test_a_push_at_a_deadline_of_both_rates_answers_them_together():
    stream = two_rates()
    stream.push("a", 1, 0)
    result = stream.live.push("a", number(2), 400 * MS)
    assert (result.at_ns, result.sequence, said(result)) == (400 * MS, 0, {"one": 1, "other": 1})


def test_a_deadline_is_answered_with_what_came_before_it():
    stream = two_rates(other="arrival")
    stream.push("a", 1, 0)
    assert stream.push("a", 2, 100) == {"one": 1, "other": 2}


def test_late_and_misfitting_values_move_no_deadline():
    stream = two_rates()
    stream.push("a", 1, 50)
    with pytest.raises(InputError):
        stream.live.push("a", np.zeros(7), 5000 * MS)
    assert stream.push("a", 2, 49) is None
    assert stream.live.due_ns == 80 * MS
    assert stream.push("a", 3, 60) is None, "the misfit was not the newest"


def test_a_misfit_begins_no_deadlines():
    stream = two_rates()
    with pytest.raises(InputError):
        stream.live.push("a", np.zeros(7), 50 * MS)
    assert stream.live.due_ns is None


def test_what_a_node_at_a_rate_sets_off_runs_at_its_deadlines_only():
    nodes = {
        "rate": (same, {"x": "input.a"}, {"trigger": "tick(10)"}),
        "after": (same, {"x": "rate.y"}),
        "every": (same, {"x": "rate.y"}, {"trigger": "hop(2)"}),
        "beside": (same, {"x": "input.a"}),
    }
    stream = Stream(nodes, {"after": "after.y"})
    stream.push("a", 1, 0)
    list(stream.live.advance(400 * MS))
    assert {name: len(stream.fed(name)) for name in nodes} == {"rate": 4, "after": 4, "every": 2, "beside": 1}


# asked for


def test_asking_runs_what_gives_answers_what_runs_at_a_rate_and_what_that_sets_off():
    nodes = {
        "encoder": (same, {"x": "input.a"}),
        "answer": (same, {"x": "encoder.y"}),
        "rate": (same, {"x": "input.a"}, {"trigger": "tick(10)"}),
        "every": (same, {"x": "rate.y"}, {"trigger": "hop(2)"}),
        "of_answer": (same, {"x": "answer.y"}),
    }
    stream = Stream(nodes, {"answer": "answer.y", "every": "every.y"})
    stream.push("a", 1, 0)
    before = {name: len(stream.fed(name)) for name in nodes}
    assert before == {"encoder": 1, "answer": 1, "rate": 0, "every": 0, "of_answer": 1}
    assert stream.tick(5) == {"answer": 1, "every": 1}
    assert {name: len(stream.fed(name)) - before[name] for name in nodes} == {
        "encoder": 0, "answer": 1, "rate": 1, "every": 1, "of_answer": 1,
    }  # fmt: skip
    assert stream.live.due_ns == 100 * MS, "deadlines stay where they are"


def test_asking_starts_a_loop_that_is_due_but_runs_no_step():
    nodes = {
        "rate": (same, {"x": "input.a"}, {"trigger": "tick(10)"}),
        "loop": (lambda x: (x, True), {"x": "rate.y"}, {"trigger": "until(stop)", "outputs": ("y", "stop")}),
    }
    stream = Stream(nodes)
    stream.push("a", 1, 0)
    assert stream.tick(5) == {}
    assert stream.live.running == ("loop",)
    assert stream.fed("loop") == []


def test_without_a_time_the_streams_clock_is_asked():
    nodes = {
        "say": (same, {"x": "input.a"}),
        "loop": (lambda x: (x, True), {"x": "input.a"}, {"trigger": "until(stop)", "outputs": ("y", "stop")}),
    }
    stream = Stream(nodes, {"say": "say.y", "loop": "loop.y"}, clock=lambda: 42)
    assert stream.live.push("a", number(1)).at_ns == 42
    assert stream.live.tick().at_ns == 42
    assert stream.live.resume().at_ns == 42


@pytest.mark.parametrize("method", ["push", "end", "reset"])
def test_an_unknown_input_is_refused_with_the_known_ones(method):
    live = two_rates().live
    arguments = ("b", number(1), 0) if method == "push" else ("b",)
    with pytest.raises(UnknownNameError, match=r"unknown input 'b'\n  known: a"):
        getattr(live, method)(*arguments)


def test_results_are_counted_and_timed():
    stream = Stream({"say": (same, {"x": "input.a"})})
    results = [stream.live.push("a", number(ms), ms * MS) for ms in range(3)]
    assert [result.sequence for result in results] == [0, 1, 2]
    for result in results:
        assert result.timings[0] == result.at_ns
        assert 0 < result.timings[1] <= result.timings[2]


# policies


def test_a_reference_answers_when_it_comes_with_what_is_near_enough():
    mix = (total, {"x": "input.a", "z": "input.b"}, {"policy": "reference(a, 20)"})
    stream = Stream({"mix": mix})
    assert stream.push("b", 1, 0) is None
    assert stream.push("a", 10, 20) == {"answer": 11}
    assert stream.push("a", 10, 21) == {}, "the other is too far from it, and it needs both"
    assert stream.push("b", 1, 22) is None


def test_a_reference_reads_whoever_takes_presence_without_those_that_are_far():
    def mix(x, z, p, g):
        return p @ [1, 10] + g @ [100, 1000]

    members = {"members": ("input.a", "input.b"), "presence": "p", "age": "g", "policy": "reference(b, 20)"}
    stream = Stream({"mix": (mix, {"x": "input.a", "z": "input.b"}, members)})
    stream.push("a", 1, 0)
    assert stream.push("b", 5, 20) == {"answer": 11 + 20 * 100}
    assert stream.push("b", 5, 21) == {"answer": 10}, "what is far counts as absent"


def test_without_its_reference_everything_is_near():
    members = {"members": ("input.a", "input.b"), "presence": "p", "policy": "reference(b, 0)"}
    stream = Stream({"mix": (lambda x, z, p: p @ [1, 10], {"x": "input.a", "z": "input.b"}, members)})
    stream.push("a", 3, 0)
    assert stream.tick(50) == {"answer": 1}


def test_a_reference_may_be_a_node():
    nodes = {
        "see": (same, {"x": "input.a"}),
        "mix": (total, {"z": "input.b", "x": "see.y"}, {"policy": "reference(see, 5)"}),
    }
    stream = Stream(nodes)
    stream.push("b", 1, 0)
    assert stream.push("a", 2, 5) == {"answer": 3}


def test_a_barrier_waits_until_everything_is_new():
    stream = Stream({"mix": (total, {"x": "input.a", "z": "input.b"}, {"policy": "barrier"})})
    said = [stream.push(name, ms + 1, ms) for ms, name in enumerate("aabab")]
    assert said == [None, None, {"answer": 5}, None, {"answer": 9}]


def test_a_barrier_of_hops_waits_until_everything_has_come_so_often():
    stream = Stream({"mix": (total, {"x": "input.a", "z": "input.b"}, {"policy": "barrier", "trigger": "hop(2)"})})
    said = [stream.push(name, 1, ms) for ms, name in enumerate("aaabbab")]
    assert [result is not None for result in said] == [False] * 4 + [True, False, False]


def test_hops_count_arrivals_since_the_last_run():
    stream = Stream({"say": (same, {"x": "input.a"}, {"trigger": "hop(3)"})})
    assert [stream.push("a", ms, ms) for ms in range(7)] == [None, None, {"answer": 2}, None, None, {"answer": 5}, None]


def test_ages_and_presence_reach_the_node_in_the_order_of_its_members():
    mix = (
        lambda x, z, p, g: p @ [1, 10] + g @ [100, 1000],
        {"x": "input.a", "z": "input.b"},
        {"members": ("input.b", "input.a"), "presence": "p", "age": "g"},
    )
    stream = Stream({"mix": mix})
    assert stream.push("a", 1, 0) == {"answer": 10}
    assert stream.push("b", 1, 3) == {"answer": 11 + 3000}
    assert stream.push("a", 1, 5) == {"answer": 11 + 200}
