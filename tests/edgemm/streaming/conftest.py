"""What a stream runs between, made by hand: sources that follow a script, a scheduler that answers with what it was given, a clock.

Everything waits for events and never for time, so that what comes out is the same on any machine.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from edgemm.host.interfaces import Packet
from edgemm.streaming.outlets import Outlet
from edgemm.streaming.stream import Stream
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.text import Text

MS = 1_000_000
PATIENCE_S = float(os.environ.get("EDGEMM_PATIENCE_S", "10"))  # only waited for by a test that is about to fail


class VirtualClock:
    """Time that moves only when somebody sleeps on it, or a test moves it."""

    def __init__(self):
        self.started_ns = self.ns = 7_000_000_000
        self.slept = []

    def __call__(self):
        return self.ns

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.ns += round(seconds * 1e9)

    @property
    def ms(self):
        return (self.ns - self.started_ns) / MS


class Script:
    """A source that does step after step: `(time in ms, input, value)` is delivered, anything callable is called.

    Then it ends, raises `error`, or, with `hang`, waits until it is closed.

    Attributes:
        delivered: the steps that the stream has taken over.
        done: set when the last step is over, and `ended` when the stream has let go of it.
        closed: how often it was closed.
    """

    def __init__(self, *steps, live=False, inputs=None, hang=False, error=None, close_error=None, zero_ns=None):
        names = [step[1] for step in steps if not callable(step)]
        self.inputs = tuple(inputs or dict.fromkeys(names) or ("image",))
        self.live = live
        self.delivered = []
        self.closed = 0
        self.done, self.ended = threading.Event(), threading.Event()
        self._hang, self._closing = hang, threading.Event()
        self._steps, self._error, self._close_error = steps, error, close_error
        self._zero_ns = zero_ns if zero_ns is not None else time.monotonic_ns() if live else 0

    def packets(self, stopped):
        try:
            for count, step in enumerate(self._steps):
                if callable(step):
                    step()
                    continue
                at_ms, name, value = step
                yield Packet(name, value, self._zero_ns + at_ms * MS, count)
                self.delivered.append(step)
            self.done.set()
            if self._hang:
                self._closing.wait(1000)
            if self._error:
                raise self._error
        finally:
            self.ended.set()

    def close(self):
        self.closed += 1
        self._closing.set()
        if self._close_error:
            raise self._close_error


class Sink:
    """Keeps what it gets; fails or is finished where it is told to."""

    def __init__(self, *, fails=None, fails_to_close=None, finished_after=None):
        self.got, self.closed = [], 0
        self._fails, self._fails_to_close, self._finished_after = fails, fails_to_close, finished_after

    def write(self, result):
        self.got.append(result)
        if self._fails:
            raise self._fails

    @property
    def finished(self):
        return self._finished_after is not None and len(self.got) >= self._finished_after

    def close(self):
        self.closed += 1
        if self._fails_to_close:
            raise self._fails_to_close


class Gate:
    """Holds whoever calls it until it is opened."""

    def __init__(self):
        self._reached, self._open = threading.Event(), threading.Event()

    def __call__(self, *_):
        self._reached.set()
        assert self._open.wait(PATIENCE_S), "nobody opened the gate"

    def reached(self):
        assert self._reached.wait(PATIENCE_S), "nobody came to the gate"

    def open(self):
        self._open.set()


class FakeLive:
    """The scheduler's face to a stream: a pushed packet is its own result, and so is each deadline of a rate.

    A value `("loop", n)` starts a loop of n steps, which ends a loop before it; each step is a result, too.

    Attributes:
        pushed: (input, value, time in ms), in order.
        ended: input -> reason.
        answered: a fake answers whatever it is given, so nothing is left to say at the end.
        halted: whether it was told to run nothing more; what is due is left to the stream all the same.
    """

    def __init__(self, tick_ms, on_push):
        self.pushed, self.ended, self.late = [], {}, Counter()
        self.running, self.failing, self.halted = (), {}, False
        self.due_ns, self.answered = None, 1
        self._tick_ns = tick_ms * MS if tick_ms else 0
        self._on_push = on_push

    def start(self, now_ns):
        if self._tick_ns:
            self.due_ns = now_ns + self._tick_ns

    def push(self, name, value, captured_ns):
        self.pushed.append((name, value, captured_ns / MS))
        if self._on_push:
            self._on_push(name, value)
        if isinstance(value, tuple):
            self.running, self._steps_left = ("loop",), value[1]
        return self.pushed[-1]

    def resume(self, now_ns):
        self._steps_left -= 1
        if not self._steps_left:
            self.running = ()
        return ("step", now_ns / MS)

    def advance(self, now_ns):
        while self.due_ns is not None and self.due_ns <= now_ns:
            self.due_ns += self._tick_ns
            yield ("tick", (self.due_ns - self._tick_ns) / MS)

    def skip(self, now_ns):
        if self.due_ns is None or self.due_ns > now_ns:
            return 0
        left_out = (now_ns - self.due_ns) // self._tick_ns
        self.due_ns += left_out * self._tick_ns
        return left_out

    def halt(self):
        self.halted, self.running = True, ()

    def end(self, name, reason="ended"):
        self.ended[name] = reason


class FakeModel:
    """As much of an open model as a stream needs."""

    def __init__(self, *, tick_ms=None, on_push=None):
        self.graph = SimpleNamespace(inputs={"image": Image(2, 2), "audio": Audio(1000, 100, 20), "text": Text(8)})
        self.scheduler = FakeLive(tick_ms, on_push)
        self.closed = 0

    def live(self, *, on_failure):
        self.scheduler.on_failure = on_failure
        return self.scheduler

    def close(self):
        self.closed += 1


class Background(threading.Thread):
    """A function on a thread."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self._function, self._args = function, args

    def run(self):
        self._result = self._function(*self._args)

    def end(self):
        """What the function returned; fails when it does not end."""
        self.join(PATIENCE_S)
        assert not self.is_alive(), "it never ended"
        return self._result


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def is_waiting(thread, function):
    """Whether a thread waits for another one right now, in a function of that name of ours."""
    frame = sys._current_frames().get(thread.ident)
    if frame is None or frame.f_code.co_name not in ("wait", "join", "_wait_for_tstate_lock"):
        return False
    while frame is not None:
        if frame.f_code.co_name == function and "streaming" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def script():
    return Script


