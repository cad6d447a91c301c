"""Loops in a stream that the test drives itself: started by news, a step at a time, beside nodes that answer at once.

The loop says `100 a + count`, so every answer tells what it read at its start and how far it is.
"""

from __future__ import annotations

import numpy as np
import pytest
import tiny

import edgemm
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Policy, Trigger
from edgemm.runtime.schedule import Live
from edgemm.tensors import TensorSpec
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.outputs.array import Array

MS = 1_000_000


def value(number):
    return np.array([number], np.float32)


def said(result, output="story"):
    return None if result is None or output not in result.outputs else int(result.outputs[output][0])


def steps(live, count, now_ns=0):
    """What the next steps say."""
    return [said(live.resume(now_ns)) for _ in range(count)]


def to_the_end(live, now_ns=0):
    """Results of every step until no loop has more to do."""
    results = []
    while live.running:
        results.append(live.resume(now_ns))
    return results


@pytest.fixture(params=["bound", "plain"])
def live(request, counting, counting_bundle):
    """A stream with a loop of 30 steps, on ONNX Runtime's bindings and on a runner in Python."""
    if request.param == "plain":
        yield counting().live()
    else:
        with edgemm.open(counting_bundle()) as model:
            yield model.live()


@pytest.fixture
def lost_below_zero():
    """Makes the encoder fail on a negative input, so that what the loop reads is gone."""

    def before(name, feeds):
        if name == "encoder" and feeds["x"] < 0:
            raise RuntimeError("lost")

    return before


# what a loop says


def test_partial_answers_come_in_order_and_only_the_last_is_final(live):
    live.push("a", value(1), 0)
    results = to_the_end(live)
    assert [said(result) for result in results] == list(range(101, 131))
    assert [result.partial for result in results] == [("story",)] * 29 + [()]
    assert [result.final for result in results] == [False] * 29 + [True]


def test_news_only_starts_a_loop(live):
    assert live.running == ()
    assert live.push("a", value(1), 0) is None
    assert live.running == ("loop",)


def test_there_is_no_step_without_a_running_loop(live):
    assert live.resume(0) is None
    live.push("a", value(1), 0)
    to_the_end(live)
    assert live.resume(0) is None


def test_an_answer_beside_a_running_loop_is_complete_and_says_what_is_partial(live):
    live.push("a", value(1), 0)
    steps(live, 7)
    result = live.push("b", value(4), 5 * MS)
    assert (said(result, "fast"), said(result), result.partial) == (8, 107, ("story",))
    assert steps(live, 2, 6 * MS) == [108, 109], "the loop went on where it was"


def test_asking_for_an_answer_now_neither_runs_nor_restarts_a_loop(live):
    live.push("a", value(1), 0)
    steps(live, 7)
    result = live.tick(5 * MS)
    assert (said(result), result.partial) == (107, ("story",))
    assert steps(live, 1) == [108]


def test_a_result_of_a_step_is_of_the_time_of_the_step(live):
    live.push("a", value(1), 0)
    assert live.resume(40 * MS).at_ns == 40 * MS


def test_partial_answers_are_the_callers_own(live):
    live.push("a", value(1), 0)
    first = live.resume(0)
    live.resume(0)
    assert said(first) == 101


def test_loops_of_two_streams_share_nothing(counting_bundle):
    with edgemm.open(counting_bundle()) as model:
        one, other = model.live(), model.live()
        one.push("a", value(1), 0)
        other.push("a", value(2), 0)
        assert [steps(one, 2), steps(other, 1), steps(one, 1), steps(other, 1)] == [[101, 102], [201], [103], [202]]


# ends


def test_a_limit_ends_a_loop_that_would_go_on(counting):
    live = counting("until(stop, 7)").live()
    live.push("a", value(1), 0)
    results = to_the_end(live)
    assert [said(result) for result in results] == list(range(101, 108))
    assert [result.final for result in results] == [False] * 6 + [True]


def test_a_limit_counts_from_each_start(counting):
    live = counting("until(stop, 4)").live()
    live.push("a", value(1), 0)
    steps(live, 3)
    live.push("a", value(2), 1)
    assert [said(result) for result in to_the_end(live)] == [201, 202, 203, 204]


