"""Readers that are slow or stuck: what they see is bounded by age, the newest wins, and nobody holds up anybody else."""

from __future__ import annotations

import threading

import pytest
from serving import put, served

SECOND_NS = 1_000_000_000


class Clock:
    """Stands still until a test moves it."""

    def __init__(self):
        self.ns = 0

    def __call__(self):
        return self.ns


@pytest.fixture
def standing():
    return Clock()


# age


@pytest.mark.parametrize(
    ("waited_ns", "got", "dropped"), [(SECOND_NS, [1, 2, 3, 4], 0), (SECOND_NS + 1, [4], 3), (25 * SECOND_NS, [4], 3)]
)
def test_once_the_oldest_has_waited_a_second_an_iterator_gets_the_newest(outlet, standing, waited_ns, got, dropped):
    made = outlet(clock=standing)
    put(made, 1, 2, 3)
    standing.ns += waited_ns // 2
    put(made, 4)
    standing.ns = waited_ns
    made.finish()
    assert list(made.iterate()) == got
    assert made.dropped == dropped


def test_a_callback_that_was_slow_gets_the_newest_and_then_every_one(outlet, standing, gate):
    got = []

    def slow(result):
        got.append(result)
        if result == 0:
            gate()

    made = outlet(slow, clock=standing)
    put(made, 0)
    gate.reached()
    for result in range(1, 301):
        standing.ns += SECOND_NS // 10
        put(made, result)
    gate.open()
    served(made)
    assert got == [0, *range(got[1], 301)]
    assert got[1] >= 300 - 11, "nothing older than a second"
    assert made.dropped == got[1] - 1


def test_what_waited_too_long_is_forgotten_when_something_newer_comes(outlet, standing):
    made = outlet(clock=standing)
    put(made, 1, 2)
    standing.ns = SECOND_NS + 1
    put(made, 3)
    assert made.dropped == 2


def test_where_nothing_may_be_lost_age_is_no_matter(outlet, standing):
    made = outlet(block=True, clock=standing)
    put(made, 1, 2)
    standing.ns = 3600 * SECOND_NS
    put(made, 3)
    made.finish()
    assert list(made.iterate()) == [1, 2, 3]
    assert made.dropped == 0


def test_a_stream_s_answers_age_on_its_own_clock(stream, script, fake_model):
    class Hour:
        """The stream's clock: an hour passes whenever it is looked at."""

        ns = 0

        def __call__(self):
            self.ns += 3600 * SECOND_NS
            return self.ns

    source = script((0, "image", 1), (0, "image", 2), (0, "image", 3), live=True, zero_ns=0)
    made = stream(fake_model(), source, clock=Hour())
    assert made.wait(10)
    assert [value for _, value, _ in made] == [3]
    assert made.drops_by_cause == {("results", "not taken in time"): 2}


# nobody holds up anybody else


@pytest.fixture
def never():
    """An event that does not come while the test runs."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("block", [True, False])
def test_a_stuck_sink_starves_no_other(outlet, sink_of, never, block):
    class Stuck(sink_of):
        def write(self, result):
            never.wait(1000)

    seen, all_seen = [], threading.Event()

    def good(result):
        seen.append(result)
        if result == 29:
            all_seen.set()

    made = outlet(good, sinks=[Stuck()], block=block)
    put(made, *range(30))
    came = all_seen.wait(10)
    never.set()
    assert came, "it waits for the other"
    assert seen == list(range(30))


def test_each_callback_and_sink_has_a_thread_of_its_own(outlet, sink_of):
    class Where(sink_of):
        def write(self, result):
            threads.add(threading.current_thread())

    threads = set()
    made = outlet(lambda result: threads.add(threading.current_thread()), sinks=[Where(), Where()])
    put(made, 1)
    served(made)
    assert len(threads) == 3


def test_what_several_readers_lose_is_added_up(outlet, standing, gate):
    both = threading.Barrier(3, timeout=10)

    def stuck(result):
        if result == 0:
            both.wait()
            gate()

    made = outlet(stuck, stuck, clock=standing)
    put(made, 0)
    both.wait()
    put(made, 1)
    standing.ns = 2 * SECOND_NS
    put(made, 2)
    assert made.dropped == 2


def test_a_sink_that_has_enough_lets_the_others_have_the_rest(outlet, sink_of):
    few, all_of_them = sink_of(finished_after=1), sink_of()
    ended = threading.Event()
    made = outlet(sinks=[few, all_of_them], on_finished=ended.set)
    put(made, 1)
    assert ended.wait(10)
    put(made, 2, 3)
    served(made)
    assert (few.got, all_of_them.got) == ([1], [1, 2, 3])
    assert (few.closed, all_of_them.closed) == (1, 1)


def test_a_muted_sink_holds_up_no_model_and_is_closed_at_the_end(outlet, sink_of, background):
    bad = sink_of(fails=RuntimeError("disk full"))
    made = outlet(sinks=[bad], block=True)
    background(put, made, *range(600)).end()
    assert made.wait(0.01) is False, "the stream goes on"
    assert bad.closed == 0
    served(made)
    assert (bad.got, bad.closed, made.dropped) == ([0], 1, 0)


def test_a_sink_that_has_enough_holds_up_no_model(outlet, sink_of, background):
    ended = threading.Event()
    made = outlet(sinks=[sink_of(finished_after=1)], on_finished=ended.set, block=True)
    put(made, 0)
    assert ended.wait(10)
    background(put, made, *range(600)).end()


def test_where_sinks_take_the_results_an_iterator_gets_none(outlet, sink_of):
    sink = sink_of()
    made = outlet(sinks=[sink])
    put(made, 1, 2)
    served(made)
    assert list(made.iterate()) == []
    assert sink.got == [1, 2]