@pytest.fixture
def gate():
    """A closed gate; opened at the end, so that no thread outlives a failing test."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def fake_model():
    return FakeModel


@pytest.fixture
def sink_of():
    return Sink


@pytest.fixture
def outlet():
    """Makes outlets, and closes them."""
    made = []

    def make(*consumers, sinks=(), observer=None, block=False, on_finished=lambda: None, clock=lambda: 0):
        made.append(Outlet(consumers, sinks, observer, block=block, on_finished=on_finished, clock=clock))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def background():
    """Runs a function on a thread, see `Background`."""
    threads = []

    def run(function, *args):
        threads.append(Background(function, *args))
        threads[-1].start()
        return threads[-1]

    yield run
    for thread in threads:
        thread.end()


@pytest.fixture
def waits_in():
    """Returns once a thread waits in the function of that name; fails when it ends, or never does."""

    def wait(thread, function):
        wait_until(
            lambda: is_waiting(thread, function) or not thread.is_alive(), f"{thread.name} never waited in {function}"
        )
        assert thread.is_alive(), f"{thread.name} ended without waiting in {function}"

    return wait


@pytest.fixture
def thread_named():
    """The running thread of that name."""

    def find(name):
        (thread,) = (thread for thread in threading.enumerate() if thread.name == name)
        return thread

    return find


@pytest.fixture
def eventually():
    """Waits until something is so."""
    return wait_until


@pytest.fixture
def stream(clock):
    """Makes streams on virtual time, in real time unless told otherwise, and closes them."""
    made = []

    def make(model, *sources, **options):
        made.append(Stream(model, sources, **{"clock": clock, "sleep": clock.sleep, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()