def test_resetting_what_a_loop_reads_stops_it(live):
    live.push("a", value(1), 0)
    steps(live, 3)
    live.reset("a")
    assert live.running == ()
    assert live.push("b", value(1), 1 * MS).outputs.keys() == {"fast"}
    live.push("a", value(2), 2 * MS)
    assert steps(live, 2) == [201, 202], "it begins at its beginning"


def test_resetting_everything_stops_a_loop(live):
    live.push("a", value(1), 0)
    live.reset()
    assert live.running == ()


def test_resetting_another_input_leaves_a_loop_alone(live):
    live.push("a", value(1), 0)
    steps(live, 3)
    live.reset("b")
    assert steps(live, 1) == [104]


# news


def test_a_change_of_what_it_reads_cancels_a_loop_and_starts_it_again(live):
    live.push("a", value(1), 0)
    steps(live, 5)
    live.push("a", value(2), 1 * MS)
    results = to_the_end(live)
    assert [said(result) for result in results] == list(range(201, 231))
    assert results[-1].final


@pytest.mark.parametrize("reads", ["input.a", "encoder.y"])
def test_a_loop_that_finishes_first_ends_with_what_it_read_at_its_start(counting, reads):
    live = counting("until(stop, 0, finish)", reads=reads, outputs={"encoded": "encoder.y"}).live()
    frame = value(1)
    live.push("a", frame, 0)
    assert steps(live, 2) == [101, 102]
    live.push("a", value(2), 1 * MS)
    frame[:] = 9  # it belongs to whoever pushed it again
    live.push("a", value(3), 2 * MS)
    assert steps(live, 28) == list(range(103, 131))


def test_news_that_has_waited_starts_a_loop_again_when_it_is_done(counting):
    live = counting("until(stop, 0, finish)", last=3).live()
    live.push("a", value(1), 0)
    steps(live, 1)
    live.push("a", value(2), 1 * MS)
    live.push("a", value(3), 2 * MS)
    results = to_the_end(live)
    assert [said(result) for result in results] == [102, 103, 301, 302, 303], "of what has waited, the newest"
    assert [result.final for result in results] == [False, True, False, False, True]


def test_a_loop_that_finishes_first_is_not_silenced_when_what_it_has_read_is_gone(counting, lost_below_zero):
    live = counting("until(stop, 0, finish)", last=4, before=lost_below_zero).live()
    live.push("a", value(1), 0)
    steps(live, 1)
    live.push("a", value(-1), 1 * MS)
    results = to_the_end(live)
    assert [said(result) for result in results] == [102, 103, 104]
    assert results[-1].final
    assert said(live.push("b", value(1), 2 * MS)) is None, "now there is nothing to speak of"


def test_without_news_a_loop_that_finishes_first_is_done(counting):
    live = counting("until(stop, 0, finish)", last=3).live()
    live.push("a", value(1), 0)
    assert [said(result) for result in to_the_end(live)] == [101, 102, 103]


def test_a_loop_is_cancelled_when_what_it_reads_is_gone_and_that_is_told(counting, lost_below_zero):
    live = counting(before=lost_below_zero).live()
    live.push("a", value(1), 0)
    steps(live, 3)
    result = live.push("a", value(-1), 1 * MS)
    assert live.running == ()
    assert (said(result), result.final) == (None, True), "nobody waits for a last word that will not come"


def test_under_a_barrier_a_loop_goes_on_with_what_it_read_until_all_of_it_is_new(counting):
    def nodes(made):
        reads = edges({"x": "encoder.y", "z": "input.b"})
        node = Node(
            "loop", "loop", reads, ("said", "count", "stop"), state={"count": "n"},
            trigger=Trigger.parse("until(stop)"), policy=Policy.parse("barrier"),
        )  # fmt: skip

        def counted(x, z, n):
            return [100 * x + 1000 * z + n + 1, n + 1, n + 1 >= 30]

        return {"loop": (node, made.plain("loop", counted, said="float32", count="float32", stop="bool"))}

    live = counting(nodes=nodes).live()
    live.push("a", value(1), 0)
    live.push("b", value(5), 0)
    assert steps(live, 2) == [5101, 5102]
    live.push("a", value(2), 1 * MS)
    assert steps(live, 2) == [5103, 5104]
    live.push("b", value(6), 2 * MS)
    assert steps(live, 2) == [6201, 6202]


