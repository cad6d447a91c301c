"""Callbacks, sinks and listeners of others: whoever raises is muted once and reported, and everybody else goes on."""

from __future__ import annotations

import threading

import pytest
from serving import put, served

from edgemm.streaming.interfaces import Observer


class View:
    """A sink that listens too."""

    def __init__(self, deaf_to=""):
        self.heard, self.closed = [], 0
        self._deaf_to = deaf_to

    def write(self, result):
        pass

    def close(self):
        self.closed += 1

    def on_packet(self, packet):
        self._hear("packet", packet)

    def on_drop(self, input, cause):
        self._hear("drop", input, cause)

    def on_error(self, where, error):
        self._hear("error", where, str(error))

    def _hear(self, *words):
        self.heard.append(words)
        if words[0] == self._deaf_to:
            raise ValueError("deaf")


# whoever raises is muted


def test_a_callback_that_raises_is_not_asked_again_and_the_others_are(outlet, sink_of):
    bad, good = sink_of(fails=RuntimeError("disk full")), sink_of()
    made = outlet(sinks=[bad, good])
    put(made, 1, 2)
    served(made)
    assert bad.got == [1]
    assert good.got == [1, 2]
    assert made.muted == {"Sink.write": "RuntimeError: disk full"}


def test_a_muted_sink_is_still_closed(outlet, sink_of):
    bad = sink_of(fails=RuntimeError("disk full"))
    made = outlet(sinks=[bad])
    put(made, 1)
    served(made)
    assert bad.closed == 1


def test_a_sink_that_cannot_be_closed_is_reported_and_the_others_are_closed(outlet, sink_of):
    bad, view = sink_of(fails_to_close=OSError("gone")), View()
    made = outlet(sinks=[bad, view])
    put(made, 1)
    served(made)
    assert made.muted == {"Sink.close": "OSError: gone"}
    assert view.heard == [("error", "Sink.close", "gone")]
    assert view.closed == 1


def test_whoever_raises_is_told_to_all_who_listen_for_errors(outlet, sink_of):
    class Listener(Observer):
        def on_error(self, where, error):
            heard.append((where, str(error)))

    heard, view = [], View()
    made = outlet(sinks=[sink_of(fails=RuntimeError("disk full")), view], observer=Listener())
    put(made, 1)
    served(made)
    assert heard == [("Sink.write", "disk full")]
    assert view.heard == [("error", "Sink.write", "disk full")]


def test_a_callable_without_a_name_is_named_by_what_it_is(outlet):
    class Callback:
        def __call__(self, result):
            raise RuntimeError("no")

        def __repr__(self):
            return "<my callback>"

    made = outlet(Callback())
    put(made, 1)
    served(made)
    assert made.muted == {"<my callback>": "RuntimeError: no"}


# those who listen


def test_views_hear_of_packets_drops_and_errors(outlet, sink_of):
    view = View()
    made = outlet(sinks=[view, sink_of()])
    made.tell_packet("a packet")
    made.tell_drop("image", "full")
    made.tell_error("image", OSError("gone"))
    assert view.heard == [("packet", "a packet"), ("drop", "image", "full"), ("error", "image", "gone")]


def test_an_observer_hears_of_drops_and_errors(outlet):
    class Listener(Observer):
        def on_drop(self, input, cause):
            heard.append((input, cause))

        def on_error(self, where, error):
            heard.append((where, str(error)))

    heard = []
    made = outlet(observer=Listener())
    made.tell_drop("image", "full")
    made.tell_error("image", OSError("gone"))
    assert heard == [("image", "full"), ("image", "gone")]


@pytest.mark.parametrize(
    ("kind", "words"), [("packet", ("p",)), ("drop", ("image", "full")), ("error", ("image", OSError()))]
)
def test_a_listener_that_raises_is_muted_once_and_the_others_hear_on(outlet, kind, words):
    bad, good = View(deaf_to=kind), View()
    made = outlet(sinks=[bad, good])
    tell = getattr(made, f"tell_{kind}")
    tell(*words)
    tell(*words)
    muted = ("error", f"View.on_{kind}", "deaf")
    assert [heard[0] for heard in bad.heard].count(kind) == 1
    assert [heard[0] for heard in good.heard if heard != muted] == [kind, kind]
    assert good.heard.count(muted) == 1
    assert made.muted == {f"View.on_{kind}": "ValueError: deaf"}


def test_a_listener_that_raises_on_two_threads_at_once_is_muted_without_harm(outlet, background):
    both = threading.Barrier(2, timeout=10)

    class Bad(View):
        def on_drop(self, input, cause):
            both.wait()
            raise ValueError("deaf")

    class Good(Observer):
        def on_drop(self, input, cause):
            heard.append(cause)

        def on_error(self, where, error):
            heard.append(str(error))

    heard = []
    made = outlet(sinks=[Bad()], observer=Good())
    threads = [background(made.tell_drop, "image", "full") for _ in range(2)]
    for thread in threads:
        thread.end()
    assert sorted(heard) == ["deaf", "full", "full"]
