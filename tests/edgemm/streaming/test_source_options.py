"""Options of an input's source and of its queue, in the URI and in Python."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType

import numpy as np
import pytest

import edgemm
from edgemm.errors import PluginError, UnknownNameError, UsageError
from edgemm.host.entries import Option
from edgemm.host.interfaces import Packet
from edgemm.host.plugin_host import PluginHost
from edgemm.streaming.channels import Limits, Queue
from edgemm.streaming.sources import queues_from_inputs, sources_from_inputs

made: list[Eye] = []


class Eye:
    """A source that keeps what it was made with; it delivers one frame, and once that is `taken`, all others at once."""

    def __init__(self, uri, inputs, options):
        self.uri, self.inputs, self.options = uri, tuple(inputs), options
        self.live = options["live"]
        self.taken, self.sent = threading.Event(), threading.Event()
        made.append(self)

    def packets(self, stopped):
        try:
            for index in range(self.options["count"]):
                stamp = time.monotonic_ns() if self.live else index
                yield Packet(self.inputs[0], np.full((2, 2, 3), index, np.uint8), stamp, index)
                assert self.taken.wait(10)
        finally:
            self.sent.set()

    def close(self):
        pass


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """A host whose only plugin has sources with options."""
    module = ModuleType("eyes_of_this_test")
    module.Eye = Eye
    monkeypatch.setitem(sys.modules, module.__name__, module)
    options = (Option("live", False), Option("count", 3), Option("transport", "tcp", choices=("tcp", "udp")))

    class Plugin:
        @staticmethod
        @edgemm.hookimpl
        def edgemm_sources():
            factory = f"{module.__name__}:Eye"
            yield edgemm.SourceEntry("eye", factory, schemes=("eye",), modalities=("image",), options=options)
            yield edgemm.SourceEntry("greedy", factory, schemes=("greedy",), options=(Option("queue", 1),))

    made.clear()
    host = PluginHost(strict=True, only=())
    host.register(Plugin, "eyes")
    monkeypatch.setattr("edgemm.host.plugin_host.default_host", lambda: host)


SPECS = {"image": edgemm.Image(2, 2), "rear": edgemm.Image(2, 2)}


@pytest.mark.parametrize(
    "value",
    [
        "eye:0?channel=2&edgemm.transport=udp&edgemm.count=5",
        edgemm.SourceUri("eye:0?channel=2", transport="udp", count=5),
        edgemm.SourceUri("eye:0?channel=2&edgemm.transport=udp", count="5"),
    ],
    ids=["in the uri", "in python", "in both"],
)
def test_a_source_gets_its_options_and_the_uri_without_them(value):
    (source,) = sources_from_inputs(SPECS, {"image": value})
    assert source.uri == "eye:0?channel=2"
    assert source.options == {"live": False, "count": 5, "transport": "udp"}


def test_options_of_the_queue_are_not_the_source_s():
    (source,) = sources_from_inputs(SPECS, {"image": "eye:0?edgemm.queue=2&edgemm.when_full=block"})
    assert source.options == {"live": False, "count": 3, "transport": "tcp"}


def test_inputs_of_the_same_uri_and_options_share_one_source():
    same = {"image": "eye:0?edgemm.count=5", "rear": edgemm.SourceUri("eye:0", count=5)}
    (source,) = sources_from_inputs(SPECS, same)
    assert source.inputs == ("image", "rear")


@pytest.mark.parametrize("other", ["eye:0?edgemm.count=6", "eye:0?edgemm.count=5&edgemm.queue=1"])
def test_other_options_are_another_source(other):
    sources = sources_from_inputs(SPECS, {"image": "eye:0?edgemm.count=5", "rear": other})
    assert [source.inputs for source in sources] == [("image",), ("rear",)]


def test_an_unknown_option_lists_those_of_the_source_and_of_the_queue():
    with pytest.raises(UnknownNameError, match="unknown option of source 'eye' 'speed'") as caught:
        sources_from_inputs(SPECS, {"image": "eye:0?edgemm.speed=2"})
    assert "known: count, live, queue, transport, when_full" in str(caught.value)


def test_an_option_given_twice_is_refused_and_shows_no_password():
    with pytest.raises(UsageError, match="option count is given in the URI and beside it") as caught:
        edgemm.SourceUri("eye://ann:secret@0?edgemm.count=5", count=6)
    assert "secret" not in str(caught.value)


def test_printing_a_source_uri_hides_what_is_secret():
    shown = repr(edgemm.SourceUri("eye://ann:secret@0", key="hunter2"))
    assert shown == "SourceUri('eye://***@0', key=…)"


def test_a_plugin_cannot_have_an_option_of_the_queue_s_name():
    with pytest.raises(PluginError, match="source 'greedy' declares the option 'queue'"):
        sources_from_inputs(SPECS, {"image": "greedy:0"})


def test_what_is_not_asked_of_a_queue_is_as_suits_the_input():
    limits = Limits(packets=7, bytes=99, when_full="block")
    assert Queue().applied_to(limits) == limits
    assert Queue(packets=2).applied_to(limits) == Limits(2, 99, "block")
    assert Queue(when_full="fail").applied_to(limits) == Limits(7, 99, "fail")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("eye:0?edgemm.queue=-1", "input 'image': queue must be at least 1 packet, got -1"),
        ("eye:0?edgemm.when_full=wait", "when_full must be .*drop_oldest.*; got when_full=wait"),
        (edgemm.SourceUri("eye:0", queue="few"), "input 'image': option queue must be a whole number"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_with_the_input_s_name(value, message):
    with pytest.raises(UsageError, match=message):
        queues_from_inputs({"image": value})


class Busy:
    """A view that keeps the model at its first packet until the source has sent all."""

    def __init__(self):
        self.seen = []

    def on_packet(self, packet):
        self.seen.append(packet.sequence)
        made[0].taken.set()
        assert made[0].sent.wait(10)

    def write(self, result):
        pass

    def close(self):
        pass


def stream_of(path, uri):
    """Which packets of the source reached a model that was busy with the first until all were sent; and the stream."""
    view = Busy()
    with edgemm.stream(path, {"image": uri}, sinks=[view]) as stream:
        assert stream.wait(10)
    return view.seen, stream


@pytest.mark.parametrize(
    ("when_full", "seen"), [("drop_oldest", [0, 8, 9]), ("drop_newest", [0, 1, 2]), ("", [0, 8, 9])]
)
def test_a_live_input_s_queue_is_as_long_as_asked_and_drops_what_is_asked(three_inputs, when_full, seen):
    uri = f"eye:0?edgemm.live=true&edgemm.count=10&edgemm.queue=2&edgemm.when_full={when_full}"
    got, stream = stream_of(three_inputs(), uri)
    assert got == seen
    assert stream.drops == {"image": 7}


def test_an_input_whose_queue_must_not_overflow_breaks_down_when_it_does(three_inputs):
    uri = "eye:0?edgemm.live=true&edgemm.count=10&edgemm.queue=2&edgemm.when_full=fail"
    got, stream = stream_of(three_inputs(), uri)
    assert got == [0, 1, 2]
    assert "its channel of 2 packets is full" in stream.failures["image"]


def test_a_recorded_input_may_be_played_as_if_it_was_live(three_inputs):
    got, stream = stream_of(three_inputs(), "eye:0?edgemm.count=9&edgemm.queue=1&edgemm.when_full=drop_oldest")
    assert got == [0, 8]
    assert stream.drops == {"image": 7}