def test_a_window_keeps_the_ages_that_it_had_when_the_loop_started(counting):
    def nodes(made):
        ages = made.plain("slow", lambda x: [x.sum(1, keepdims=True)])
        slow = Node("slow", "slow", edges({"x": "input.a[1].age"}), ("y",), trigger=Trigger.parse("tick(10)"))
        return {"slow": (slow, ages)}

    live = counting(reads="input.a[1].age", nodes=nodes, outputs={"ages": "slow.y"}).live()
    live.start(0)
    live.push("a", value(1), 40 * MS)
    assert steps(live, 1) == [1]
    (result,) = live.advance(100 * MS)
    assert said(result, "ages") == 60, "another node has looked at the same window later"
    assert steps(live, 1) == [2]


def test_a_loop_keeps_a_window_of_sound_that_is_only_lent():
    node = Node("loop", "loop", edges({"x": "input.sound"}), ("said", "stop"), trigger=Trigger.parse("until(stop, 9)"))
    graph = ModelGraph("m", {"sound": Audio(1000, 100, 20)}, (node,), {"story": Output.of("loop.said", Array())})

    class Sums:
        inputs = (TensorSpec("x", "float32", ("batch", 100)),)
        outputs = (TensorSpec("said", "float32", ("batch", 1)), TensorSpec("stop", "bool", ("batch", 1)))

        def run(self, feeds):
            return [feeds["x"].sum(1, keepdims=True), np.zeros((1, 1), bool)]

    live = Live(graph, {"loop": Sums()})
    live.push("sound", np.ones(100, np.float32), 0)
    assert steps(live, 1) == [100]
    live.push("sound", np.full(10, 7, np.float32), 100 * MS)
    assert steps(live, 1) == [100], "half a hop has been written, but is no news yet"


# several


def test_two_loops_take_turns(counting):
    order = []

    def nodes(made):
        return {"other": made.counter("other", "input.b", last=5)}

    def before(name, feeds):
        if "n" in feeds:
            order.append(int(100 * feeds["x"] + feeds["n"]))

    model = counting(last=3, nodes=nodes, outputs={"tale": "other.said"}, before=before)
    live = model.live()
    live.push("a", value(1), 0)
    live.push("b", value(2), 0)
    assert set(live.running) == {"loop", "other"}
    results = to_the_end(live)
    assert order == [200, 100, 201, 101, 202, 102, 203, 204]
    assert [result.partial for result in results] == [("story", "tale")] * 5 + [("tale",)] * 2 + [()]


def test_what_reads_a_loop_runs_after_each_step_and_is_partial_as_long(counting):
    def nodes(made):
        head = Node("head", "head", edges({"x": "loop.said"}), ("y",), role="head")
        return {"head": (head, made.plain("head", lambda x: [2 * x]))}

    live = counting(last=4, nodes=nodes, outputs={"story": "", "read": "head.y"}).live()
    live.push("a", value(1), 0)
    results = to_the_end(live)
    assert [said(result, "read") for result in results] == [202, 204, 206, 208]
    assert [result.partial for result in results] == [("read",)] * 3 + [()]


def test_a_node_at_a_rate_reads_how_far_a_loop_is(counting):
    def nodes(made):
        slow = Node("slow", "slow", edges({"x": "loop.said"}), ("y",), trigger=Trigger.parse("tick(10)"))
        return {"slow": (slow, made.plain("slow", lambda x: [2 * x]))}

    live = counting(nodes=nodes, outputs={"read": "slow.y"}).live()
    live.start(0)
    live.push("a", value(1), 0)
    steps(live, 5)
    (result,) = live.advance(100 * MS)
    assert (said(result, "read"), result.partial) == (210, ("story", "read"))


