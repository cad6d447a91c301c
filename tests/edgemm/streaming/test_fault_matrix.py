"""Every fault of a source, in every kind of input, delivered in every way: the stream goes on, what is lost is counted, what comes after is right.

On virtual time: nothing sleeps, and what comes out is the same on any machine. Beside the input that is disturbed there is one that is not; it must not
notice anything.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter

import numpy as np
import pytest

import edgemm
from edgemm.host.interfaces import Packet
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runtime.schedule import Live
from edgemm.streaming.channels import Queue
from edgemm.streaming.interfaces import Observer
from edgemm.tensors import BATCH, TensorSpec
from edgemm.testing import faults

pytestmark = pytest.mark.slow  # some five hundred streams

MS = 1_000_000
PACKETS, FIRST, LAST = 90, 30, 50  # the fault is in the middle; afterwards every window is full of sound packets
HOUR_MS = 3_600_000
PERIOD_MS = 20


def words():
    """A tokenizer of the lines that are sent."""
    vocabulary = {"[UNK]": 0, "line": 1, **{str(number): 2 + number for number in range(PACKETS)}}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    return json.dumps({"version": "1.0", "pre_tokenizer": {"type": "Whitespace"}, "model": model}).encode()


KINDS = {
    "image": (lambda: edgemm.Image(2, 2), lambda k: np.full((2, 2, 3), k, np.uint8)),
    "clip": (lambda: edgemm.Clip(3, 2, 2), lambda k: np.full((2, 2, 3), k, np.uint8)),
    "audio": (lambda: edgemm.Audio(1000, 100, PERIOD_MS), lambda k: np.full(PERIOD_MS, k / 128, np.float32)),
    "motion": (lambda: edgemm.Motion(2, 4, 1, 1000 / PERIOD_MS), lambda k: np.full((1, 2), k, np.float32)),
    "text": (lambda: edgemm.Text(8), lambda k: f"line {k}"),
    "tokens": (lambda: edgemm.Tokens(words(), 4), lambda k: f"line {k}"),
    "tensor": (lambda: edgemm.Tensor((3,)), lambda k: np.full(3, k, np.float32)),
}
WRONG = {
    "None": None,
    "a number": 7,
    "bytes": b"\xff",
    "an empty array": np.zeros(0, np.float32),
    "doubles": np.zeros((2, 2, 3), np.float64),
    "objects": np.array([None, "x"], object),
    "five axes": np.zeros((1, 2, 2, 3, 1), np.uint8),
    "a scalar": np.float32(1),
    "a list": [1, 2],
}
FAULTS = {
    "drop": faults.drop(every=3),
    "gap": faults.gap(after=0, packets=LAST - FIRST),
    "freeze": faults.freeze(after=3),
    "repeat": faults.repeat(every=2),
    "reorder": faults.reorder(depth=4),
    "hold back": faults.hold_back(packets=5),
    "late": faults.jump(after=0, by_ms=-300),
    "from the past": faults.jump(after=0, by_ms=-HOUR_MS),
    "a little early": faults.jump(after=0, by_ms=15),
    "from the future": faults.jump(after=0, by_ms=HOUR_MS),
    "from another clock": faults.jump(after=0, by_ms=1.7e12),
    "unnamed": faults.misname("nobody", every=2),
    **{f"value: {name}": faults.corrupt(value, every=2) for name, value in WRONG.items()},
}
ENDINGS = {
    "breaks down": lambda: faults.disconnect(after=LAST),
    "exits": lambda: faults.exit_thread(after=LAST),
    "raises nonsense": lambda: faults.disconnect(after=LAST, error=ZeroDivisionError("division by zero")),
}
WAYS = ("live", "recorded", "merged")
CLOCKS = ("from the future", "from another clock")  # of recordings: a file's own source gives time a new origin


class Summed:
    """Answers with the sum of what it reads, weighted by place, so that the order of a window counts."""

    outputs = (TensorSpec("y", "float64", (BATCH, 1)),)

    def run(self, feeds):
        weighed = [np.dot(array.ravel().astype(np.float64), np.arange(1, array.size + 1)) for array in feeds.values()]
        return [np.array([[sum(weighed)]])]


class Matrix:
    """A model with the disturbed input and one that is not, as much of it as a stream needs."""

    def __init__(self, kind):
        inputs = {"it": kind, "beat": edgemm.Tensor((1,))}
        reads = {
            "it": {f"t{n}": f"input.it.{spec.name}" for n, spec in enumerate(kind.tensors)},
            "beat": {"t": "input.beat"},
        }
        nodes = tuple(Node(name, name, edges(reads[name]), ("y",)) for name in inputs)
        outputs = {name: Output.of(f"{name}.y", edgemm.Array()) for name in inputs}
        self.graph = ModelGraph("matrix", inputs, nodes, outputs)

    def live(self, *, on_failure=None):
        return Live(self.graph, dict.fromkeys(("it", "beat"), Summed()), on_failure=on_failure)

    def close(self):
        pass


class Clean:
    """Numbers in time: live ones come when the clock says so."""

    def __init__(self, name, value, live, clock):
        self.inputs, self.live = (name,), live
        self._value, self._clock = value, clock

    def packets(self, stopped):
        for number in range(PACKETS):
            at_ns = number * PERIOD_MS * MS
            if self.live:
                self._clock.until(self._clock.started_ns + at_ns)
                at_ns += self._clock.started_ns
            yield Packet(self.inputs[0], self._value(number), at_ns, number)

    def close(self):
        pass


class Clock:
    """Virtual time that several threads may wait on: it only goes forward."""

    def __init__(self):
        self.started_ns = self.ns = 7_000_000_000
        self._lock = threading.Lock()

    def __call__(self):
        return self.ns

    def until(self, ns):
        with self._lock:
            self.ns = max(self.ns, ns)

    def sleep(self, seconds):
        with self._lock:
            self.ns += round(seconds * 1e9)


class Counts(Observer):
    """What a stream says of its packets."""

    def __init__(self):
        self.taken, self.dropped, self.results = Counter(), Counter(), []

    def on_packet(self, packet):
        self.taken[packet.input] += 1

    def on_drop(self, input, cause):
        self.dropped[input, cause] += 1


def run(kind, way, fault):
    """A stream to its end: itself, its source, what it counted, and the results by output."""
    make, value = KINDS[kind]
    clock, counts = Clock(), Counts()
    source = faults.Disturbed(Clean("it", value, way == "live", clock), *([fault] if fault else []))
    beat = Clean("beat", lambda k: np.full(1, k, np.float32), way == "live", clock)
    stream = edgemm.streaming.stream.Stream(
        Matrix(make()), [source, beat], observer=counts, consumers=[counts.results.append], clock=clock, sleep=clock.sleep,
        queues={name: Queue(10 * PACKETS, "block") for name in ("it", "beat")}, realtime=way != "merged",
    )  # fmt: skip
    assert stream.wait(10), "the stream did not end"
    started = time.monotonic()
    stream.close()
    assert time.monotonic() - started < 2
    return stream, source, counts


def last(counts, output):
    return next(r.outputs[output].tolist() for r in reversed(counts.results) if output in r.outputs)


@pytest.fixture(scope="module")
def clean():
    """The last answer of each kind where nothing is wrong."""
    return {kind: last(run(kind, "merged", None)[2], "it") for kind in KINDS}


def lost(stream, source, counts):
    """Packets that were handed over and neither taken nor counted as lost."""
    before_taking = sum(n for (name, cause), n in counts.dropped.items() if name == "it" and cause == "full")
    return source.sent["it"] - counts.taken["it"] - before_taking


@pytest.mark.parametrize(("fault", "way"), [(f, w) for f in FAULTS for w in WAYS if w == "live" or f not in CLOCKS])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_survives(clean, kind, fault, way):
    stream, source, counts = run(kind, way, faults.during(FAULTS[fault], first=FIRST, last=LAST))
    assert stream.failures == {}
    assert stream.muted == {}
    assert last(counts, "beat") == [PACKETS - 1.0]
    assert last(counts, "it") == clean[kind]
    assert lost(stream, source, counts) == 0
    assert sum(stream.drops.values()) == sum(counts.dropped.values())
    assert len(counts.results) <= 3 * PACKETS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_ends_badly_ends_its_input_alone(kind, ending, way):
    stream, source, counts = run(kind, way, ENDINGS[ending]())
    assert list(stream.failures) == ["it"]
    assert last(counts, "beat") == [PACKETS - 1.0]
    assert counts.taken["beat"] == PACKETS
    assert lost(stream, source, counts) == 0
