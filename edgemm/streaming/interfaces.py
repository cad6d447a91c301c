"""Protocols of what listens to a stream: sinks take its results, observers are told what happens in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgemm.outputs.results import Result


class Sink(Protocol):
    """Takes results, on one thread, in order.

    A view may also have `on_packet(packet)`, `on_drop(input, cause)` and `on_error(where, error)`, which are called from the stream's other
    threads and must return at once; and an attribute `finished`, which ends the stream when it is true after a `write`.
    """

    def write(self, result: Result) -> None:
        """Take one result. An exception mutes this sink, not the stream."""

    def close(self) -> None:
        """Flush and release."""


class Observer:
    """Callbacks of a running stream; override what you need."""

    def on_start(self, inputs: Sequence[str]) -> None:
        """The stream starts."""

    def on_result(self, result: Result) -> None:
        """A result was made."""

    def on_drop(self, input: str, cause: str) -> None:
        """A packet was dropped."""

    def on_error(self, where: str, error: BaseException) -> None:
        """A source or sink failed."""

    def on_stop(self) -> None:
        """The stream ended."""
