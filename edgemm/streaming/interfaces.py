"""Protocols of what listens to a stream: sinks take its results, observers are told what happens in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgemm.host.interfaces import Packet
from edgemm.outputs.results import Result


class Sink(Protocol):
    """Takes results, on a thread of its own, in order; one that is slow or stuck holds up no other.

    Where a stream keeps time, a sink that falls more than a second behind gets the newest result next; what it did not get is counted.
    A view may also have `on_packet(packet)`, `on_drop(input, cause)` and `on_error(where, error)`, which are called from the stream's other
    threads and must return at once; and an attribute `finished`, which ends the stream when it is true after a `write`.
    """

    def write(self, result: Result) -> None:
        """Take one result. An exception mutes this sink, not the stream; `Stream.wait` raises it at the end."""

    def close(self) -> None:
        """Flush and release."""


class Observer:
    """Callbacks of a running stream; override what you need.

    They are called from the stream's own threads, several at once, and must return at once. One that raises is recorded
    (`Stream.muted`, `Stream.muted_observers`), logged and not called again; the stream and the other callbacks go on.
    """

    def on_start(self, inputs: Sequence[str]) -> None:
        """The stream starts, before its first packet."""

    def on_packet(self, packet: Packet) -> None:
        """The model takes a packet; of a live source its time counts from the stream's start."""

    def on_result(self, result: Result) -> None:
        """A result was made; it is told here whether or not anybody takes it."""

    def on_drop(self, input: str, cause: str) -> None:
        """A packet was dropped."""

    def on_error(self, where: str, error: BaseException) -> None:
        """A source failed, or a sink or a callback, which is muted."""

    def on_stop(self) -> None:
        """The model takes no more packets; sinks may still have results to write."""
