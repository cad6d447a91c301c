"""Streams with every fault, in every kind of input, in every way of delivering: what is delivered, and what is lost with which cause.

Beside the input that is disturbed there is one that is not. `conducting.py` has who is when on turn.
"""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import numpy as np
from conducting import AFTER_TAKING, BEAT_EVERY, PACKETS, PATIENCE_S, PERIOD_MS, Clean, Conducted, Conductor, Put, Typed

import edgemm
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runtime.schedule import Live
from edgemm.streaming.channels import Queue
from edgemm.streaming.stream import Stream
from edgemm.tensors import BATCH, TensorSpec
from edgemm.testing import faults
from edgemm_plugins.sources import standard_input

FIRST, LAST = 15, 30  # the fault is in the middle; afterwards every window is full of sound packets
HOUR_MS = 3_600_000


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
    "none": lambda packets: packets,
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


class Way(NamedTuple):
    """How packets come.

    Attributes:
        queue: the disturbed input's.
        live: sent as they are captured.
        realtime: otherwise as fast as the model goes.
        kinds: that come so.
    """

    queue: Queue
    live: bool = True
    realtime: bool = True
    kinds: tuple[str, ...] = tuple(KINDS)

    @property
    def blocks(self) -> bool:
        """Whether a full queue holds up its source."""
        return self.queue.when_full == "block"


WAYS = {
    "camera": Way(Queue(1, "drop_oldest")),
    "microphone": Way(Queue(4, "drop_oldest")),
    "drop newest": Way(Queue(4, "drop_newest")),
    "block": Way(Queue(4, "block")),
    "file": Way(Queue(4, "block"), live=False),
    "file, fast": Way(Queue(4, "block"), live=False, realtime=False),
    "standard input": Way(Queue(4, "drop_oldest"), kinds=("text", "tokens")),
    "inbox": Way(Queue(2, "block")),
}
OF_LIVE_CLOCKS = (
    "from the future",
    "from another clock",
)  # in a recording, a file's own source gives time a new origin


def cells():
    """(fault, kind, way) of all that can be."""
    return [
        (fault, kind, name)
        for fault in FAULTS
        for name, way in WAYS.items()
        for kind in way.kinds
        if not (fault in OF_LIVE_CLOCKS and not way.live) and not (fault == "unnamed" and name == "inbox")
    ]


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


class Outcome(NamedTuple):
    """What became of one stream.

    Attributes:
        sent: packets of the disturbed input that were given away.
        delivered: of these, those that the model computed with.
        lost: cause -> the others.
    """

    sent: int
    delivered: int
    lost: dict[str, int]
    stream: Stream
    conductor: Conductor


def run(kind, way, *disturbed):
    """A stream to its end."""
    make, value = KINDS[kind]
    conductor = Conductor(WAYS[way])
    clean = (Typed if way == "standard input" else Clean)("it", value, conductor)
    source = (Put if way == "inbox" else Conducted)(faults.Disturbed(clean, *disturbed), conductor)
    beat = Clean("beat", lambda k: np.full(1, k, np.float32), conductor, BEAT_EVERY)
    clock, queues = conductor.clock, {"it": WAYS[way].queue, "beat": Queue(PACKETS, "block")}
    with mock.patch.object(standard_input, "time", SimpleNamespace(monotonic_ns=clock)):
        stream = Stream(
            Matrix(make()), [source, beat], observer=conductor, clock=clock, sleep=clock.sleep,
            queues=queues, realtime=WAYS[way].realtime,
        )  # fmt: skip
        assert stream.wait(PATIENCE_S), "the stream did not end"
    lost = {cause: count for (name, cause), count in stream.drops_by_cause.items() if name == "it"}
    delivered = conductor.taken["it"] - sum(lost.get(cause, 0) for cause in AFTER_TAKING)
    return Outcome(max(conductor.offered, conductor.handed), delivered, lost, stream, conductor)


@cache
def outcome(fault, kind, way):
    """Of one cell of the matrix; the fault is in the middle."""
    return run(kind, way, faults.during(FAULTS[fault], first=FIRST, last=LAST))
