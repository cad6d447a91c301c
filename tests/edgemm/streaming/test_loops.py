"""Loops in a threaded stream: whatever waits is perceived before the next step, and a stream ends when its loops have.

The loop says `100 a + count`. Where order matters it is forced: a step is held at a gate while its sources deliver.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

import edgemm
from edgemm.model.edge import edges
from edgemm.model.graph import Node
from edgemm.model.rules import Trigger
from edgemm.streaming.stream import Stream

MS = 1_000_000


def value(number):
    return np.array([number], np.float32)


def a(at_ms, number):
    return (at_ms, "a", value(number))


def b(at_ms, number):
    return (at_ms, "b", value(number))


def said(results):
    """What each result says of the loop, leaving out those before its first step."""
    return [int(result.outputs["story"][0]) for result in results if "story" in result.outputs]


class Steps:
    """Notes each run of the loop and of the node beside it; holds one of the loop's at a gate, or does something in it.

    Attributes:
        order: (node, what the loop has counted so far, or what the node reads), as they began.
    """

    def __init__(self, gate=None, at=0, each=lambda: None):
        self.order = []
        self._gate, self._at, self._each = gate, at, each

    def __call__(self, name, feeds):
        if name == "encoder":
            return
        self.order.append((name, int(feeds.get("n", feeds["x"]))))
        if name == "loop":
            self._each()
            if self._gate is not None and feeds["n"] == self._at:
                self._gate()

    def of(self, name):
        return [number for each, number in self.order if each == name]


@pytest.fixture
def live_script(script, clock):
    """Makes live sources that follow a script."""
    return lambda *steps: script(*steps, live=True, zero_ns=clock.ns)


# what comes out


@pytest.mark.parametrize("realtime", [True, False])
def test_partial_answers_come_in_order_and_the_last_is_final(counting_bundle, script, realtime):
    source = script(a(0, 1))
    with edgemm.stream(counting_bundle(), {"a": source}, realtime=realtime) as results:
        got = list(results)
    assert said(got) == list(range(101, 131))
    assert [result.final for result in got] == [False] * 29 + [True]


def test_a_change_while_a_step_runs_starts_the_loop_again_after_it(stream, live_script, counting, gate):
    source = live_script(a(0, 1), gate.reached, a(0, 2), gate.open)
    got = list(stream(counting(last=5, before=Steps(gate, at=2)), source))
    assert said(got) == [101, 102, 103, 201, 202, 203, 204, 205]


def test_with_finish_a_change_waits_until_the_loop_is_done(stream, live_script, counting, gate):
    source = live_script(a(0, 1), gate.reached, a(0, 2), gate.open)
    got = list(stream(counting("until(stop, 0, finish)", last=4, before=Steps(gate, at=2)), source))
    assert said(got) == [101, 102, 103, 104, 201, 202, 203, 204]


# perception first


def test_packets_that_wait_are_taken_before_the_next_step(stream, live_script, counting, gate):
    steps = Steps(gate, at=1)
    source = live_script(a(0, 1), gate.reached, b(0, 7), b(0, 8), b(0, 9), gate.open)
    list(stream(counting(last=4, before=steps), source))
    assert steps.order == [
        *[("loop", 0), ("loop", 1)],
        *[("fast", 7), ("fast", 8), ("fast", 9)],
        *[("loop", 2), ("loop", 3)],
    ]


def test_between_two_steps_an_answer_of_the_other_node_comes_out_with_what_is_partial(
    stream, live_script, counting, gate
):
    source = live_script(a(0, 1), gate.reached, b(0, 7), gate.open)
    got = list(stream(counting(last=3, before=Steps(gate, at=1)), source))
    beside = got[2]
    assert (beside.outputs["fast"][0], said([beside]), beside.partial) == (14, [102], ("story",))


def test_a_deadline_that_has_come_is_answered_before_the_next_step(stream, script, counting, clock):
    def nodes(made):
        node = Node("fast", "fast", edges({"x": "input.b"}), ("y",), trigger=Trigger.parse("tick(10)"))
        return {"fast": (node, made.plain("fast", lambda x: [2 * x]))}

    def take_40_ms():
        clock.ns += 40 * MS

    steps = Steps(each=take_40_ms)
    model = counting(last=5, nodes=nodes, before=steps)
    list(stream(model, script(b(0, 7), a(0, 1))))
    assert [name for name, _ in steps.order] == ["loop", "loop", "loop", "fast", "loop", "loop"], "due after 100 ms"


def test_a_loop_waits_for_nobody_where_nothing_comes(stream, script, counting, background):
    made = stream(counting(last=200), script(a(0, 1), hang=True))

    def to_the_last_word():
        return next(result.final for result in made if said([result]) == [300])

    assert background(to_the_last_word).end()


# as fast as possible


def test_as_fast_as_possible_a_loop_is_done_before_the_next_packet(stream, script, counting):
    source = script(a(0, 1), a(10, 2), b(20, 7))
    got = list(stream(counting(last=3), source, realtime=False))
    assert said(got) == [101, 102, 103, 201, 202, 203, 203]
    assert [result.at_ns // MS for result in got] == [0, 0, 0, 10, 10, 10, 20]


def test_as_fast_as_possible_whoever_is_late_changes_nothing(stream, script, counting):
    def run(before_a, before_b):
        sources = (script(*before_a, a(0, 1), a(10, 2)), script(*before_b, b(5, 7), b(15, 8)))
        got = list(stream(counting(last=3), *sources, realtime=False))
        return [(r.at_ns, r.partial, {name: float(v[0]) for name, v in r.outputs.items()}) for r in got]

    waits = threading.Event()
    on_time = run([], [])
    assert run([lambda: waits.wait(0.05)], []) == run([], [lambda: waits.wait(0.05)]) == on_time


def at_a_rate(made):
    """The encoder, ten times a second."""
    node = Node("encoder", "encoder", edges({"x": "input.a"}), ("y",), trigger=Trigger.parse("tick(10)"))
    return {"encoder": (node, made.plain("encoder", lambda x: [x]))}


def test_as_fast_as_possible_a_loop_that_a_deadline_starts_is_done_before_the_next(stream, script, counting):
    source = script(a(0, 1), a(150, 2), b(320, 7))
    got = list(stream(counting(last=2, nodes=at_a_rate), source, realtime=False))
    assert [(result.at_ns // MS, *said([result]), result.final) for result in got if said([result])] == [
        *[(100, 101, False), (100, 102, True)],
        *[(200, 102, False), (200, 201, False), (200, 202, True)],
        *[(300, 202, False), (300, 201, False), (300, 202, True)],
        (320, 202, True),
    ]


def test_as_fast_as_possible_the_last_deadline_of_a_limited_stream_finishes_its_loop(stream, script, counting):
    source = script(a(0, 1))
    got = list(stream(counting(last=3, nodes=at_a_rate), source, realtime=False, seconds=0.1))
    assert said(got) == [101, 102, 103]
    assert got[-1].final


# ends


@pytest.mark.parametrize("live", [True, False])
def test_a_stream_whose_sources_have_ended_finishes_its_loops(stream, script, counting, gate, clock, live):
    source = script(a(0, 1), live=live, zero_ns=clock.ns)
    made = stream(counting(before=Steps(gate, at=0)), source)
    assert source.ended.wait(10)
    gate.open()
    got = list(made)
    assert said(got) == list(range(101, 131))
    assert got[-1].final


@pytest.mark.parametrize("realtime", [True, False])
def test_closing_ends_a_loop_within_the_step_that_runs(script, counting, gate, background, waits_in, realtime):
    steps = Steps(gate, at=3)
    made = Stream(counting("until(stop)", last=10**6, before=steps), [script(a(0, 1), hang=True)], realtime=realtime)
    gate.reached()
    closing = background(made.close)
    waits_in(closing, "close")
    gate.open()
    closing.end()
    assert steps.of("loop") == [0, 1, 2, 3]
    assert not any(thread.is_alive() for thread in made._threads)


def test_a_limited_stream_ends_while_a_loop_runs(stream, script, counting, clock):
    def take_10_ms():
        clock.ns += 10 * MS

    steps = Steps(each=take_10_ms)
    made = stream(counting(last=10**6, before=steps), script(a(0, 1), hang=True), seconds=0.1)
    got = list(made)
    assert steps.of("loop") == list(range(10))
    assert not got[-1].final, "time was over before the loop was"


# failures


def test_a_loop_that_fails_is_told_and_the_stream_goes_on(stream, script, counting):
    def before(name, feeds):
        if name == "loop" and feeds["n"] == 2:
            raise RuntimeError("out of memory")

    source = script(a(0, 1), b(10, 7))
    made = stream(counting(before=before), source, realtime=False)
    got = list(made)
    assert said(got) == [101, 102]
    assert made.failing == {"loop": "RuntimeError: out of memory"}
    assert got[-1].outputs["fast"][0] == 14
