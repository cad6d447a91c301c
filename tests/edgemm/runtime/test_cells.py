"""What is held of inputs and nodes: whose buffer it is, how old it is, whether it is new, and how long it may be used."""

from __future__ import annotations

import numpy as np
import pytest
from scripts import Burst, Pair, Slow
from tiny import MS, Stream, number, said

from edgemm.errors import InputError
from edgemm.runtime.cells import InputCell
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.text import Text


def same(x):
    return x


def total(**feeds):
    return sum(array.sum() for array in feeds.values())


VALID = {"outputs": ("y", "valid"), "usable": "valid"}


def above_zero(x):
    return x, x > 0


# who owns a buffer


@pytest.mark.parametrize(
    "options",
    [{}, {"trigger": "tick(10)"}, {"trigger": "until(stop)", "outputs": ("y", "stop")}],
    ids=["two", "rate", "loop"],
)
def test_who_reads_later_keeps_what_a_feed_only_lent(options):
    reads = {"x": "input.a", **({"z": "input.b"} if not options else {})}
    read = (lambda x, z=0: (x, True) if "outputs" in options else x, reads, options)
    steps = {"read": read, "say": (same, {"x": "read.y"})}  # an answer itself would keep it anyway
    stream = Stream(steps, inputs={"a": Burst(), **({} if "trigger" in options else {"b": Burst()})})
    stream.live.push("a", [5], 0)
    stream.live.push("a", [], 1 * MS)  # the feed uses its buffer for something else
    if not options:
        assert stream.push("b", [1], 2) == {"answer": 5}
    elif "stop" in options["trigger"]:
        assert said(stream.live.resume(2 * MS)) == {"answer": 5}
    else:
        assert [said(result) for result in stream.live.advance(100 * MS)] == [{"answer": 5}]


def test_an_answer_that_is_asked_for_later_keeps_what_a_feed_only_lent():
    stream = Stream({"say": (same, {"x": "input.a"})}, inputs={"a": Burst()})
    stream.live.push("a", [5], 0)
    stream.live.push("a", [], 1 * MS)
    assert stream.tick(2) == {"answer": 5}


def test_who_failed_and_is_tried_again_later_keeps_what_a_feed_only_lent():
    nodes = {"ear": (same, {"x": "input.a"}), "say": (total, {"x": "ear.y", "z": "input.b"})}
    stream = Stream(nodes, inputs={"a": Burst(), "b": Burst()})
    stream.runners["ear"].broken = True
    stream.live.push("a", [5], 0)
    stream.runners["ear"].broken = False
    stream.live.push("a", [], 1 * MS)
    assert stream.push("b", [1], 200) == {"answer": 6}
    stream.runners["ear"].broken = True
    stream.live.push("a", [7, 8], 300 * MS)
    stream.runners["ear"].broken = False
    stream.live.push("a", [], 301 * MS)
    assert stream.push("b", [1], 500) == {"answer": 9}


def test_who_reads_at_the_push_reads_what_is_lent_in_place():
    seen = []
    stream = Stream({"ear": (same, {"x": "input.a"}), "say": (same, {"x": "ear.y"})}, inputs={"a": Burst()})
    runner = stream.runners["ear"]
    run = runner.run
    runner.run = lambda feeds: seen.append(feeds["x"]) or run(feeds)
    stream.live.push("a", [1, 2], 0)
    assert seen[0] is seen[1]


def test_what_is_kept_is_kept_whole():
    cell = InputCell("a", Pair())
    cell.keep = True
    with pytest.raises(ValueError, match="shorter"):
        cell.take((np.ones((1, 1), np.float32),), 0)


def test_what_is_pushed_is_read_in_place_where_nothing_has_to_be_kept():
    seen = []
    stream = Stream({"say": (same, {"x": "input.a"})})
    run = stream.runners["say"].run
    stream.runners["say"].run = lambda feeds: seen.append(feeds["x"]) or run(feeds)
    frame = number(3)
    stream.live.push("a", frame, 0)
    assert np.shares_memory(seen[0], frame)


