"""Whatever a source or an inbox delivers, one bad value or packet is lost, counted and told, and the stream goes on: for every kind of input."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from edgemm.errors import MissingDependencyError
from edgemm.host.entries import InputEntry
from edgemm.host.interfaces import Packet
from edgemm.host.plugin_host import default_host
from edgemm.inputs.kind import Feed, InputKind
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import LATEST, Trigger
from edgemm.runtime.schedule import Live
from edgemm.streaming.channels import Queue
from edgemm.streaming.inbox import Inbox
from edgemm.streaming.interfaces import Observer
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.inputs.audio import Audio, Sound
from edgemm_plugins.inputs.clip import Clip
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.motion import Motion
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.outputs.array import Array

MS = 1_000_000


def tokens():
    library = pytest.importorskip("tokenizers", reason="needs the tokens extra: pip install 'edgemm[tokens]'")
    from edgemm_plugins.inputs.tokens import Tokens

    made = library.Tokenizer(library.models.WordLevel({"[UNK]": 0, "x": 1}, unk_token="[UNK]"))
    return Tokens(made.to_str().encode(), 4)


KINDS = {
    "image": lambda: Image(4, 4),
    "audio": lambda: Audio(1000, 100, 20),
    "text": lambda: Text(8),
    "tokens": tokens,
    "clip": lambda: Clip(1, 4, 4),
    "motion": lambda: Motion(channels=2, samples=10, hop=10),
    "tensor": lambda: Tensor((3,)),
}


class Odd:
    """Refuses whatever is asked of it."""

    def __getattr__(self, name):
        raise RuntimeError("do not touch")

    def __eq__(self, other):
        raise RuntimeError("do not compare")

    __hash__ = None


ANYTHING = [
    None,
    3,
    2.5,
    float("nan"),
    b"bytes",
    [],
    {},
    [[1, 2], [3]],
    object(),
    Odd(),
    np.ndarray,
    np.array(3.0),
    np.array([object(), None]),
    np.zeros(0),
    np.zeros((2, 2, 2, 2, 2)),
    np.zeros((4, 4, 4), np.uint8),  # with an alpha channel
    np.zeros((4, 0, 3), np.uint8),
    np.zeros((4, 4, 3)),
    np.full((10, 2), np.nan),
    np.array(["text"]),
    Sound(np.zeros(20, np.float32), 44_100),
    Sound(np.zeros((20, 2), np.float32), 1000),
    Sound(None, 1000),
]
"""Fits no kind."""


def bad_values(name):
    return [*ANYTHING, *([] if name in ("text", "tokens") else ["a line"])]


def model_of(kind, trigger="arrival"):
    """A model that runs at every arrival of one input, and answers with how often it ran."""

    class Count:
        outputs = (TensorSpec("y", "float32", (BATCH, 1)),)
        runs = 0

        def run(self, feeds):
            self.runs += 1
            return [np.full((1, 1), self.runs, np.float32)]

    reads = {spec.name: f"input.x.{spec.name}" if len(kind.tensors) > 1 else "input.x" for spec in kind.tensors}
    node = Node("node", "node", edges(reads), ("y",), trigger=Trigger.parse(trigger), policy=LATEST)
    graph = ModelGraph("counts", {"x": kind}, (node,), {"answer": Output.of("node.y", Array())})
    return SimpleNamespace(graph=graph, live=lambda **options: Live(graph, {"node": Count()}, **options))


def recorded(script, values):
    return script(*[(1000 * at, "x", value) for at, value in enumerate(values)])


def live(script, values):
    return script(*[(0, "x", value) for value in values], live=True, zero_ns=7_000_000_000)


def inbox(script, values):
    made = Inbox()
    for at, value in enumerate(values):
        made.put(value, captured_ns=7_000_000_000 + at)
    source = made.source("x")
    made.close()
    return source


def answers_of(stream, source, kind, **options):
    """How often the model ran, and the stream."""
    made = stream(model_of(kind), source, queues={"x": Queue(64, "block")}, realtime=False, **options)
    return [float(result.outputs["answer"][0]) for result in made], made


def test_every_kind_that_is_registered_is_tried_here():
    ours = {name for name, found in default_host().entries(InputEntry).items() if found.plugin == "inputs"}
    assert ours <= set(KINDS)


@pytest.mark.parametrize("face", [recorded, live, inbox])
@pytest.mark.parametrize("name", KINDS)
def test_a_value_that_fits_no_kind_is_lost_counted_and_the_stream_goes_on(stream, script, name, face):
    kind, bad = KINDS[name](), bad_values(name)
    generator = np.random.default_rng(0)
    values = [kind.example(generator)]
    for value in bad:  # a good one behind each, so that one that harms what comes after it is found
        values += [value, kind.example(generator)]
    answers, made = answers_of(stream, face(script, values), kind)
    assert len(answers) == len(bad) + 1
    assert made.drops_by_cause == {("x", "does not fit"): len(bad)}
    assert (made.failures, made.failing) == ({}, {})


@pytest.mark.parametrize("name", KINDS)
def test_each_value_that_is_lost_is_told_with_its_reason_and_logged_once(stream, script, name, caplog):
    class Listener(Observer):
        def on_drop(self, input, cause):
            told.append((input, cause))

        def on_error(self, where, error):
            reasons.append((where, str(error)))

    told, reasons = [], []
    answers_of(stream, recorded(script, [None, Odd(), None]), KINDS[name](), observer=Listener())
    assert told == [("x", "does not fit")] * 3
    assert [where for where, _ in reasons] == ["x"] * 3
    assert all(reason.startswith("input 'x': expected ") for _, reason in reasons[::2])
    assert sum("packets are dropped" in message for message in caplog.messages) == 1


# kinds of others


class Panic(BaseException):
    """As a library that is written in Rust raises it."""


class Raises(Feed):
    """A feed that raises before, or after, it has yielded something."""

    def push(self, raw, captured_ns):
        if raw == "late":
            yield (np.zeros((1, 1), np.float32),), captured_ns
        if raw != "good":
            raise self.kind.error("by nothing")
        yield (np.zeros((1, 1), np.float32),), captured_ns


@dataclass(frozen=True)
class Careless(InputKind):
    """A kind that raises whatever comes up, where its value is converted or in a feed of its own."""

    feeds: bool = False
    error: type[BaseException] = ZeroDivisionError

    @property
    def tensors(self):
        return (TensorSpec("x", "float32", (BATCH, 1)),)

    def convert(self, raw):
        if raw == "needy":
            raise MissingDependencyError("a library is not installed")
        if raw != "good":
            raise self.error("by nothing")
        return (np.zeros((1, 1), np.float32),)

    def open_feed(self):
        return Raises(self) if self.feeds else super().open_feed()


@pytest.mark.parametrize("error", [ZeroDivisionError, Panic])
@pytest.mark.parametrize(("feeds", "runs"), [(False, [1, 2]), (True, [1, 3])])
def test_whatever_a_kind_raises_only_the_value_is_lost(stream, script, feeds, runs, error):
    answers, made = answers_of(stream, recorded(script, ["good", "bad", "late", "good"]), Careless(feeds, error))
    assert answers == runs
    assert made.drops_by_cause == {("x", "does not fit"): 2}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_signal_that_comes_while_a_value_is_converted_is_no_matter_of_the_value(error):
    with pytest.raises(error):
        model_of(Careless(error=error)).live().push("x", "bad", 0)


def test_what_is_missing_on_this_machine_is_no_matter_of_one_value(stream, script):
    made = stream(model_of(Careless()), recorded(script, ["good", "needy"]), realtime=False)
    with pytest.raises(MissingDependencyError, match="a library is not installed"):
        list(made)


def test_a_value_that_cannot_be_copied_is_news_each_time(stream, script):
    class Lock:
        """Equals a good value, and every other such; cannot be copied."""

        def __eq__(self, other):
            return other == "good" or isinstance(other, Lock)

        def __deepcopy__(self, memo):
            raise TypeError("cannot copy")

        __hash__ = None

    made = stream(model_of(Careless(), "change"), recorded(script, [Lock(), Lock()]), realtime=False)
    assert [float(result.outputs["answer"][0]) for result in made] == [1, 2]
    assert made.drops == {}


# packets


class NoPacket:
    """Looks like nothing."""


@pytest.mark.parametrize("is_live", [False, True])
@pytest.mark.parametrize(
    ("packet", "cause"),
    [
        (None, "no packet"),
        (NoPacket(), "no packet"),
        (("image", 1, 0), "no packet"),
        (Packet("other", 1, 7_000_000_000), "unknown input"),
        (Packet(["image"], 1, 7_000_000_000), "unknown input"),
        (Packet("image", 1, None), "no capture time"),
        (Packet("image", 1, 7.5), "no capture time"),
        (Packet("image", 1, float("nan")), "no capture time"),
        (Packet("image", 1, "now"), "no capture time"),
    ],
)
def test_what_is_no_packet_of_its_source_is_lost_and_its_source_goes_on(stream, fake_model, packet, cause, is_live):
    class Source:
        inputs, live = ("image", "text"), is_live

        def packets(self, stopped):
            yield Packet("image", "before", 7_000_000_000)
            yield packet
            yield Packet("image", "after", 7_000_000_000)

        def close(self):
            pass

    model = fake_model()
    made = stream(model, Source(), realtime=False)
    list(made)
    assert [value for _, value, _ in model.scheduler.pushed] == ["before", "after"]
    assert made.drops_by_cause == {("image", cause): 1}
    assert made.failures == {}


@pytest.mark.parametrize("captured_ns", [2**62, -(2**62) - MS, 10**400])
def test_a_recorded_time_beyond_all_times_is_none(stream, fake_model, script, captured_ns):
    model = fake_model()
    made = stream(model, script((0, "image", 1), (captured_ns // MS + 1, "image", 2), (1, "image", 3)), realtime=False)
    list(made)
    assert [value for _, value, _ in model.scheduler.pushed] == [1, 3]
    assert made.drops_by_cause == {("image", "no capture time"): 1}


def test_a_time_may_be_numpy_s_integer(stream, fake_model, script):
    model = fake_model()
    list(stream(model, script((np.int64(5), "image", 1)), realtime=False))
    assert model.scheduler.pushed == [("image", 1, 5)]


def test_a_source_that_delivers_only_rubbish_ends_with_its_stream(stream, fake_model, background):
    class Endless:
        inputs, live = ("image",), True

        def packets(self, stopped):
            while True:
                yield None

        def close(self):
            pass

    made = stream(fake_model(), Endless())
    background(made.close).end()
    assert not any(thread.is_alive() for thread in made._threads)