def test_a_loop_that_reads_a_node_at_a_rate_starts_at_its_deadlines(counting):
    def nodes(made):
        node = Node("encoder", "encoder", edges({"x": "input.a"}), ("y",), trigger=Trigger.parse("tick(10)"))
        return {"encoder": (node, made.plain("encoder", lambda x: [x]))}

    live = counting(nodes=nodes).live()
    live.start(0)
    live.push("a", value(1), 0)
    assert live.running == ()
    list(live.advance(100 * MS))
    assert steps(live, 3) == [101, 102, 103]
    live.push("a", value(2), 150 * MS)
    assert steps(live, 1) == [104]
    list(live.advance(200 * MS))
    assert steps(live, 1) == [201]


# failures


def test_a_loop_that_fails_is_over_and_told_and_is_tried_again(counting):
    broken, told = [], []

    def before(name, feeds):
        if name == "loop" and broken:
            raise RuntimeError(broken.pop())

    live = counting(before=before).live(on_failure=lambda *words: told.append(words))
    live.push("a", value(1), 0)
    steps(live, 3)
    broken.append("out of memory")
    result = live.resume(10 * MS)
    assert (said(result), result.final) == (None, True)
    assert live.running == ()
    assert live.failing == {"loop": "RuntimeError: out of memory"}
    assert [(name, str(error)) for name, error in told] == [("loop", "out of memory")]
    live.push("b", value(1), 50 * MS)
    assert live.running == (), "in quarantine"
    live.push("b", value(1), 110 * MS)
    assert steps(live, 2, 110 * MS) == [101, 102], "tried again, from its beginning, on what it would read now"
    assert live.failing == {}


def test_resetting_a_loop_that_has_failed_ends_its_quarantine(counting):
    broken = ["out of memory"]

    def before(name, feeds):
        if name == "loop" and broken:
            raise RuntimeError(broken.pop())

    live = counting(before=before).live()
    live.push("a", value(1), 0)
    live.resume(0)
    live.reset()
    assert live.failing == {}
    live.push("a", value(2), 1 * MS)
    assert steps(live, 1) == [201]


def test_a_failing_loop_holds_up_nobody(counting):
    def before(name, feeds):
        if name == "loop":
            raise RuntimeError("broken")

    live = counting(before=before).live()
    live.push("a", value(1), 0)
    live.resume(0)
    assert said(live.push("b", value(4), 1 * MS), "fast") == 8


def counts(x, c):
    return 100 * x[0] + c[0] + 1, c[0] + 1, c[0] >= 5


COUNTS = {"outputs": ("y", "c2", "stop"), "state": {"c2": "c"}, "trigger": "until(stop)"}


def test_until_its_first_step_its_state_too_is_what_it_said_last():
    stream = tiny.Stream({"say": (counts, {"x": "input.a"}, COUNTS)}, {"count": "say.c2"})
    stream.push("a", 1, 0)
    assert [tiny.said(stream.live.resume(ms * MS)) for ms in (1, 2)] == [{"count": 1}, {"count": 2}]
    stream.push("a", 2, 3)
    assert stream.tick(4) == {"count": 2}
    assert tiny.said(stream.live.resume(5 * MS)) == {"count": 1}


def test_a_loop_keeps_what_a_feed_only_lends_it_where_others_answer():
    """Sound is lent as a view of a ring, which the next block overwrites; a loop reads it later."""
    nodes = {
        "loop": (lambda x, c: (x.sum(), c[0] + 1, c[0] >= 3), {"x": "input.a"}, COUNTS),
        "say": (lambda x: x[0], {"x": "loop.y"}),
    }
    stream = tiny.Stream(nodes, inputs={"a": Audio(1000, window_ms=8, hop_ms=8)})
    stream.live.push("a", np.ones(8, np.float32), 0)
    stream.live.resume(MS)
    stream.live.push("a", np.full(7, 7, np.float32), 8 * MS)
    stream.live.resume(2 * MS)
    assert [fed["x"] for fed in stream.fed("loop")] == [[1.0] * 8] * 2