def test_a_held_answer_is_not_overwritten_by_what_is_not_recognised():
    stream = Stream(
        {"see": (above_zero, {"x": "input.a"}, {**VALID, "hold": True}), "say": (total, {"x": "see.y", "z": "input.b"})}
    )
    stream.push("a", 5, 0)
    stream.push("a", -1, 1)
    stream.push("a", -2, 2)
    assert stream.push("b", 1, 3) == {"answer": 6}
    assert stream.push("a", 7, 4) == {"answer": 8}
    stream.push("a", -3, 5)
    assert stream.push("b", 2, 6) == {"answer": 9}


def test_state_goes_on_while_what_was_recognised_is_held():
    def count(x, before):
        return before + 1, x > 0, before + 1

    see = (
        count,
        {"x": "input.a"},
        {"outputs": ("y", "valid", "n"), "usable": "valid", "hold": True, "state": {"n": "before"}},
    )
    stream = Stream({"see": see, "say": (total, {"x": "see.y", "n": "see.n", "z": "input.b"})})
    for ms, value in enumerate([1, -1, -1]):
        stream.push("a", value, ms)
    assert stream.push("b", 0, 3) == {"answer": 2}, "both of the first step"
    stream.push("a", 1, 4)
    assert stream.push("b", 0, 5) == {"answer": 8}, "both of the fourth"


def test_the_first_output_may_be_the_one_that_says_whether_something_was_recognised():
    see = (lambda x: (x > 0, x), {"x": "input.a"}, {"outputs": ("valid", "y"), "usable": "valid"})
    stream = Stream({"see": see}, {"answer": "see.y"})
    assert stream.push("a", 2, 0) == {"answer": 2}
    assert stream.push("a", -2, 1) == {}


def test_of_several_things_that_are_read_on_change_what_says_the_same_again_is_no_news():
    both = (lambda x, z: x + z, {"x": "input.a", "z": "input.b"}, {"trigger": "change"})
    stream = Stream({"say": both})
    for ms, (name, value) in enumerate([("a", 1), ("a", 1), ("b", 2), ("a", 1), ("b", 2), ("a", 3)]):
        stream.push(name, value, ms)
    assert stream.fed("say") == [{"x": [1], "z": [2]}, {"x": [3], "z": [2]}]


def test_state_is_what_was_not_read_while_it_was_written():
    def swapped(x, p, q):
        return q + x, p

    options = {"outputs": ("p", "q"), "state": {"p": "p", "q": "q"}}
    stream = Stream({"swap": (swapped, {"x": "input.a"}, options)}, {"p": "swap.p", "q": "swap.q"})
    said = [stream.push("a", value, value) for value in (1, 2, 3)]
    assert said == [{"p": 1, "q": 0}, {"p": 2, "q": 1}, {"p": 4, "q": 2}]


def test_a_failed_run_leaves_state_where_it_was():
    def count(x, before):
        return float("nan") if x < 0 else before + 1, before + 1

    stream = Stream({"count": (count, {"x": "input.a"}, {"outputs": ("y", "n"), "state": {"n": "before"}})})
    assert [stream.push("a", value, ms) for ms, value in ((0, 1), (1, -1), (200, 1))] == [
        {"answer": 1},
        {},
        {"answer": 2},
    ]


def test_what_a_result_says_is_the_callers_own():
    stream = Stream({"say": (same, {"x": "input.a"})})
    first = stream.live.push("a", number(1), 0)
    stream.live.push("a", number(2), 1)
    assert said(first) == {"answer": 1}
    stream.live.end("a")
    stream.live.reset()
    assert first.inputs["a"].state == "live"


def test_why_an_input_is_absent_is_said_as_it_was_then():
    stream = Stream({"say": (same, {"x": "input.a"}), "other": (same, {"x": "input.b"})})
    first = stream.live.push("b", number(1), 0)
    stream.live.end("a", "broke down")
    second = stream.live.push("b", number(1), 1)
    assert (first.inputs["a"].reason, second.inputs["a"].reason) == ("no data", "broke down")


# what is said again


def changed():
    return Stream(
        {"read": (same, {"x": "input.a"}, {"trigger": "change"}), "say": (total, {"x": "read.y", "z": "input.b"})}
    )


