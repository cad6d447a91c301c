"""Where results leave a stream: what waits, who is served, and what happens at the end."""

from __future__ import annotations

import threading

import pytest
from serving import put, served

from edgemm.streaming.interfaces import Observer

HELD = 256  # results that wait for whoever iterates


@pytest.fixture(autouse=True)
def readers_are_woken_and_do_not_look_by_themselves(monkeypatch):
    monkeypatch.setattr("edgemm.streaming.outlets.POLL_S", 1000)


# results that wait for whoever iterates


def test_results_come_out_in_order_until_the_end(outlet):
    made = outlet()
    put(made, 1, 2, 3)
    made.finish()
    assert list(made.iterate()) == [1, 2, 3]


def test_iterating_waits_for_what_comes(outlet, background, waits_in):
    made = outlet()
    reader = background(lambda: list(made.iterate()))
    waits_in(reader, "iterate")
    put(made, 1)
    made.finish()
    assert reader.end() == [1]


def test_results_that_nobody_takes_make_room_and_are_counted(outlet):
    made = outlet(block=False)
    put(made, *range(HELD))
    assert made.dropped == 0
    put(made, HELD, HELD + 1)
    assert made.dropped == 2
    made.finish()
    assert list(made.iterate()) == list(range(2, HELD + 2))


def test_when_nothing_may_be_lost_the_model_waits_for_the_reader(outlet, background, waits_in):
    made = outlet(block=True)
    put(made, *range(HELD))
    sender = background(made.put, HELD)
    waits_in(sender, "put")
    results = made.iterate()
    assert next(results) == 0
    sender.end()
    made.finish()
    assert list(results) == list(range(1, HELD + 1))
    assert made.dropped == 0


def test_waiting_for_the_end_instead_of_reading_lets_the_model_go_on(outlet, background, waits_in):
    made = outlet(block=True)
    put(made, *range(HELD))
    sender = background(made.put, HELD)
    waits_in(sender, "put")
    waiter = background(made.wait, None)
    sender.end()
    assert made.dropped == 1
    made.finish()
    assert waiter.end() is True


def test_waiting_gives_up_when_its_time_is_over(outlet):
    made = outlet()
    assert made.wait(0.01) is False
    made.finish()
    assert made.wait(0.01) is True


def test_letting_go_releases_a_model_that_waits(outlet, background, waits_in):
    made = outlet(block=True)
    put(made, *range(HELD))
    sender = background(made.put, HELD)
    waits_in(sender, "put")
    made.release()
    sender.end()


def test_what_comes_after_letting_go_is_not_delivered(outlet):
    made = outlet()
    put(made, 1)
    made.release()
    put(made, 2)
    made.finish()
    assert list(made.iterate()) == []


def test_closing_ends_whoever_iterates(outlet, background, waits_in):
    made = outlet()
    reader = background(lambda: list(made.iterate()))
    waits_in(reader, "iterate")
    made.close()
    assert reader.end() == []


# callbacks and sinks


def test_callbacks_and_sinks_get_every_result_in_order(outlet, sink_of):
    got, sink = [], sink_of()
    made = outlet(got.append, sinks=[sink])
    put(made, 1, 2, 3)
    served(made)
    assert got == sink.got == [1, 2, 3]


def test_callbacks_and_sinks_are_served_on_a_thread_of_their_own(outlet):
    threads = []
    made = outlet(lambda result: threads.append(threading.current_thread().name))
    put(made, 1)
    served(made)
    assert threads == ["edgemm-sinks"]


def test_a_forgotten_stream_does_not_keep_the_program_alive(outlet):
    daemons = []
    made = outlet(lambda result: daemons.append(threading.current_thread().daemon))
    put(made, 1)
    served(made)
    assert daemons == [True]


def test_an_observer_gets_results_only_if_it_asks_for_them(outlet):
    class Asks(Observer):
        def on_result(self, result):
            got.append(result)

    got = []
    made = outlet(observer=Asks())
    put(made, 1)
    served(made)
    assert got == [1]

    silent = outlet(observer=Observer())
    put(silent, 1)
    silent.finish()
    assert list(silent.iterate()) == [1], "nobody is served, so results wait for whoever iterates"


def test_sinks_are_closed_once_all_is_delivered(outlet, sink_of):
    sink = sink_of()
    made = outlet(sinks=[sink])
    put(made, 1)
    assert sink.closed == 0
    served(made)
    assert (sink.got, sink.closed) == ([1], 1)


def test_waiting_for_a_slow_callback_gives_up_when_its_time_is_over(outlet, gate):
    made = outlet(gate)
    put(made, 1)
    made.finish()
    gate.reached()
    assert made.wait(0.01) is False
    assert made.wait(0.25) is False, "it waits in steps"
    gate.open()
    assert made.wait(10) is True


def test_waiting_without_a_limit_ends_when_all_is_delivered(outlet, gate, background):
    made = outlet(gate)
    put(made, 1)
    made.finish()
    gate.reached()
    waiter = background(made.wait, None)
    gate.open()
    assert waiter.end() is True


def test_letting_go_delivers_nothing_more_to_a_slow_callback(outlet, gate):
    got = []

    def slow(result):
        got.append(result)
        gate()

    made = outlet(slow)
    put(made, 1, 2, 3)
    gate.reached()
    made.release()
    gate.open()
    served(made)
    assert got == [1]


def test_closing_delivers_nothing_more_to_a_slow_callback(outlet, gate, background, waits_in):
    got = []

    def slow(result):
        got.append(result)
        gate()

    made = outlet(slow)
    put(made, 1, 2, 3)
    gate.reached()
    closer = background(made.close)
    waits_in(closer, "close")
    gate.open()
    closer.end()
    assert got == [1]


def test_closing_waits_until_the_sinks_are_closed(outlet, sink_of, gate, background, waits_in):
    class Slow(sink_of):
        def write(self, result):
            gate()

    sink = Slow()
    made = outlet(sinks=[sink])
    put(made, 1)
    gate.reached()
    closer = background(made.close)
    waits_in(closer, "close")
    assert sink.closed == 0
    gate.open()
    closer.end()
    assert sink.closed == 1


def test_closing_does_not_wait_for_ever_for_a_sink_that_hangs(outlet, gate, background, monkeypatch):
    monkeypatch.setattr("edgemm.streaming.outlets.CLOSING_S", 0.01)
    made = outlet(gate)
    put(made, 1)
    gate.reached()
    background(made.close).end()


def test_a_callback_may_close_its_own_outlet(outlet):
    closed = threading.Event()

    def close(result):
        made.close()
        closed.set()

    made = outlet(close)
    put(made, 1)
    assert closed.wait(10)
    assert made.muted == {}


# sinks that have enough


def test_a_sink_that_is_finished_ends_the_stream_and_gets_no_more(outlet, sink_of):
    ended = threading.Event()
    sink = sink_of(finished_after=2)
    made = outlet(sinks=[sink], on_finished=ended.set)
    put(made, *range(5))
    assert ended.wait(10)
    assert made.wait(10)
    assert (sink.got, sink.closed) == ([0, 1], 1)


def test_one_finished_sink_is_enough(outlet, sink_of):
    ended = threading.Event()
    made = outlet(sinks=[sink_of(), sink_of(finished_after=1)], on_finished=ended.set)
    put(made, 1)
    assert ended.wait(10)


def test_nobody_ends_the_stream_without_a_finished_sink(outlet, sink_of):
    ended = threading.Event()
    made = outlet(sinks=[sink_of(), sink_of(finished_after=3)], on_finished=ended.set)
    put(made, 1, 2)
    served(made)
    assert not ended.is_set()
