"""Observers of a stream: the caller's own and those of plugins; told in order, and muted when they raise."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

import edgemm
from edgemm.host.interfaces import Packet
from edgemm.host.plugin_host import PluginHost
from edgemm.streaming.interfaces import Observer
from edgemm.streaming.listeners import Listeners

EVENTS = ["on_start", "on_packet", "on_result", "on_drop", "on_error", "on_stop"]
heard: list[tuple] = []


class Recorded:
    """A recorded source of two frames."""

    inputs = ("image",)
    live = False

    def packets(self, stopped):
        for index in range(2):
            yield Packet("image", np.full((2, 2, 3), 1 + index, np.uint8), index * 100_000_000, index)

    def close(self):
        pass


class Dead(Recorded):
    """A source that breaks down at once."""

    inputs = ("text",)

    def packets(self, stopped):
        raise RuntimeError("unplugged")


class Recorder(Observer):
    """Notes what it is told."""

    def on_start(self, inputs):
        heard.append(("start", *inputs))

    def on_packet(self, packet):
        heard.append(("packet", packet.input, packet.sequence))

    def on_result(self, result):
        heard.append(("result", result.sequence))

    def on_stop(self):
        heard.append(("stop",))


class Raising(Observer):
    """Raises in every callback, and counts its calls."""


for event in EVENTS:

    def _raise(self, *words, event=event):
        heard.append((event,))
        raise ValueError(f"no {event}")

    _raise.__qualname__ = f"Raising.{event}"
    setattr(Raising, event, _raise)


def not_an_observer():
    return 3


@pytest.fixture
def observers(monkeypatch):
    """Makes the functions and classes that it is given the only registered observers."""

    def register(**factories):
        module = ModuleType("observers_of_this_test")
        vars(module).update(factories)
        monkeypatch.setitem(sys.modules, module.__name__, module)

        class Plugin:
            @staticmethod
            @edgemm.hookimpl
            def edgemm_observers():
                for name in factories:
                    yield edgemm.ObserverEntry(name, f"{module.__name__}:{name}", requires=requires.get(name, ()))

        host = PluginHost(strict=True, only=())
        host.register(Plugin, "plugin")
        monkeypatch.setattr("edgemm.host.plugin_host.default_host", lambda: host)

    requires: dict[str, tuple[str, ...]] = {"needy": ("module_nobody_has",)}
    heard.clear()
    return register


def run(path, sources=("image",), **options):
    made = {"image": Recorded(), "text": Dead()}
    inputs = {name: made[name] for name in sources}
    with edgemm.stream(path, inputs, realtime=False, allow_missing=True, **options) as stream:
        results = [round(float(r.outputs["answer"][0])) for r in stream]
    return stream, results


def test_a_registered_observer_is_told_of_every_stream_in_order(three_inputs, observers):
    observers(recorder=Recorder)
    run(three_inputs())
    told = [
        ("start", "image"),
        ("packet", "image", 0),
        ("result", 0),
        ("packet", "image", 1),
        ("result", 1),
        ("stop",),
    ]
    assert heard == told
    run(three_inputs())
    assert heard == told * 2


def test_observing_results_does_not_take_them_from_whoever_iterates(three_inputs, observers):
    observers(recorder=Recorder)
    _, results = run(three_inputs())
    assert results == [1, 2]
    assert [word for word in heard if word[0] == "result"] == [("result", 0), ("result", 1)]


def test_the_caller_s_own_observer_is_told_beside_a_plugin_s(three_inputs, observers):
    observers(recorder=Recorder)
    run(three_inputs(), observer=Recorder())
    assert heard.count(("start", "image")) == 2
    assert heard.count(("stop",)) == 2


@pytest.mark.parametrize("event", ["on_start", "on_packet", "on_result", "on_error", "on_stop"])
def test_an_observer_that_raises_in_a_callback_is_muted_there_and_the_stream_goes_on(three_inputs, observers, event):
    observers(raising=Raising)
    stream, results = run(three_inputs(), ("image", "text"))
    assert results == [1, 2]
    assert heard.count((event,)) == 1
    assert stream.muted_observers[f"observer raising, {event}"] == f"ValueError: no {event}"
    assert stream.muted == {}


def test_the_caller_s_own_observer_that_raises_is_recorded_among_what_was_asked_for(three_inputs, observers):
    observers()
    stream, results = run(three_inputs(), ("image", "text"), observer=Raising())
    assert results == [1, 2]
    assert stream.muted == {
        f"Raising.{event}": f"ValueError: no {event}"
        for event in ("on_start", "on_packet", "on_result", "on_error", "on_stop")
    }
    assert stream.muted_observers == {}


def test_the_others_hear_that_an_observer_was_muted(three_inputs, observers):
    class Listener(Observer):
        def on_error(self, where, error):
            heard.append((where, str(error)))

    class Starts(Observer):
        def on_start(self, inputs):
            raise ValueError("too early")

    observers(starts=Starts, listener=Listener)
    run(three_inputs())
    assert heard == [("observer starts, on_start", "too early")]


def leaves():
    sys.exit("not today")


@pytest.mark.parametrize(
    ("name", "factory", "reason"),
    [
        ("odd", not_an_observer, "its factory made an object of type int, not an edgemm Observer"),
        ("failing", lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        ("leaving", leaves, "SystemExit: not today"),
        ("needy", Recorder, "'needy' (plugin 'plugin') needs module_nobody_has: pip install 'edgemm[]'"),
    ],
)
def test_an_observer_that_cannot_be_made_is_recorded_and_the_stream_runs(
    three_inputs, observers, name, factory, reason
):
    observers(**{name: factory})
    stream, results = run(three_inputs())
    assert results == [1, 2]
    assert stream.muted_observers == {f"observer {name}": reason}


def test_what_an_observer_does_not_override_is_not_called():
    listeners = Listeners([], Observer(), {"recorder": Recorder})
    called = {event: [callback.name for callback in listeners._callbacks[event]] for event in EVENTS}
    assert called == {
        "on_start": ["observer recorder, on_start"],
        "on_packet": ["observer recorder, on_packet"],
        "on_result": ["observer recorder, on_result"],
        "on_drop": [],
        "on_error": [],
        "on_stop": ["observer recorder, on_stop"],
    }