def test_what_is_said_again_is_not_computed_again_but_as_new():
    stream = changed()
    for ms in (0, 10, 20):
        stream.push("a", 5, ms)
    assert stream.fed("read") == [{"x": [5]}]
    assert stream.state("a", 25).age_ms == 5
    assert stream.push("b", 1, 26) == {"answer": 6}


def test_an_array_that_its_owner_changed_in_place_is_another():
    stream, mine = changed(), number(5)
    stream.live.push("a", mine, 0)
    mine[:] = 6
    stream.live.push("a", mine, 1)
    assert stream.fed("read") == [{"x": [5]}, {"x": [6]}]


def test_a_tuple_of_arrays_is_compared_array_by_array():
    stream = Stream(
        {"say": (total, {"x": "input.a.number", "c": "input.a.counts"}, {"trigger": "change"})}, inputs={"a": Pair()}
    )
    mine = (number(5), np.array([True]))
    for ms, (value, counts) in enumerate([(5, True), (5, True), (5, False), (6, False)]):
        mine[0][:], mine[1][:] = value, counts
        stream.live.push("a", mine, ms)
    assert len(stream.fed("say")) == 3


def test_tuples_of_arrays_that_say_the_same_are_not_computed_again():
    class Firsts(Pair):
        def convert(self, raw):
            return super().convert(tuple(array[:1] for array in raw))

    stream = Stream({"say": (total, {"x": "input.a.number"}, {"trigger": "change"})}, inputs={"a": Firsts()})
    for ms in range(2):
        stream.live.push("a", (np.array([1, 2], np.float32), np.array([True, False])), ms)
    assert len(stream.fed("say")) == 1


def test_tuples_of_other_lengths_differ():
    class Any(Pair):
        def convert(self, raw):
            return super().convert(raw[:2])

    stream = Stream({"say": (total, {"x": "input.a.number"}, {"trigger": "change"})}, inputs={"a": Any()})
    pair = (number(5), np.array([True]))
    for ms, raw in enumerate([pair, (*pair, number(1)), (*pair, number(1))]):
        stream.live.push("a", raw, ms)
    assert len(stream.fed("say")) == 2


def test_what_cannot_be_compared_has_changed():
    class Odd:
        def __init__(self, value):
            self.value = value

        def __eq__(self, other):
            raise ValueError("ambiguous")

        __hash__ = None

    class Odds(Pair):
        def convert(self, raw):
            return super().convert((number(raw.value), np.array([True])))

    stream = Stream({"say": (total, {"x": "input.a.number"}, {"trigger": "change"})}, inputs={"a": Odds()})
    for ms in range(2):
        stream.live.push("a", Odd(1), ms)
    assert len(stream.fed("say")) == 2


def test_the_same_numbers_of_another_type_are_refused_as_ever():
    stream = changed()
    stream.push("a", 5, 0)
    with pytest.raises(InputError, match="float32"):
        stream.live.push("a", np.array([5.0]), 1 * MS)


def test_after_a_misfit_what_was_said_before_is_still_the_same():
    stream = changed()
    stream.push("a", 5, 0)
    with pytest.raises(InputError, match="input 'a': expected float32"):
        stream.live.push("a", "five", 1 * MS)
    stream.push("a", 5, 2)
    assert len(stream.fed("read")) == 1


@pytest.mark.parametrize("kind", [Burst(), Slow()])
def test_every_value_of_a_feed_of_its_own_counts_as_changed(kind):
    stream = Stream({"read": (same, {"x": "input.a"}, {"trigger": "change"})}, inputs={"a": kind})
    for ms in (0, 10):
        stream.live.push("a", [5], ms * MS)
    assert len(stream.fed("read")) == 2


def test_what_is_said_again_is_an_arrival_for_others():
    stream = changed()
    nodes = {
        "read": (same, {"x": "input.a"}, {"trigger": "change"}),
        "count": (same, {"x": "input.a"}),
        "past": (total, {"x": "input.a[3]"}),
    }
    stream = Stream(nodes, {"count": "count.y", "past": "past.y"})
    stream.push("a", 5, 0)
    assert stream.push("a", 5, 1) == {"count": 5, "past": 10}


