"""Faults of sources, one function each, and the source that has them.

A fault takes the packets of a source and gives on what is left of them. Several are applied in order, as if the packets went through one after the
other. Counts are of packets: `after=10` leaves the first ten alone.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any, TypeAlias

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet, Source

Fault: TypeAlias = Callable[[Iterable[Packet]], Iterator[Packet]]
"""The packets of a source to those that it delivers instead."""

_NS_PER_MS = 1_000_000


class Disturbed:
    """A source with faults.

    Args:
        source: what is disturbed; a recorded source stays one.
        faults: applied in order.

    Attributes:
        sent: input -> packets that were handed to the stream, so that it can be told whether it lost any without counting it.
    """

    def __init__(self, source: Source, *faults: Fault) -> None:
        self.inputs = source.inputs
        self.live = source.live
        self.sent: Counter[str] = Counter()
        self._source = source
        self._faults = faults

    def packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        """What is left of the source's packets."""
        packets: Iterable[Packet] = self._source.packets(stopped)
        for fault in self._faults:
            packets = fault(packets)
        for packet in packets:
            self.sent[packet.input] += 1
            yield packet

    @property
    def dropped(self) -> int:
        """What the source says that it lost itself."""
        lost: int = getattr(self._source, "dropped", 0)
        return lost

    @property
    def absent(self) -> str:
        """Why the source delivers nothing at the moment, if it says so."""
        reason: str = getattr(self._source, "absent", "")
        return reason

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def during(fault: Fault, *, first: int, last: int) -> Fault:
    """A fault that only the packets `first` up to `last`, without it, go through: before and after, all is well."""

    def disturb(packets: Iterable[Packet]) -> Iterator[Packet]:
        remaining = iter(packets)
        yield from islice(remaining, first)
        yield from fault(islice(remaining, last - first))
        yield from remaining

    return disturb


def rounds(*disturbed: Fault, packets: int) -> Fault:
    """Faults that come and go: after so many packets all of them begin anew, each counting from 0."""

    def disturb(all_packets: Iterable[Packet]) -> Iterator[Packet]:
        remaining = iter(all_packets)
        for first in remaining:
            these: Iterable[Packet] = chain([first], islice(remaining, packets - 1))
            for fault in disturbed:
                these = fault(these)
            yield from these

    return disturb


def drop(*, every: int) -> Fault:
    """Each `every`th packet is lost on the way, as over UDP."""
    return lambda packets: (packet for number, packet in enumerate(packets, 1) if number % every)


def gap(*, after: int, packets: int) -> Fault:
    """So many packets in a row are lost: a cable that was out for a while."""
    return lambda all_packets: (
        packet for number, packet in enumerate(all_packets) if not after <= number < after + packets
    )


def freeze(*, after: int, packets: int | None = None) -> Fault:
    """From then on the value stays what it was, for so many packets or for ever: a camera whose sensor hangs."""

    def disturb(all_packets: Iterable[Packet]) -> Iterator[Packet]:
        value: Any = None
        for number, packet in enumerate(all_packets):
            if after <= number and (packets is None or number < after + packets):
                yield replace(packet, value=value)
            else:
                value = packet.value
                yield packet

    return disturb


def repeat(*, every: int) -> Fault:
    """Each `every`th packet comes twice."""

    def disturb(packets: Iterable[Packet]) -> Iterator[Packet]:
        for number, packet in enumerate(packets, 1):
            yield packet
            if number % every == 0:
                yield packet

    return disturb


def reorder(*, depth: int) -> Fault:
    """Groups of `depth` packets come backwards."""

    def disturb(packets: Iterable[Packet]) -> Iterator[Packet]:
        group: list[Packet] = []
        for packet in packets:
            group.append(packet)
            if len(group) == depth:
                yield from reversed(group)
                group = []
        yield from reversed(group)

    return disturb


def hold_back(*, packets: int) -> Fault:
    """Each packet comes only when so many further ones have been captured: a network that buffers."""

    def disturb(all_packets: Iterable[Packet]) -> Iterator[Packet]:
        held: list[Packet] = []
        for packet in all_packets:
            held.append(packet)
            if len(held) > packets:
                yield held.pop(0)
        yield from held

    return disturb


def skew(*, ms: float) -> Fault:
    """Capture times are wrong by so much, all of them."""
    return jump(after=0, by_ms=ms)


def jump(*, after: int, by_ms: float) -> Fault:
    """From then on, capture times are wrong by so much: a clock that was set, a wall clock given for a monotonic one, a recording that was cut."""
    by_ns = round(by_ms * _NS_PER_MS)
    return lambda packets: (
        packet if number < after else replace(packet, captured_ns=packet.captured_ns + by_ns)
        for number, packet in enumerate(packets)
    )


def corrupt(value: Any, *, every: int) -> Fault:
    """Each `every`th packet carries `value` instead of its own, or what `value(its own)` gives."""
    return lambda packets: (
        packet if number % every else replace(packet, value=value(packet.value) if callable(value) else value)
        for number, packet in enumerate(packets, 1)
    )


def misname(name: str, *, every: int) -> Fault:
    """Each `every`th packet says that it is for another input."""
    return lambda packets: (
        packet if number % every else replace(packet, input=name) for number, packet in enumerate(packets, 1)
    )


def disconnect(*, after: int, error: BaseException | None = None) -> Fault:
    """The source breaks down."""

    def disturb(packets: Iterable[Packet]) -> Iterator[Packet]:
        for number, packet in enumerate(packets):
            if number == after:
                break
            yield packet
        raise error or SourceError("it was disconnected")

    return disturb


def exit_thread(*, after: int) -> Fault:
    """Something in the source calls `sys.exit`, as careless libraries do."""
    return disconnect(after=after, error=SystemExit(1))


def hang(release: threading.Event, *, after: int) -> Fault:
    """The source neither delivers nor returns until `release` is set, whoever closes it."""

    def disturb(packets: Iterable[Packet]) -> Iterator[Packet]:
        for number, packet in enumerate(packets):
            if number == after:
                release.wait()
                return
            yield packet

    return disturb
