"""Where results leave a stream: for an iterator, or, each on a thread of its own, to callbacks and sinks.

Whoever takes results has a queue of his own, so that one who is slow, or stuck, holds up no other. What waits is bounded by age where a stream
keeps time: once the oldest has waited too long, the newest wins. An exception in a callback or sink mutes that one, is told, and never
reaches the stream.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic, monotonic_ns

from edgemm.host.interfaces import Packet
from edgemm.outputs.results import Result
from edgemm.streaming.interfaces import Observer, Sink
from edgemm.streaming.listeners import NOBODY, Listeners, name_of

_CAPACITY = 256
WAITING_NS = 1_000_000_000  # how old an answer may become in a queue: a view or a log has its pauses, and a robot must not act on the past
POLL_S = 0.5  # how soon a waiting reader hears Ctrl-C
CLOSING_S = 2.0  # how long closing waits, in all, for threads that are in somebody else's code


class ResultQueue:
    """Results on their way to one reader.

    Args:
        block: make the model wait when nobody takes results; otherwise old ones are dropped and counted.
        clock: what time it is, ns.

    Attributes:
        dropped: results that were not taken in time.
    """

    def __init__(self, *, block: bool, clock: Callable[[], int]) -> None:
        self.dropped = 0
        self._block, self._ages = block, not block
        self._clock = clock
        self._results: deque[tuple[int, Result]] = deque()  # since when it waits
        self._condition = threading.Condition()
        self._finished = self._closed = False

    def put(self, result: Result) -> None:
        """Hand over one result."""
        with self._condition:
            while self._block and len(self._results) >= _CAPACITY and not self._closed:
                self._condition.wait()
            if self._closed:
                return
            now_ns = self._clock()
            if self._is_overdue(now_ns):
                self._drop(len(self._results))
            if len(self._results) >= _CAPACITY:
                self._drop(1)
            self._results.append((now_ns, result))
            self._condition.notify_all()

    def iterate(self) -> Iterator[Result]:
        """Results in order until `finish`."""
        while True:
            with self._condition:
                while not self._results and not self._finished:
                    self._condition.wait(POLL_S)
                if not self._results:
                    return
                if self._is_overdue(self._clock()):
                    self._drop(len(self._results) - 1)
                _, result = self._results.popleft()
                self._condition.notify_all()
            yield result

    def finish(self) -> None:
        """No more results will come."""
        with self._condition:
            self._finished = True
            self._condition.notify_all()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for `finish`, without anybody who takes results: the oldest make room."""
        with self._condition:
            self._block = False
            self._condition.notify_all()
            return self._condition.wait_for(lambda: self._finished, timeout_s)

    def release(self) -> None:
        """Nobody takes or waits any more, and what is still queued is not delivered."""
        with self._condition:
            self._closed = True
            self._results.clear()
            self._condition.notify_all()

    def _is_overdue(self, now_ns: int) -> bool:
        return self._ages and bool(self._results) and now_ns - self._results[0][0] > WAITING_NS

    def _drop(self, count: int) -> None:
        self.dropped += count
        for _ in range(count):
            self._results.popleft()


class Outlet:
    """Results on their way out, and what else is told of a stream.

    Args:
        consumers: callbacks; with these or `sinks` threads serve them, else results wait for `iterate`.
        observer, registered: told what happens; results on the thread that made them, so that observing a stream does not change who takes them.
        block: make the model wait when nobody takes results; otherwise old ones are dropped and counted.
        on_finished: called when a sink wants no more.
        clock: what time it is, ns.

    Attributes:
        failure: the first callback or sink that was muted, and what it raised; None while none was.
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
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.failure: tuple[str, BaseException] | None = None
        self._listeners = Listeners(sinks, observer, registered)
        self._on_finished = on_finished
        self._own = ResultQueue(block=block, clock=clock)
        targets = [*((consumer, None) for consumer in consumers), *((sink.write, sink) for sink in sinks)]
        self._queues = [ResultQueue(block=block, clock=clock) for _ in targets] or [self._own]
        self._threads = [
            threading.Thread(target=self._serve, args=(queue, *target), name="edgemm-sinks", daemon=True)
            for queue, target in zip(self._queues, targets, strict=False)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def dropped(self) -> int:
        """Results that nobody took in time; of several readers, each counts."""
        return sum(queue.dropped for queue in self._queues)

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
        for queue in self._queues:
            queue.put(result)

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
        for queue in (self._own, *self._queues):
            queue.finish()

    def iterate(self) -> Iterator[Result]:
        """Results in order until `finish`; none where callbacks or sinks take them."""
        return self._own.iterate()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until all is delivered."""
        return join(self._threads, timeout_s) if self._threads else self._own.wait(timeout_s)

    def release(self) -> None:
        """Nobody waits for anybody any more, and what is still queued is not delivered."""
        for queue in self._queues:
            queue.release()

    def close(self, timeout_s: float | None = None) -> bool:
        """End `iterate`, and close the sinks; False if one of them is stuck.

        Args:
            timeout_s: how long to wait for all of them; `CLOSING_S` if not given.
        """
        self.release()
        self.finish()
        return join(self._threads, CLOSING_S if timeout_s is None else timeout_s)

    def _serve(self, queue: ResultQueue, target: Callable[[Result], None], sink: Sink | None) -> None:
        """The thread of one callback or sink."""
        try:
            for result in queue.iterate():
                target(result)
                if getattr(sink, "finished", False):
                    self._on_finished()
                    break
        except BaseException as error:  # a callback is the user's: it is muted, and the stream goes on
            self._mute(target, error)
            queue.release()
            queue.wait(None)
        queue.release()
        if sink is not None:
            try:
                sink.close()
            except BaseException as error:
                self._mute(sink.close, error)

    def _mute(self, call: Callable[..., None], error: BaseException) -> None:
        self.failure = self.failure or (name_of(call), error)
        self._listeners.mute(name_of(call), error)


def join(threads: Sequence[threading.Thread], timeout_s: float | None) -> bool:
    """Wait for threads, all within one time, and in short steps so that Ctrl-C is heard; False if one still runs. Not for the one that asks."""
    deadline_s = None if timeout_s is None else monotonic() + timeout_s
    others = [thread for thread in threads if thread is not threading.current_thread()]
    for thread in others:
        while thread.is_alive():
            left_s = 0.2 if deadline_s is None else min(0.2, deadline_s - monotonic())
            if left_s <= 0:
                break
            thread.join(left_s)
    return not any(thread.is_alive() for thread in others)