def test_held_while_nothing_was_recognised_does_not_become_new_when_that_is_said_again():
    read = (above_zero, {"x": "input.a"}, {**VALID, "trigger": "change", "hold": True})
    stream = Stream({"read": read, "say": (same, {"x": "read.y"})})
    for ms, value in ((0, 5), (10, -1), (20, -1)):
        stream.push("a", value, ms)
    assert stream.state("a", 30).age_ms == 30


def test_only_the_first_thing_that_is_read_makes_an_answer_as_new():
    read = (total, {"x": "input.a", "z": "input.b"}, {"trigger": "change"})
    stream = Stream({"read": read, "say": (same, {"x": "read.y"})})
    stream.push("a", 1, 0)
    stream.push("b", 1, 10)
    stream.push("b", 1, 20)
    assert stream.state("a", 30).age_ms == 30
    stream.push("a", 1, 40)
    assert stream.state("a", 50).age_ms == 10


def test_the_first_thing_that_is_read_makes_an_answer_as_new_however_often_others_changed():
    read = (total, {"x": "input.a", "z": "input.b"}, {"trigger": "change"})
    stream = Stream({"read": read, "say": (same, {"x": "read.y"})})
    for ms, name, value in ((0, "a", 1), (10, "b", 1), (20, "b", 2), (40, "a", 1)):
        stream.push(name, value, ms)
    assert stream.state("a", 50).age_ms == 10


def test_an_answer_that_waits_for_more_does_not_become_new_by_what_it_was_not_made_of():
    read = (total, {"x": "input.a", "z": "input.b"}, {"trigger": "change", "policy": "barrier"})
    stream = Stream({"read": read, "say": (same, {"x": "read.y"})})
    for ms, name, value in ((0, "a", 1), (0, "b", 1), (10, "a", 2), (20, "a", 2)):
        stream.push(name, value, ms)
    assert stream.state("a", 30).age_ms == 30


def test_an_answer_that_could_not_be_made_does_not_become_new():
    see = (same, {"x": "input.b"}, {"valid_for_ms": 5})
    read = (total, {"x": "input.a", "z": "see.y"}, {"trigger": "change", "hold": True})
    stream = Stream({"see": see, "read": read, "say": (same, {"x": "read.y"})})
    for ms, name, value in ((0, "b", 1), (0, "a", 1), (10, "a", 2), (20, "a", 2)):
        stream.push(name, value, ms)
    assert stream.state("a", 30).age_ms == 30


# ages, and how long something may be used


def test_cached_says_whether_something_new_came_since_the_result_before():
    stream = Stream(
        {"a": (same, {"x": "input.a"}), "b": (same, {"x": "input.b"}), "say": (total, {"x": "a.y", "z": "b.y"})}
    )
    stream.push("a", 1, 0)
    hits = []
    for name in "baab":
        states = stream.live.push(name, number(1), len(hits) * MS).inputs
        hits.append((states["a"].hit, states["b"].hit))
    assert hits == [(False, False), (False, True), (False, True), (True, False)]


def test_a_result_in_between_makes_everything_cached():
    stream = Stream({"say": (same, {"x": "input.a"})})
    stream.push("a", 1, 0)
    assert [stream.state("a", 1).hit for _ in range(2)] == [True, True]


def test_what_was_lost_since_and_came_again_is_not_cached():
    stream = Stream({"see": (above_zero, {"x": "input.a"}, VALID), "say": (same, {"x": "see.y"})})
    stream.push("a", 1, 0)
    stream.push("a", -1, 1)
    assert stream.live.push("a", number(1), 2 * MS).inputs["a"].hit is False


def test_an_input_is_stale_from_its_age_on_and_absent_when_it_expires():
    see = (same, {"x": "input.a"}, {"stale_after_ms": 20, "valid_for_ms": 50})
    stream = Stream({"see": see, "say": (same, {"x": "see.y"})})
    stream.push("a", 1, 100)
    states = {ms: stream.state("a", ms)[:2] for ms in (90, 120, 121, 150, 151)}
    assert states == {90: ("live", 0), 120: ("live", 20), 121: ("stale", 21), 150: ("stale", 50), 151: ("absent", None)}
    assert stream.state("a", 151).reason == "expired"


