"""An hour of a stream in seconds, with faults that come and go: every packet is accounted for, queues stay short, and memory stays what it was.

On virtual time, which the sound moves on: it waits for the model, and everything else waits for the time. `make soak` does the same in real time.
"""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from conducting import AFTER_TAKING, PATIENCE_S
from fault_matrix import Summed

import edgemm
from edgemm.host.interfaces import Packet
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Tick
from edgemm.runtime.schedule import Live
from edgemm.streaming.channels import Queue
from edgemm.streaming.interfaces import Observer
from edgemm.streaming.stream import Stream
from edgemm.testing import faults

S = 1_000_000_000
HOUR_S, MINUTE_S = 3600, 60
PERIODS_S = {"image": 1.0, "audio": 0.4, "text": 2.0}
KINDS = {"image": edgemm.Image(8, 8), "audio": edgemm.Audio(1000, 1000, 200), "text": edgemm.Text(8)}
LIMIT = 8  # packets that may wait, of each input; and values in the inbox
BURST = 3 * LIMIT
GROWTH_LIMIT_BYTES = 64 * 1024  # less than ten bytes for each packet; what is on its way comes and goes by half of it
HOUR_MS = 3_600_000


def by_minutes(period_s, *chosen):
    """Each fault for four seconds of every minute, whose end is without any."""
    spans = [(5 * number, 5 * number + 4) for number in range(len(chosen))]
    assert spans[-1][1] < 0.75 * MINUTE_S
    timed = [
        faults.during(fault, first=int(first / period_s), last=int(last / period_s))
        for fault, (first, last) in zip(chosen, spans, strict=True)
    ]
    return faults.rounds(*timed, packets=int(MINUTE_S / period_s))


FAULTS = {
    "image": by_minutes(
        PERIODS_S["image"], faults.drop(every=3), faults.freeze(after=1), faults.reorder(depth=4), faults.jump(after=0, by_ms=HOUR_MS),
        faults.jump(after=0, by_ms=-3000), faults.misname("nobody", every=2), faults.corrupt(None, every=2), faults.hold_back(packets=3),
    ),
    "audio": by_minutes(
        PERIODS_S["audio"], faults.repeat(every=3), faults.gap(after=0, packets=5), faults.skew(ms=-1000), faults.corrupt(np.zeros(3), every=2),
        faults.jump(after=0, by_ms=1.7e12), faults.reorder(depth=2),
    ),
}  # fmt: skip


class Clock:
    """Virtual time that one thread moves on and others wait for."""

    def __init__(self):
        self.started_ns = self.ns = 7 * S
        self._changed = threading.Condition()

    def __call__(self):
        return self.ns

    def move(self, ns):
        with self._changed:
            self.ns = max(self.ns, ns)
            self._changed.notify_all()

    def wait(self, ns):
        with self._changed:
            assert self._changed.wait_for(lambda: self.ns >= ns, PATIENCE_S), "time stands still"


def value_of(name, number):
    if name == "image":
        return np.full((8, 8, 3), number % 251, np.uint8)
    return f"say {number}" if name == "text" else np.full(400, (number % 120) / 128, np.float32)


class Hour:
    """A live source for an hour; the sound moves time on, and `looks` at every tenth minute."""

    live = True

    def __init__(self, name, clock, look=None):
        self.inputs = (name,)
        self._clock, self._look = clock, look

    def packets(self, stopped):
        name, period_s = self.inputs[0], PERIODS_S[self.inputs[0]]
        for number in range(int(HOUR_S / period_s)):
            at_ns = self._clock.started_ns + int(number * period_s * S)
            self._clock.move(at_ns) if self._look else self._clock.wait(at_ns)
            if self._look and number and number % round(10 * MINUTE_S / period_s) == 0:
                self._look()
            yield Packet(name, value_of(name, number), at_ns, number)
        if self._look:
            self._clock.move(self._clock.started_ns + HOUR_S * S)
            self._look()

    def close(self):
        pass


class Program(threading.Thread):
    """Puts texts into an inbox; each tenth time more than it holds."""

    def __init__(self, clock):
        super().__init__(name="a program")
        self.inbox, self.sent = edgemm.Inbox(LIMIT), 0
        self._clock = clock

    def run(self):
        for number in range(int(HOUR_S / PERIODS_S["text"])):
            at_ns = self._clock.started_ns + int(number * PERIODS_S["text"] * S)
            self._clock.wait(at_ns)
            for _ in range(BURST if number % 10 == 0 else 1):
                self.inbox.put(value_of("text", number), at_ns)
                self.sent += 1
        self.inbox.close()


