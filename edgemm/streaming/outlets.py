"""Where results leave a stream: a bounded queue for an iterator, or a thread that serves callbacks and sinks.

An exception in a callback or sink mutes that one, is reported, and never reaches the stream.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from edgemm.host.interfaces import Packet
from edgemm.outputs.results import Result
from edgemm.streaming.interfaces import Observer, Sink
from edgemm.streaming.listeners import NOBODY, Listeners, name_of

_CAPACITY = 256
POLL_S = 0.5  # how soon a waiting reader hears Ctrl-C
CLOSING_S = 5.0  # how long closing waits for a thread that is in somebody else's code


class Outlet:
    """Results on their way out.

    Args:
        consumers: callbacks; with these or `sinks` a thread serves them, else results wait for `iterate`.
        observer, registered: told what happens; results on the thread that made them, so that observing a stream does not change who takes them.
        block: make the model wait when nobody takes results; otherwise the oldest is dropped and counted.
        on_finished: called when a sink wants no more.
    """

    def __init__(
        self,
        consumers: Sequence[Callable[[Result], None]],
        sinks: Sequence[Sink],
        observer: Observer | None,
        *,
        block: bool,
        on_finished: Callable[[], None],
        registered: Mapping[str, Callable[[], Observer]] = NOBODY,
    ) -> None:
        self.dropped = 0
        self._listeners = Listeners(sinks, observer, registered)
        self._on_finished = on_finished
        self._block = block
        self._results: deque[Result] = deque()
        self._condition = threading.Condition()
        self._finished = False
        self._closed = False
        self._sinks = tuple(sinks)
        self._targets = [*consumers, *(sink.write for sink in sinks)]
        self._thread: threading.Thread | None = None
        if self._targets:
            self._thread = threading.Thread(target=self._serve, name="edgemm-sinks", daemon=True)
            self._thread.start()

    @property
    def muted(self) -> dict[str, str]:
        """Callback or sink -> the error that muted it."""
        return dict(self._listeners.muted)

    @property
    def muted_observers(self) -> dict[str, str]:
        """The same for observers that plugins registered."""
        return dict(self._listeners.muted_observers)

    def put(self, result: Result) -> None:
        """Hand over one result."""
        self._listeners.tell("on_result", result)
        with self._condition:
            while self._block and len(self._results) >= _CAPACITY and not self._closed:
                self._condition.wait()
            if self._closed:
                return
            if len(self._results) >= _CAPACITY:
                self._results.popleft()
                self.dropped += 1
            self._results.append(result)
            self._condition.notify_all()

    def tell_start(self, inputs: Sequence[str]) -> None:
        """The stream starts."""
        self._listeners.tell("on_start", inputs)

    def tell_packet(self, packet: Packet) -> None:
        """The model takes a packet."""
        self._listeners.tell("on_packet", packet)

    def tell_drop(self, input: str, cause: str) -> None:
        """A packet was dropped."""
        self._listeners.tell("on_drop", input, cause)

    def tell_error(self, where: str, error: BaseException) -> None:
        """A source, callback or sink failed."""
        self._listeners.tell("on_error", where, error)

    def tell_stop(self) -> None:
        """The stream ended."""
        self._listeners.tell("on_stop")

    def finish(self) -> None:
        """No more results will come."""
        with self._condition:
            self._finished = True
            self._condition.notify_all()

    def iterate(self) -> Iterator[Result]:
        """Results in order until `finish`."""
        while True:
            with self._condition:
                while not self._results and not self._finished:
                    self._condition.wait(POLL_S)
                if not self._results:
                    return
                result = self._results.popleft()
                self._condition.notify_all()
            yield result

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until all is delivered."""
        if self._thread is not None:
            return _join(self._thread, timeout_s)
        with self._condition:
            self._block = False  # nobody takes results while this waits: the oldest make room
            self._condition.notify_all()
            return self._condition.wait_for(lambda: self._finished, timeout_s)

    def release(self) -> None:
        """Nobody waits for anybody any more, and what is still queued is not delivered."""
        with self._condition:
            self._closed = True
            self._results.clear()
            self._condition.notify_all()

    def close(self) -> None:
        """End `iterate`, and close the sinks."""
        self.release()
        self.finish()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSING_S)

    def _serve(self) -> None:
        targets = list(self._targets)
        for result in self.iterate():
            for target in tuple(targets):
                try:
                    target(result)
                except Exception as error:  # a callback is the user's: it is muted, the stream goes on
                    targets.remove(target)
                    self._listeners.mute(name_of(target), error)
            if any(getattr(sink, "finished", False) for sink in self._sinks):
                self._on_finished()
                break
        for sink in self._sinks:
            try:
                sink.close()
            except Exception as error:
                self._listeners.mute(name_of(sink.close), error)


def _join(thread: threading.Thread, timeout_s: float | None) -> bool:
    """Join in short steps, so that Ctrl-C is heard."""
    remaining = timeout_s
    while thread.is_alive() and (remaining is None or remaining > 0):
        step = 0.2 if remaining is None else min(0.2, remaining)
        thread.join(step)
        remaining = None if remaining is None else remaining - step
    return not thread.is_alive()