def test_without_an_encoder_an_input_is_stale_after_a_second_and_never_expires():
    stream = Stream({"say": (same, {"x": "input.a"})})
    stream.push("a", 1, 0)
    assert stream.state("a", 1000).state == "live"
    assert stream.state("a", 1001).state == "stale"
    assert stream.state("a", 10**9).state == "stale"


def test_what_was_captured_after_now_is_of_age_zero():
    see = (same, {"x": "input.a"}, {"valid_for_ms": 10})
    stream = Stream({"see": see, "say": (total, {"x": "see.y", "z": "input.b"})})
    stream.push("a", 1, 1000)
    assert stream.push("b", 1, 5) == {"answer": 2}
    assert stream.state("a", 5).age_ms == 0


def test_an_age_is_told_to_the_nanosecond():
    stream = Stream({"say": (same, {"x": "input.a"})})
    stream.live.push("a", number(1), 0)
    assert stream.live.answer(1, 0).inputs["a"].age_ms == 1e-6


def test_an_answer_is_gone_when_what_stands_behind_it_has_expired():
    nodes = {
        "see": (same, {"x": "input.a"}, {"valid_for_ms": 50}),
        "mix": (lambda x, p: x, {"x": "see.y"}, {"members": ("see",), "presence": "p"}),
        "head": (same, {"x": "mix.y"}),
        "other": (same, {"x": "input.b"}),
    }
    stream = Stream(nodes, {"head": "head.y", "other": "other.y"})
    stream.push("a", 1, 0)
    assert stream.push("b", 2, 50) == {"head": 1, "other": 2}
    assert stream.push("b", 2, 51) == {"other": 2}, "the head's fusion has nobody left"


def test_an_answer_stands_while_any_member_does():
    nodes = {
        "see": (same, {"x": "input.a"}, {"valid_for_ms": 50}),
        "hear": (same, {"x": "input.b"}, {"valid_for_ms": 90}),
        "mix": (
            lambda x, z, p: x * p[0] + z * p[1],
            {"x": "see.y", "z": "hear.y"},
            {"members": ("see", "hear"), "presence": "p"},
        ),
    }
    stream = Stream(nodes)
    stream.push("a", 1, 0)
    stream.push("b", 2, 0)
    assert [said(stream.live.answer(ms * MS, 0)) for ms in (90, 91)] == [{"answer": 3}, {}]


def test_an_answer_that_needs_everything_is_gone_when_one_thing_is():
    nodes = {"see": (same, {"x": "input.a"}, {"valid_for_ms": 50}), "say": (total, {"z": "input.b", "x": "see.y"})}
    stream = Stream(nodes)
    stream.push("a", 1, 0)
    stream.push("b", 1, 0)
    assert [said(stream.live.answer(ms * MS, 0)) for ms in (50, 51)] == [{"answer": 2}, {}]


def test_an_answer_expires_itself():
    stream = Stream({"say": (same, {"x": "input.a"}, {"valid_for_ms": 50})})
    stream.push("a", 1, 0)
    assert [said(stream.live.answer(ms * MS, 0)) for ms in (50, 51)] == [{"answer": 1}, {}]


def test_an_answer_is_as_old_as_the_first_thing_that_it_is_made_of():
    nodes = {"mix": (total, {"z": "input.b", "x": "input.a"}, {"valid_for_ms": 30}), "say": (same, {"x": "mix.y"})}
    stream = Stream(nodes)
    stream.push("b", 1, 0)
    stream.push("a", 1, 30)
    assert [said(stream.live.answer(ms * MS, 0)) for ms in (30, 31)] == [{"answer": 2}, {}]


def test_an_answer_that_takes_ages_alone_is_as_old_too():
    mix = (
        lambda z, x, g: g[0] + 100 * g[1],
        {"z": "input.b", "x": "input.a"},
        {"members": ("input.b", "input.a"), "age": "g", "valid_for_ms": 30},
    )
    stream = Stream({"mix": mix, "say": (same, {"x": "mix.y"})})
    stream.push("b", 1, 0)
    assert stream.push("a", 1, 20) == {"answer": 20}
    assert [said(stream.live.answer(ms * MS, 0)) for ms in (30, 31)] == [{"answer": 20}, {}]


