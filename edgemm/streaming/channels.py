"""Bounded queues between the threads of a stream: every one has a limit, and every drop is counted with its cause.

A `Mailbox` holds one channel per sender and hands out the packet captured first. It knows nothing of what packets carry.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from threading import Condition
from time import monotonic
from typing import Any

from edgemm.errors import SourceError, UsageError
from edgemm.host.interfaces import Packet

WHEN_FULL = ("block", "drop_oldest", "drop_newest", "fail")


@dataclass(frozen=True)
class Limits:
    """How much one channel holds, and what happens when it is full.

    Attributes:
        packets: at most so many.
        bytes: at most so many, of arrays; one packet is always taken.
        when_full: `block` the sender, `drop_oldest`, `drop_newest`, or `fail`, so that its input breaks down.
    """

    packets: int = 8
    bytes: int = 64 * 2**20
    when_full: str = "drop_oldest"

    def __post_init__(self) -> None:
        if self.when_full not in WHEN_FULL:
            raise UsageError(f"when_full must be one of {', '.join(WHEN_FULL)}, got '{self.when_full}'")
        if self.packets < 1 or self.bytes < 1:
            raise UsageError("a channel must hold at least one packet and one byte")


@dataclass(frozen=True)
class Queue:
    """What a user asks of one input's queue; 0 and "" leave it to what suits the input."""

    packets: int = 0
    when_full: str = ""

    def applied_to(self, limits: Limits) -> Limits:
        """Those limits, with what is asked for."""
        return replace(limits, packets=self.packets or limits.packets, when_full=self.when_full or limits.when_full)


class _Channel:
    __slots__ = ("bytes", "closed", "limits", "packets")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.packets: deque[Packet] = deque()
        self.bytes = 0
        self.closed = False

    def full(self, size: int) -> bool:
        return len(self.packets) >= self.limits.packets or (
            bool(self.packets) and self.bytes + size > self.limits.bytes
        )

    def pop(self) -> Packet:
        packet = self.packets.popleft()
        self.bytes -= size_of(packet.value)
        return packet


class Mailbox:
    """Channels that many threads fill and one empties.

    Attributes:
        drops: (input, cause) -> how many packets were dropped.
    """

    def __init__(self, on_drop: Callable[[str, str], None] | None = None) -> None:
        self._condition = Condition()
        self._channels: dict[Hashable, _Channel] = {}
        self._on_drop = on_drop
        self._stopped = False
        self.drops: Counter[tuple[str, str]] = Counter()

    def open(self, key: Hashable, limits: Limits) -> None:
        """Make a channel."""
        self._channels[key] = _Channel(limits)

    def put(self, key: Hashable, packet: Packet) -> bool:
        """Hand over a packet; False once the mailbox is stopped, so that the sender ends.

        Raises:
            SourceError: the channel is full and its limits say `fail`.
        """
        channel = self._channels[key]
        size = size_of(packet.value)
        dropped: list[str] = []  # the input of each packet that goes
        refused = False
        with self._condition:
            when_full = channel.limits.when_full
            while channel.full(size) and not self._stopped and not refused:
                if when_full == "block":
                    self._condition.wait()
                elif when_full == "drop_oldest":
                    dropped.append(channel.pop().input)
                elif when_full == "drop_newest":
                    dropped.append(packet.input)
                    refused = True
                else:
                    raise SourceError(
                        f"input '{packet.input}': its channel of {channel.limits.packets} packets is full; "
                        "the model is slower than the input"
                    )
            if self._stopped:
                return False
            for name in dropped:
                self.drops[name, "full"] += 1
            if not refused:
                channel.packets.append(packet)
                channel.bytes += size
                self._condition.notify_all()
        if self._on_drop is not None:
            for name in dropped:
                self._on_drop(name, "full")
        return True

    def close(self, key: Hashable) -> None:
        """The sender ends; what it sent can still be taken."""
        with self._condition:
            self._channels[key].closed = True
            self._condition.notify_all()

    def stop(self) -> None:
        """End everything at once: senders are unblocked, nothing more is handed out."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def ended(self) -> bool:
        """Whether nothing more can come."""
        with self._condition:
            return self._stopped or all(c.closed and not c.packets for c in self._channels.values())

    def take(self, timeout_s: float | None, *, in_order: bool) -> Packet | None:
        """The packet captured first, or None after `timeout_s` or when nothing more can come.

        Args:
            timeout_s: how long to wait; None for as long as it takes.
            in_order: wait until every open channel has a packet, so that the order of capture holds across channels.
        """
        deadline = None if timeout_s is None else monotonic() + timeout_s
        with self._condition:
            while not self._stopped:
                filled = [channel for channel in self._channels.values() if channel.packets]
                waiting = any(not c.closed and not c.packets for c in self._channels.values())
                if filled and not (in_order and waiting):
                    first = min(filled, key=_first_captured)
                    packet = first.pop()
                    self._condition.notify_all()
                    return packet
                if not filled and not waiting:
                    return None
                remaining = None if deadline is None else deadline - monotonic()
                if remaining is not None and remaining <= 0:
                    return None
                self._condition.wait(remaining)
        return None


def size_of(value: Any) -> int:
    """Bytes of an array, or of the samples of a sound; 0 for anything small."""
    try:
        size = getattr(getattr(value, "samples", value), "nbytes", 0)
    except Exception:  # a value may be anything; whether it fits is said where the model takes it
        return 0
    return size if isinstance(size, int) else 0


def _first_captured(channel: _Channel) -> int:
    return channel.packets[0].captured_ns