class Told(Observer):
    """What was taken and lost, the newest answers, and how many packets were on their way at most."""

    def __init__(self, sent):
        self.taken, self.lost, self.waiting, self.last = Counter(), Counter(), Counter(), {}
        self._sent = sent

    def on_packet(self, packet):
        name = packet.input
        self.taken[name] += 1
        self.waiting[name] = max(self.waiting[name], self._sent(name) - self.taken[name] - self.lost[name])

    def on_drop(self, input, cause):
        self.lost[input] += cause not in AFTER_TAKING

    def on_result(self, result):
        for name in result.outputs:
            self.last[name] = result.outputs[name].tolist()


class Model:
    """A node per input, and one that answers once a second."""

    def __init__(self):
        nodes = [Node(name, name, edges({"t": f"input.{name}"}), ("y",)) for name in ("image", "audio")]
        nodes += [
            Node("text", "text", edges({f"t{n}": f"input.text.{spec.name}" for n, spec in enumerate(KINDS["text"].tensors)}), ("y",)),
            Node("slow", "slow", edges({"t": "input.image"}), ("y",), trigger=Tick(1.0)),
        ]  # fmt: skip
        outputs = {node.name: Output.of(f"{node.name}.y", edgemm.Array()) for node in nodes}
        self.graph = ModelGraph("hour", KINDS, tuple(nodes), outputs)

    def live(self, *, on_failure=None):
        return Live(self.graph, dict.fromkeys(self.graph.outputs, Summed()), on_failure=on_failure)

    def close(self):
        pass


@pytest.fixture(scope="module")
def hour():
    """The stream, what it was told, what was sent by input, and the bytes that were in use at every tenth minute."""
    clock, used = Clock(), []

    def look():
        gc.collect()
        used.append(tracemalloc.get_traced_memory()[0])

    program = Program(clock)
    sources = {
        name: faults.Disturbed(Hour(name, clock, look if name == "audio" else None), FAULTS[name]) for name in FAULTS
    }

    def sent(name):
        return program.sent if name == "text" else sum(sources[name].sent.values())

    told = Told(sent)
    tracemalloc.start()
    try:
        stream = Stream(
            Model(), [*sources.values(), program.inbox.source("text")], observer=told, consumers=[lambda result: None], clock=clock,
            queues={"image": Queue(LIMIT, "drop_oldest"), "audio": Queue(LIMIT, "block"), "text": Queue(LIMIT, "block")},
        )  # fmt: skip
        program.start()
        assert stream.wait(20 * PATIENCE_S), "the hour does not end"
    finally:
        tracemalloc.stop()
    program.join()
    stream.close()
    return stream, told, {name: sent(name) for name in KINDS}, used


pytestmark = pytest.mark.slow


def test_every_packet_of_the_hour_is_accounted_for(hour):
    stream, told, sent, _ = hour
    assert stream.failures == {}
    assert stream.muted == {}
    before_taking = Counter()
    for (name, cause), count in stream.drops_by_cause.items():
        before_taking[name] += count if cause not in AFTER_TAKING else 0
    assert {name: told.taken[name] + before_taking[name] for name in KINDS} == sent
    assert all(count > HOUR_S / PERIODS_S[name] / 2 for name, count in told.taken.items())


def test_all_that_may_happen_in_the_hour_has_happened(hour):
    stream, _, _, _ = hour
    causes = {
        ("image", "late"), ("image", "does not fit"), ("image", "unknown input"), ("audio", "late"), ("audio", "does not fit"),
        ("text", "full in its source"),
    }  # fmt: skip
    assert causes <= set(stream.drops_by_cause)
    assert set(stream.clamped) == {"image", "audio"}


def test_no_queue_grew(hour):
    _, told, _, _ = hour
    on_their_way = 3  # in the source's hand, in the model's, and dropped but not yet told
    assert max(told.waiting["image"], told.waiting["audio"]) <= LIMIT + on_their_way


def test_the_last_answers_of_the_hour_are_right(hour):
    _, told, _, _ = hour
    weights = np.arange(1, 8 * 8 * 3 + 1)
    newest = int(HOUR_S / PERIODS_S["image"]) - 1
    assert told.last["image"] == [float(np.dot(value_of("image", newest).ravel().astype(np.float64), weights))]


def test_memory_is_after_the_hour_what_it_was_after_ten_minutes(hour):
    _, _, _, used = hour
    assert len(used) == 6
    assert min(used[-3:]) - used[0] < GROWTH_LIMIT_BYTES, used