def test_an_answer_that_takes_presence_is_of_now():
    mix = (
        lambda z, x, p: p.sum(),
        {"z": "input.b", "x": "input.a"},
        {"members": ("input.b", "input.a"), "presence": "p", "valid_for_ms": 30},
    )
    stream = Stream({"mix": mix, "say": (same, {"x": "mix.y"})})
    stream.push("b", 1, 0)
    stream.push("a", 1, 20)
    assert [said(stream.live.answer(ms * MS, 0)) for ms in (50, 51)] == [{"answer": 2}, {}]


# what ends, and what comes late


def test_what_was_not_recognised_counts_as_one_arrival():
    nodes = {"see": (above_zero, {"x": "input.a"}, VALID), "say": (same, {"x": "see.y"}, {"trigger": "hop(2)"})}
    stream = Stream(nodes)
    for ms, value in enumerate([1, -1, -1, 1]):
        stream.push("a", value, ms)
    assert stream.fed("say") == [{"x": [1]}], "at the fourth; at the second there was nothing to read"


def test_an_input_that_has_ended_ages_as_usual_and_may_return():
    stream = Stream(
        {"see": (above_zero, {"x": "input.a"}, VALID), "say": (total, {"x": "see.y", "z": "input.b"})},
        inputs={"a": Slow(), "b": Slow()},
    )
    stream.live.end("a", "unplugged")
    assert stream.state("a", 0).reason == "unplugged"
    stream.live.push("a", [], 1 * MS)
    assert stream.state("a", 1).reason == "no data", "it is back, but has said nothing yet"
    stream.live.push("a", [5], 2 * MS)
    stream.live.end("a", "unplugged")
    assert stream.state("a", 3)[:2] == ("live", 1)


def test_an_input_that_returns_has_not_ended_though_its_encoder_waits_for_more():
    stream = Stream({"see": (same, {"x": "input.a"}, {"trigger": "hop(2)"}), "say": (same, {"x": "see.y"})})
    stream.live.end("a", "unplugged")
    stream.push("a", 1, 0)
    assert stream.state("a", 1).reason == "no data"


def test_late_values_are_counted_for_each_input_and_change_nothing():
    stream = Stream({"say": (total, {"x": "input.a", "z": "input.b"})})
    for name, value, ms in (("a", 1, 10), ("b", 1, 5), ("a", 7, 9), ("a", 7, 3), ("a", 2, 10)):
        stream.push(name, value, ms)
    assert stream.live.late == {"a": 2, "b": 0}
    assert stream.fed("say")[-1] == {"x": [2], "z": [1]}


def test_sound_is_late_by_its_first_sample():
    stream = Stream({"hear": (total, {"x": "input.a"})}, inputs={"a": Audio(1000, 10, 5)})
    stream.live.push("a", np.ones(5, np.float32), 10 * MS)
    stream.live.push("a", np.ones(5, np.float32), 12 * MS)
    assert stream.live.late == {"a": 0}


def test_a_misfit_that_a_feed_finds_while_it_yields_names_the_input():
    class Late(Slow):
        def open_feed(self):
            feed = super().open_feed()
            feed.push = self._yield
            return feed

        def _yield(self, raw, captured_ns):
            yield (np.ones((1, 1), np.float32),), captured_ns
            raise InputError("no more")

    stream = Stream({"say": (same, {"x": "input.a"})}, inputs={"a": Late()})
    with pytest.raises(InputError, match="input 'a': no more"):
        stream.live.push("a", [1], 0)
    assert stream.state("a", 0).state == "live"


# windows on edges


def test_a_window_is_oldest_first_behind_zeros_with_a_mask_and_ages():
    reads = {"x": "input.a[3]", "m": "input.a[3].mask", "g": "input.a[3].age"}
    stream = Stream({"say": (total, reads)})
    for ms in (0, 10, 25, 26):
        stream.push("a", ms + 1, ms)
    assert stream.fed("say") == [
        {"x": [0, 0, 1], "m": [False, False, True], "g": [0, 0, 0]},
        {"x": [0, 1, 11], "m": [False, True, True], "g": [0, 10, 0]},
        {"x": [1, 11, 26], "m": [True, True, True], "g": [25, 15, 0]},
        {"x": [11, 26, 27], "m": [True, True, True], "g": [16, 1, 0]},
    ]


