"""A threaded stream: one thread per source, one for the model, one per sink.

    source thread(s) -> mailbox (bounded, counted drops) -> model thread (Live) -> results (bounded) -> sinks, or an iterator

Recorded sources are paced by their timestamps, or, with `realtime=False`, read as fast as the model goes and merged in order of
capture, which makes a run reproducible. Live sources are taken as they come. A stream's time counts in ns from its start. It knows nothing
of what sources and sinks do.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic, monotonic_ns, sleep
from types import MappingProxyType, TracebackType
from typing import Any

from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.errors import EdgeMMError, InputError, SinkError, SourceError, UsageError
from edgemm.host.interfaces import Packet, Source
from edgemm.log import clean, logger
from edgemm.outputs.results import Result
from edgemm.runners.providers import CPU
from edgemm.runtime.model import Model, check_inputs
from edgemm.runtime.model import open as open_bundle
from edgemm.streaming.channels import Mailbox, Queue
from edgemm.streaming.interfaces import Observer, Sink
from edgemm.streaming.listeners import NOBODY, Losses, reason_of, registered_observers
from edgemm.streaming.outlets import CLOSING_S, Outlet, join
from edgemm.streaming.pump import SILENCE_NS, Pump, StreamTime, Told, channels_of, tell_absent
from edgemm.streaming.sinks import sinks_from_names
from edgemm.streaming.sources import queues_from_inputs, sources_from_inputs

DEFAULT_QUEUES: Mapping[str, Queue] = MappingProxyType({})

_LOG = logger("streaming")


def stream(
    bundle: str | Path | Model,
    inputs: Mapping[str, Any],
    *,
    on_result: Callable[[Result], None] | None = None,
    sinks: Sequence[str | Sink] = (),
    observer: Observer | None = None,
    realtime: bool = True,
    seconds: float | None = None,
    variant: str = "auto",
    provider: str = CPU,
    threads: int = 1,
    trust: Trust = UNTRUSTED,
    allow_missing: bool = False,
) -> Stream:
    """Stream inputs through a bundle.

    Iterate over the returned stream, or give `on_result` or `sinks`, each of which is served on a thread of its own; then call `wait`
    or `close`. Use it as a context manager.

    Args:
        bundle: path, or an open model, which stays open.
        inputs: input name -> URI (`clip.mp4`, `camera:0`, `mic:`, `rtsp://…`, `stdin:`), path, `edgemm.SourceUri` (a URI with options), or an
            object with the Source protocol (`edgemm.Inbox`). Inputs with the same URI and options share one source.
        on_result: called with each result.
        sinks: where results go, by name (`json_lines`, `json_lines:path=out.jsonl`; `edgemm plugins --kind sink` lists them) or as objects with
            the Sink protocol.
        observer: told of starts, packets, results, drops and errors, as are the observers that plugins register.
        realtime: pace recorded sources by their timestamps; False runs as fast as possible, in order of capture.
        seconds: end after so much stream time.
        variant, provider: as in `open`.
        threads: as in `open`.
        trust: as in `open`; of a model that is already open, only whether it is the bundle that is named.
        allow_missing: go on without a source that cannot be opened at all, instead of raising; a source that breaks down later never
            ends the stream.

    Raises:
        UnknownNameError, UsageError: an input, URI scheme, sink or option that does not exist.
        BundleError: as `open`.
    """
    if seconds is not None and not 0 < seconds < 1e9:
        raise UsageError(f"seconds must be above 0, got {seconds:g}")
    model, own = _opened(bundle, variant, provider, threads, trust)
    sources: Sequence[Source] = ()
    try:
        check_inputs(model, inputs)
        queues = queues_from_inputs(inputs)
        sources = sources_from_inputs(model.graph.inputs, inputs)
        registered = registered_observers()
        made = sinks_from_names(model, sinks)  # last: a file that one begins anew shall not be lost to a typo in a URI
        return Stream(
            model, sources, consumers=[on_result] if on_result else [], sinks=made, observer=observer, registered=registered,
            queues=queues, realtime=realtime, seconds=seconds, allow_missing=allow_missing, close_model=own,
        )  # fmt: skip
    except BaseException:
        for source in sources:
            source.close()
        if own:
            model.close()
        raise


def _opened(bundle: str | Path | Model, variant: str, provider: str, threads: int, trust: Trust) -> tuple[Model, bool]:
    """The model, and whether it was opened here."""
    if isinstance(bundle, Model):
        trust.check(bundle.bundle)
        return bundle, False
    return open_bundle(bundle, variant=variant, provider=provider, threads=threads, trust=trust), True


class Stream:
    """A running stream; made by `stream`.

    Attributes:
        model: what runs.
        failures: input -> why its source broke down.
        started_ns: when it started, on `time.monotonic_ns()`; results count from there.

    Args:
        clock, sleep: what time is and how it passes; a test gives its own.
    """

    def __init__(
        self,
        model: Model,
        sources: Sequence[Source],
        *,
        consumers: Sequence[Callable[[Result], None]] = (),
        sinks: Sequence[Sink] = (),
        observer: Observer | None = None,
        registered: Mapping[str, Callable[[], Observer]] = NOBODY,
        queues: Mapping[str, Queue] = DEFAULT_QUEUES,
        realtime: bool = True,
        seconds: float | None = None,
        allow_missing: bool = False,
        close_model: bool = False,
        clock: Callable[[], int] = monotonic_ns,
        sleep: Callable[[float], None] = sleep,
    ) -> None:
        self.model = model
        self.failures: dict[str, str] = {}
        self._sources = tuple(sources)
        self._realtime = realtime or any(source.live for source in sources)
        self._limit_ns = None if seconds is None else int(seconds * 1e9)
        self._allow_missing = allow_missing
        self._close_model = close_model
        self._error: EdgeMMError | None = None
        self._live = model.live(on_failure=self._on_failure)
        self._reached_ns = 0  # as fast as possible: how far time has come
        self._ending = threading.Lock()
        self._closed = self._over = False
        self._outlet = Outlet(
            consumers, sinks, observer, block=not self._realtime, on_finished=self._stop, registered=registered, clock=clock
        )  # fmt: skip
        self._losses = Losses(self._outlet.tell_drop, self._outlet.tell_error)
        self._mailbox = Mailbox(self._losses.tell)
        self._inputs = [name for source in self._sources for name in source.inputs]
        self._outlet.tell_start(self._inputs)
        self._time = StreamTime(clock, sleep)
        self.started_ns = self._time.started_ns
        for source in self._sources:
            for key, limits in channels_of(source, model.graph.inputs, queues):
                self._mailbox.open(key, limits)
        told = Told(self._losses.lose, self._losses.clamp, self._source_failed, self._source_ended)
        pumps = [Pump(source, self._mailbox, self._time, self._realtime, told) for source in self._sources]
        model_thread = threading.Thread(target=self._run, name="edgemm-model", daemon=True)
        self._threads = [*(pump.thread for pump in pumps), model_thread]
        _LOG.info("stream of %s starts", ", ".join(self._inputs))
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Stream({', '.join(self._inputs)} of {self.model!r}; {'ended' if self._over else 'running'})"

    def __iter__(self) -> Iterator[Result]:
        """Results in order, until every source has ended.

        Raises:
            SourceError: a source could not be opened.
        """
        yield from self._outlet.iterate()
        self._raise_failure()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until every source has ended and every result was delivered; False when `timeout_s` came first.

        Raises:
            SourceError: a source could not be opened.
            SinkError: a callback or sink raised, and got no more results; the others got theirs.
        """
        done = self._outlet.wait(timeout_s)
        if done:
            self._raise_failure()
            if self._outlet.failure is not None:
                name, error = self._outlet.failure
                raise SinkError(f"{name} raised, and got no more results: {reason_of(error)}") from error
        return done

    def close(self) -> None:
        """End now: sources, model thread and sinks. Returns when all have ended, at the latest after `CLOSING_S`, without what is stuck."""
        started_s = monotonic()
        self._stop()
        self._outlet.release()
        closing = [
            threading.Thread(target=self._close_source, args=(source,), name="edgemm-closing", daemon=True)
            for source in self._sources
        ]
        for thread in closing:
            thread.start()
        ended = join([*closing, *self._threads], 0.75 * CLOSING_S)
        closed = self._outlet.close(max(0.0, started_s + CLOSING_S - monotonic()))
        if not (ended and closed):
            stuck = [thread.name for thread in self._threads if thread.is_alive()] + ([] if closed else ["a sink"])
            _LOG.warning("closed without waiting for what is stuck: %s", ", ".join(stuck) or "the close of a source")
        with self._ending:
            self._closed, over = True, self._over
        if over and self._close_model:  # else its thread does, once it gets there: nobody frees what is still running
            self.model.close()

    @property
    def drops(self) -> dict[str, int]:
        """Input -> packets dropped, whatever the cause, and `results` -> results that nobody took in time."""
        counts: Counter[str] = Counter()
        for (name, _), count in self.drops_by_cause.items():
            counts[name] += count
        return dict(counts)

    @property
    def drops_by_cause(self) -> dict[tuple[str, str], int]:
        """The same, for each (input, cause)."""
        counts = Counter(dict(list(self._mailbox.drops.items())))
        counts.update(dict(list(self._losses.counts.items())))
        counts.update({(name, "late"): count for name, count in self._live.late.items()})
        for source in self._sources:
            dropped = getattr(source, "dropped", 0)
            counts[source.inputs[0], "full in its source"] += dropped if isinstance(dropped, int) else 0
        counts["results", "not taken in time"] += self._outlet.dropped
        return {key: count for key, count in counts.items() if count}

    @property
    def clamped(self) -> dict[str, int]:
        """Input -> live stamps that were ahead of the clock, and were taken as now."""
        return dict(self._losses.clamped)

    @property
    def missed(self) -> int:
        """Deadlines that were left out, because the model was late or time had jumped."""
        return self._losses.missed

    @property
    def muted(self) -> dict[str, str]:
        """Callback or sink -> the error that muted it."""
        return self._outlet.muted

    @property
    def muted_observers(self) -> dict[str, str]:
        """Observer that a plugin registered -> the error that muted it, or why it could not be made."""
        return self._outlet.muted_observers

    @property
    def failing(self) -> dict[str, str]:
        """Node -> why it is quarantined; it is tried again, and the others go on."""
        return self._live.failing

    def _stop(self) -> None:
        """End it, from any thread: nothing more is taken in, and no node begins to run."""
        self._mailbox.stop()
        self._live.halt()

    def _close_source(self, source: Source) -> None:
        try:
            source.close()
        except BaseException as error:  # a plugin's: the others must be closed all the same
            self.failures.update(dict.fromkeys(source.inputs, str(error)))

    def _on_failure(self, node: str, error: Exception) -> None:
        _LOG.warning("node '%s' failed, and is tried again later: %s", node, clean(reason_of(error)))
        self._outlet.tell_error(f"node '{node}'", error)

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise self._error

    def _source_failed(self, source: Source, error: BaseException, delivered: bool) -> None:
        for name in source.inputs:
            self.failures[name] = str(error) if isinstance(error, Exception) else reason_of(error)
        _LOG.error("input %s broke down: %s", ", ".join(source.inputs), clean(reason_of(error)))
        self._outlet.tell_error(", ".join(source.inputs), error)
        if not delivered and not self._allow_missing:
            self._error = error if isinstance(error, EdgeMMError) else SourceError(f"{type(error).__name__}: {error}")
            self._stop()

    def _source_ended(self, source: Source) -> None:
        for name in source.inputs:
            self._live.end(name, "broke down" if name in self.failures else "ended")

    def _run(self) -> None:
        """The model's thread."""
        try:
            self._live.start(0)
            self._consume()
        except EdgeMMError as error:
            self._error = error
        except BaseException as error:  # whatever it is: it ends the stream, and is raised where results are read
            self._error = EdgeMMError(f"the model failed: {type(error).__name__}: {error}")
        finally:
            self._mailbox.stop()
            self._outlet.finish()
            self._outlet.tell_stop()
            _LOG.info("stream ended; dropped: %s", self.drops_by_cause or "nothing")
            with self._ending:
                self._over, closed = True, self._closed
            if closed and self._close_model:
                self.model.close()

    def _consume(self) -> None:
        live, mailbox, end_ns = self._live, self._mailbox, self._limit_ns
        while not mailbox.stopped:
            packet = mailbox.take(self._wait_s(end_ns), in_order=not self._realtime)
            if packet is None:
                if mailbox.ended() and not live.running:
                    break
                now_ns = self._time.now_ns()
                if end_ns is not None and now_ns >= end_ns:
                    break
                self._emit_due(now_ns)
                if live.running:  # perception first: a loop goes on only when nothing else waits
                    self._resume(now_ns)
                continue
            if end_ns is not None and packet.captured_ns >= end_ns:
                break
            if not self._realtime:
                self._bridge(packet.captured_ns)
            self._emit_due(packet.captured_ns)
            self._outlet.tell_packet(packet)
            self._push(packet)
        if end_ns is not None and not mailbox.stopped:  # it ended by itself: what is due up to the limit is answered
            self._emit_due(end_ns)
        if not live.answered and not mailbox.stopped:  # a photo, a line: nothing was due before it ended
            result = live.tick(self._time.now_ns() if self._realtime else self._reached_ns)
            if result.tensors:
                self._outlet.put(result)

    def _push(self, packet: Packet) -> None:
        try:
            result = self._live.push(packet.input, packet.value, packet.captured_ns)
        except InputError as error:  # one value that does not fit is lost, not the stream
            self._losses.lose(packet.input, "does not fit", error)
            return
        if result is not None:
            self._outlet.put(result)
        else:
            self._losses.late(packet.input, self._live.late[packet.input])
        if not self._realtime:
            self._finish_loops(packet.captured_ns)

    def _resume(self, now_ns: int) -> None:
        result = self._live.resume(now_ns)
        if result is not None:
            self._outlet.put(result)

    def _bridge(self, at_ns: int) -> None:
        """As fast as possible a gap is walked through only so far: a damaged file can jump by hours."""
        if at_ns - self._reached_ns > SILENCE_NS:
            self._emit_due(self._reached_ns + SILENCE_NS)
            self._losses.miss(self._live.skip(at_ns))
        self._reached_ns = max(self._reached_ns, at_ns)

    def _emit_due(self, now_ns: int) -> None:
        if self._realtime:  # missed deadlines are skipped, not replayed
            tell_absent(self._sources, self._live.end)
            self._losses.miss(self._live.skip(now_ns))
        for result in self._live.advance(now_ns):
            self._outlet.put(result)
            if self._mailbox.stopped:
                return
            if self._live.running and not self._realtime:
                self._finish_loops(result.at_ns)

    def _finish_loops(self, at_ns: int) -> None:
        """As fast as possible must be reproducible: there a loop ends before the next packet or deadline comes."""
        while self._live.running and not self._mailbox.stopped:
            self._resume(at_ns)

    def _wait_s(self, end_ns: int | None) -> float | None:
        """How long the model may sleep before a node is due at its rate, or the stream ends."""
        if self._live.running:
            return 0.0
        if not self._realtime:
            return None
        due = [at_ns for at_ns in (self._live.due_ns, end_ns) if at_ns is not None]
        return max(0.0, (min(due) - self._time.now_ns()) / 1e9) if due else 0.5
