"""Faults do what they say, count by count: a test that leans on them must know what was sent."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet
from edgemm.tensors import BATCH, TensorSpec
from edgemm.testing import faults

MS = 1_000_000


class Numbers:
    """Packets 0 to 9, one each ms."""

    inputs, live = ("a",), False

    def __init__(self):
        self.closed = 0

    def packets(self, stopped):
        for number in range(10):
            if stopped():
                return
            yield Packet("a", number, number * MS, number)

    def close(self):
        self.closed += 1


def values(*chosen):
    return [packet.value for packet in faults.Disturbed(Numbers(), *chosen).packets(lambda: False)]


def stamps(*chosen):
    return [packet.captured_ns // MS for packet in faults.Disturbed(Numbers(), *chosen).packets(lambda: False)]


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (faults.drop(every=3), [0, 1, 3, 4, 6, 7, 9]),
        (faults.gap(after=2, packets=5), [0, 1, 7, 8, 9]),
        (faults.freeze(after=8), [0, 1, 2, 3, 4, 5, 6, 7, 7, 7]),
        (faults.freeze(after=2, packets=3), [0, 1, 1, 1, 1, 5, 6, 7, 8, 9]),
        (faults.repeat(every=4), [0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9]),
        (faults.reorder(depth=4), [3, 2, 1, 0, 7, 6, 5, 4, 9, 8]),
        (faults.corrupt(None, every=5), [0, 1, 2, 3, None, 5, 6, 7, 8, None]),
        (faults.corrupt(lambda own: -own, every=5), [0, 1, 2, 3, -4, 5, 6, 7, 8, -9]),
    ],
)
def test_what_is_left_of_ten_packets(fault, left):
    assert values(fault) == left


def test_what_is_held_back_comes_later_and_none_is_lost():
    taken = []

    def note(packets):
        for packet in packets:
            taken.append(packet.value)
            yield packet

    disturbed = faults.Disturbed(Numbers(), note, faults.hold_back(packets=3)).packets(lambda: False)
    assert next(disturbed).value == 0
    assert taken == [0, 1, 2, 3]
    assert [packet.value for packet in disturbed] == list(range(1, 10))


def test_clocks_are_wrong_from_a_packet_on_or_always():
    assert stamps(faults.jump(after=7, by_ms=1000)) == [0, 1, 2, 3, 4, 5, 6, 1007, 1008, 1009]
    assert stamps(faults.skew(ms=-5)) == [number - 5 for number in range(10)]


def test_a_fault_may_last_for_a_while():
    assert stamps(faults.during(faults.skew(ms=100), first=2, last=4)) == [0, 1, 102, 103, 4, 5, 6, 7, 8, 9]
    assert values(faults.during(faults.drop(every=1), first=0, last=9)) == [9]


def test_faults_may_come_and_go():
    gone = faults.rounds(faults.during(faults.drop(every=1), first=1, last=3), packets=4)
    assert values(gone) == [0, 3, 4, 7, 8]
    assert values(faults.rounds(faults.drop(every=2), faults.repeat(every=3), packets=5)) == [0, 2, 4, 4, 5, 7, 9, 9]


def test_a_disturbed_source_says_what_the_one_behind_it_says():
    source = Numbers()
    assert (faults.Disturbed(source).dropped, faults.Disturbed(source).absent) == (0, "")
    source.dropped, source.absent = 3, "unplugged"
    assert (faults.Disturbed(source).dropped, faults.Disturbed(source).absent) == (3, "unplugged")


def test_a_packet_may_name_another_input():
    disturbed = faults.Disturbed(Numbers(), faults.misname("b", every=2))
    assert [packet.input for packet in disturbed.packets(lambda: False)] == ["a", "b"] * 5
    assert disturbed.sent == {"a": 5, "b": 5}


def test_faults_are_applied_in_order():
    assert values(faults.drop(every=2), faults.reorder(depth=5)) == [8, 6, 4, 2, 0]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.disconnect(after=3), SourceError),
        (faults.disconnect(after=3, error=ValueError("x")), ValueError),
        (faults.exit_thread(after=3), SystemExit),
    ],
)
def test_a_source_breaks_down_after_so_many_packets(fault, error):
    disturbed = faults.Disturbed(Numbers(), fault)
    with pytest.raises(error):
        list(disturbed.packets(lambda: False))
    assert disturbed.sent == {"a": 3}


def test_a_source_that_hangs_is_let_go():
    release = threading.Event()
    release.set()
    assert values(faults.hang(release, after=4)) == [0, 1, 2, 3]


def test_a_disturbed_source_closes_and_stops_as_the_one_behind_it():
    numbers = Numbers()
    disturbed = faults.Disturbed(numbers, faults.drop(every=2))
    disturbed.close()
    assert numbers.closed == 1
    assert (disturbed.inputs, disturbed.live) == (("a",), False)
    assert list(disturbed.packets(lambda: True)) == []


@pytest.mark.parametrize(
    "method", ["__call__", "write", "on_start", "on_packet", "on_result", "on_drop", "on_error", "on_stop"]
)
def test_a_listener_fails_from_a_call_on(method):
    listener = faults.Failing(after=2)
    told = () if method == "on_stop" else (1,)
    for _ in range(2):
        getattr(listener, method)(*told)
    with pytest.raises(RuntimeError, match="told to fail"):
        getattr(listener, method)(*told)
    assert listener.calls == {method: 3}


def test_a_listener_asks_who_is_behind_it_and_fails_only_where_it_is_said():
    got = []

    class Sink:
        write = staticmethod(got.append)

        def close(self):
            got.append("closed")

    sink = faults.Failing(Sink(), only=("close",), error=OSError("full"))
    sink.write(1)
    with pytest.raises(OSError, match="full"):
        sink.close()
    faults.Failing(Sink()).close()
    assert got == [1, "closed"]


def test_a_listener_blocks_until_it_is_released():
    release, done = threading.Event(), threading.Event()
    sink = faults.Blocking(release, after=1)
    sink.write(1)
    thread = threading.Thread(target=lambda: (sink.write(2), done.set()), daemon=True)
    thread.start()
    assert not done.wait(0.05)
    release.set()
    assert done.wait(10)


class Doubled:
    inputs = outputs = (TensorSpec("y", "float32", (BATCH, 1)), TensorSpec("ok", "bool", (BATCH, 1)))
    closed = False

    def run(self, feeds):
        return [feeds["y"] * 2, np.array([[True]])]

    def close(self):
        self.closed = True


def test_a_runner_fails_at_the_runs_that_were_chosen():
    runner = faults.FailingRunner(Doubled(), first=1, last=2)
    feeds = {"y": np.ones((1, 1), np.float32)}
    assert runner.run(feeds)[0].tolist() == [[2]]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the device is gone"):
            runner.run(feeds)
    assert runner.run(feeds)[0].tolist() == [[2]]
    assert runner.runs == 4


def test_a_runner_answers_what_is_no_number():
    behind = Doubled()
    runner = faults.NotFiniteRunner(behind, first=1)
    feeds = {"y": np.ones((1, 1), np.float32)}
    assert runner.run(feeds)[0].tolist() == [[2]]
    number, flag = runner.run(feeds)
    assert np.isnan(number).all()
    assert flag.tolist() == [[True]]
    runner.close()
    assert behind.closed