def test_what_is_older_than_a_window_reaches_is_as_what_never_came():
    reads = {"x": "input.a[3, 20]", "m": "input.a[3, 20].mask", "g": "input.a[3, 20].age"}
    stream = Stream({"say": (total, reads)})
    for ms in (0, 20, 30):
        stream.push("a", ms + 1, ms)
    assert stream.fed("say")[1:] == [
        {"x": [0, 1, 21], "m": [False, True, True], "g": [0, 20, 0]},
        {"x": [0, 21, 31], "m": [False, True, True], "g": [0, 10, 0]},
    ]


def test_a_window_whose_newest_value_is_too_old_is_absent():
    nodes = {"say": (total, {"z": "input.b", "x": "input.a[2, 20]"})}
    stream = Stream(nodes)
    stream.push("a", 1, 0)
    assert stream.push("b", 1, 20) == {"answer": 2}
    assert stream.push("b", 1, 21) == {}


def test_values_in_a_window_expire_as_their_source_does():
    nodes = {"see": (same, {"x": "input.a"}, {"valid_for_ms": 15}), "say": (total, {"m": "see.y[3, 40].mask"})}
    stream = Stream(nodes)
    for ms in (0, 10, 20):
        stream.push("a", 1, ms)
    assert stream.fed("say")[-1] == {"m": [False, True, True]}


def test_a_window_keeps_what_its_source_has_lost_and_takes_no_loss():
    stream = Stream({"see": (above_zero, {"x": "input.a"}, VALID), "say": (total, {"x": "see.y[2]", "z": "input.b"})})
    for ms, value in enumerate([1, -9, 2, -9]):
        stream.push("a", value, ms)
    assert stream.push("b", 0, 9) == {"answer": 3}


def test_a_window_of_a_held_output_takes_only_what_was_recognised():
    see = (above_zero, {"x": "input.a"}, {**VALID, "hold": True})
    stream = Stream({"see": see, "say": (total, {"x": "see.y[2]", "z": "input.b"})})
    for ms, value in enumerate([1, -9, 2, -9]):
        stream.push("a", value, ms)
    assert stream.push("b", 0, 9) == {"answer": 3}


def test_a_window_of_a_lent_buffer_keeps_each_value():
    stream = Stream({"say": (total, {"x": "input.a[3]"})}, inputs={"a": Burst()})
    stream.live.push("a", [1, 2, 3], 0)
    assert stream.fed("say")[-1] == {"x": [1, 2, 3]}


def test_windows_of_one_edge_are_shared_and_of_other_lengths_are_not():
    nodes = {"one": (total, {"x": "input.a[2]"}), "two": (total, {"x": "input.a[2]", "z": "input.a[3]"})}
    stream = Stream(nodes)
    assert len(stream.live._windows) == 2
    for ms in range(3):
        stream.push("a", ms + 1, ms)
    assert stream.fed("two")[-1] == {"x": [2, 3], "z": [1, 2, 3]}


def test_a_window_over_several_tensors_keeps_those_that_are_read():
    stream = Stream({"say": (total, {"x": "input.a.number[2]", "c": "input.a.counts[2]"})}, inputs={"a": Pair()})
    for ms, counts in enumerate([True, False]):
        stream.live.push("a", (number(ms + 1), np.array([counts])), ms * MS)
    assert stream.fed("say")[-1] == {"x": [1, 2], "c": [True, False]}


def test_text_said_again_is_known_again():
    stream = Stream({"read": (total, {"x": "input.a"}, {"trigger": "change"})}, inputs={"a": Text(4)})
    for ms, line in enumerate(["ab", "ab", "ba"]):
        stream.live.push("a", line, ms)
    assert len(stream.fed("read")) == 2


EXPIRING = {"see": (same, {"x": "input.a"}, {"valid_for_ms": 100}), "mid": (same, {"x": "see.y"})}


