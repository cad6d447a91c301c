"""One source's thread: asks for packets, gives them the stream's time, hands them to the mailbox.

What a source delivers is a plugin's or a program's, so nothing of it is taken on trust: what is no packet of its inputs is dropped and counted, a
live stamp ahead of the clock is taken as now, and whatever the source raises ends its inputs, not the stream. It knows nothing of the model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import index
from typing import Any, NamedTuple

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet, Source
from edgemm.inputs.kind import InputKind
from edgemm.log import logger
from edgemm.streaming.channels import Limits, Mailbox, Queue

RECORDED = Limits(packets=64, when_full="block")
AHEAD_NS = 100_000_000  # how far a live stamp may be ahead of the clock before it is taken as a mistake
SILENCE_NS = 60_000_000_000  # a gap in a recording that is worth a word
_STEP_NS = 100_000_000  # how soon a pacing thread notices that its stream has stopped
_NO_PACKET, _NO_INPUT, _NO_TIME = "no packet", "unknown input", "no capture time"
_END_OF_TIME_NS = 2**62

_LOG = logger("streaming")


def tell_absent(sources: Sequence[Source], end: Callable[[str, str], None]) -> None:
    """Say why inputs get nothing at the moment, of sources that wait for their device to come back; the next value takes it back."""
    for source in sources:
        reason = getattr(source, "absent", "")
        if reason:
            for name in source.inputs:
                end(name, reason)


class StreamTime:
    """Time since a stream's start.

    Args:
        clock, sleep: what time is and how it passes.

    Attributes:
        started_ns: the start, on `clock`.
    """

    def __init__(self, clock: Callable[[], int], sleep: Callable[[float], None]) -> None:
        self._clock, self._sleep = clock, sleep
        self.started_ns = clock()

    def now_ns(self) -> int:
        """Time since the start."""
        return self._clock() - self.started_ns

    def wait_until(self, at_ns: int, stopped: Callable[[], bool]) -> None:
        """Sleep until a time has come, or the stream has stopped."""
        while (wait_ns := at_ns - self.now_ns()) > 0 and not stopped():
            self._sleep(min(wait_ns, _STEP_NS) / 1e9)


class Told(NamedTuple):
    """Who is told what becomes of a source, on its thread.

    Attributes:
        lost: (input, cause, error): a packet was dropped.
        ahead: (input, error): a stamp was ahead of the clock.
        failed: (source, error, whether it had delivered anything): it broke down.
        ended: it will deliver nothing more.
    """

    lost: Callable[[str, str, Exception], None]
    ahead: Callable[[str, Exception], None]
    failed: Callable[[Source, BaseException, bool], None]
    ended: Callable[[Source], None]


class Pump:
    """Takes packets from one source until it ends, breaks down, or the stream stops.

    Args:
        source: where they come from.
        mailbox: where they go; its channels are open.
        time: the stream's.
        realtime: hold recorded packets back until their time has come.
        told: who is told what was lost, and how it ended.

    Attributes:
        thread: runs it; to be started.
    """

    def __init__(self, source: Source, mailbox: Mailbox, time: StreamTime, realtime: bool, told: Told) -> None:
        self._source, self._mailbox, self._time = source, mailbox, time
        self._realtime, self._told = realtime, told
        self._newest_ns: dict[str, int] = {}  # input -> its last live stamp
        self._silent: set[str] = set()
        self.thread = threading.Thread(target=self.run, name=f"edgemm-{'-'.join(source.inputs)}", daemon=True)

    def run(self) -> None:
        """The thread."""
        source, mailbox, delivered = self._source, self._mailbox, False
        try:
            for packet in source.packets(lambda: mailbox.stopped):
                delivered = True
                taken = self._checked(packet)
                if mailbox.stopped or (taken is not None and not self._hand_over(taken)):
                    break
        except BaseException as error:  # a source is a plugin: whatever it raises, a panic too, ends its inputs only
            self._told.failed(source, error, delivered)
        finally:
            for key in source.inputs if source.live else (id(source),):
                mailbox.close(key)
            self._told.ended(source)

    def _hand_over(self, packet: Packet) -> bool:
        """False once the stream has stopped."""
        if self._source.live:
            return self._mailbox.put(packet.input, packet)
        if self._realtime:
            self._pace(packet)
        return self._mailbox.put(id(self._source), packet)

    def _checked(self, packet: Any) -> Packet | None:
        """The packet on the stream's time; None if it is none, which is told."""
        inputs = self._source.inputs
        if not isinstance(packet, Packet):
            return self._refuse(inputs[0], _NO_PACKET, f"got {type(packet).__name__}")
        if packet.input not in inputs:
            return self._refuse(inputs[0], _NO_INPUT, f"got a packet of {packet.input!r:.80}")
        try:
            captured_ns = index(packet.captured_ns)
        except TypeError:
            return self._refuse(packet.input, _NO_TIME, f"got {type(packet.captured_ns).__name__}, expected ns as int")
        if self._source.live:
            captured_ns = self._live_ns(packet.input, captured_ns)
        elif abs(captured_ns) >= _END_OF_TIME_NS:
            return self._refuse(packet.input, _NO_TIME, "its time is more than a century off")
        if captured_ns is packet.captured_ns:
            return packet
        return Packet(packet.input, packet.value, captured_ns, packet.sequence)

    def _refuse(self, input: str, cause: str, details: str) -> Packet | None:
        self._told.lost(input, cause, SourceError(f"input '{input}': its source delivered {cause}: {details}"))
        return None

    def _live_ns(self, input: str, captured_ns: int) -> int:
        """A live stamp on the stream's time: not before its start, and not ahead of the clock."""
        at_ns, now_ns = max(0, captured_ns - self._time.started_ns), self._time.now_ns()
        ahead_ns = at_ns - now_ns
        if ahead_ns > AHEAD_NS:
            at_ns = max(now_ns, self._newest_ns.get(input, 0))  # not before a stamp that was within bounds
            reason = (
                f"input '{input}': a stamp is {min(ahead_ns, _END_OF_TIME_NS) / 1e9:.1f} s ahead of the clock and is taken as "
                "now; live packets are stamped with time.monotonic_ns()"
            )
            self._told.ahead(input, SourceError(reason))
        self._newest_ns[input] = at_ns
        return at_ns

    def _pace(self, packet: Packet) -> None:
        """Wait until a recorded packet's time has come."""
        wait_ns = packet.captured_ns - self._time.now_ns()
        if wait_ns > SILENCE_NS and packet.input not in self._silent:
            self._silent.add(packet.input)
            _LOG.warning("input '%s': its next packet comes in %.0f s", packet.input, wait_ns / 1e9)
        self._time.wait_until(packet.captured_ns, lambda: self._mailbox.stopped)


def channels_of(
    source: Source, kinds: Mapping[str, InputKind], queues: Mapping[str, Queue]
) -> list[tuple[Hashable, Limits]]:
    """A recorded source delivers in order of capture, so it is one channel; a live one has a channel per input."""
    if not source.live:  # the queues of its inputs were asked for with one URI, so they are the same
        return [(id(source), queues.get(source.inputs[0], Queue()).applied_to(RECORDED))]
    return [
        (name, queues.get(name, Queue()).applied_to(Limits(packets=kinds[name].live_packets, when_full="drop_oldest")))
        for name in source.inputs
    ]