def test_what_was_made_of_something_that_has_expired_is_absent_to_who_reads_it():
    mix = (
        lambda t, u, p, g: t[0] * p[0] + u[0] * p[1] + 100 * g[0],
        {"t": "mid.y", "u": "input.b"},
        {"members": ("mid", "input.b"), "presence": "p", "age": "g"},
    )
    stream = Stream({**EXPIRING, "mix": mix})
    stream.push("a", 5, 0)
    assert stream.push("b", 1, 100) == {"answer": 5 + 1 + 100 * 100}
    assert stream.push("b", 1, 101) == {"answer": 1}, "neither present nor of any age"
    assert stream.tick(101) == {"answer": 1}


def test_with_all_absent_however_far_there_is_no_answer():
    fuse = (lambda t, p: t[0] * p[0], {"t": "mid.y"}, {"members": ("mid",), "presence": "p"})
    stream = Stream({**EXPIRING, "mix": fuse})
    stream.push("a", 5, 0)
    assert stream.tick(100) == {"answer": 5}
    assert stream.tick(101) == {}


def test_a_node_does_not_run_on_what_was_made_of_something_that_has_expired():
    stream = Stream({**EXPIRING, "say": (total, {"t": "mid.y", "u": "input.b"})})
    stream.push("a", 5, 0)
    assert stream.push("b", 1, 100) == {"answer": 6}
    runs = len(stream.fed("say"))
    assert stream.push("b", 1, 101) == {}
    assert len(stream.fed("say")) == runs


def test_what_is_held_stands_by_itself():
    nodes = {
        **EXPIRING,
        "mid": (same, {"x": "see.y"}, {"hold": True, "valid_for_ms": 300}),
        "say": (total, {"t": "mid.y", "u": "input.b"}),
    }
    stream = Stream(nodes)
    stream.push("a", 5, 0)
    assert stream.push("b", 1, 300) == {"answer": 6}
    assert stream.push("b", 1, 301) == {}


def test_a_window_is_empty_again_after_a_reset():
    """Written a few times before, so that its next row is not the first."""
    stream = Stream(
        {
            "say": (
                lambda v, m: (v.ravel() * [100, 10, 1]).sum() + 0 * m.sum(),
                {"v": "input.a[3, 1000]", "m": "input.a[3, 1000].mask"},
            )
        }
    )
    for ms in range(4):
        stream.push("a", 7, ms)
    stream.live.reset()
    assert stream.push("a", 1, 2000) == {"answer": 1}
    assert stream.push("a", 1, 2500) == {"answer": 11}
    assert stream.push("a", 1, 3200) == {"answer": 11}, "the first is too old by now"


def test_what_never_ran_says_that_what_it_reads_is_absent():
    """Not that nothing came: something did, too far from its reference."""
    near = (total, {"x": "input.b", "z": "input.a"}, {"policy": "reference(input.a, 0)"})
    stream = Stream({"see": near, "say": (same, {"x": "input.c"})})
    stream.push("b", 1, 5)
    stream.push("a", 1, 100)
    assert stream.push("c", 1, 101) == {"answer": 1}
    assert stream.state("b", 101).reason == "what it reads is absent"


def test_what_is_said_again_is_as_new_as_that_to_who_reads_it_itself():
    nodes = {
        "see": (same, {"x": "input.a"}, {"trigger": "change"}),
        "mix": (
            lambda x, z, g: g[0] + 0 * (x[0] + z[0]),
            {"x": "input.a", "z": "input.b"},
            {"members": ("input.a", "input.b"), "age": "g"},
        ),
    }
    stream = Stream(nodes)
    stream.push("a", 1, 0)
    stream.push("b", 1, 0)
    stream.push("a", 1, 100)
    assert stream.push("b", 2, 150) == {"answer": 50}


def test_of_a_window_all_that_are_too_old_are_gone_and_only_they():
    stream = Stream({"say": (lambda v: (v.ravel() * [100, 10, 1]).sum(), {"v": "input.a[3, 100]"})})
    for ms in (0, 10, 105):
        stream.push("a", 7, ms)
    assert stream.tick(120) == {"answer": 7}
