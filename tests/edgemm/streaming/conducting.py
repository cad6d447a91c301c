"""One thing after the other: sources that wait for each other and for the model, so that what a stream loses is the same on any machine.

On virtual time. A live packet is sent when the one before was taken, except while the model is busy for a while, so that queues fill and do what they
promise. There are two inputs: `it`, which may be disturbed, and `beat`, which is not.
"""

from __future__ import annotations

import os
import threading
from collections import Counter

import edgemm
from edgemm.host.interfaces import Packet
from edgemm.streaming.interfaces import Observer
from edgemm_plugins.sources import standard_input

MS = 1_000_000
PACKETS, PERIOD_MS = 60, 20
BEAT_EVERY = 4  # of the other input one packet for so many, which is enough to see that it goes on
BEATS = PACKETS // BEAT_EVERY
BUSY_AT, BUSY = 20, 10  # while the model works on this packet, so many come
INBOX_LIMIT = 4
PATIENCE_S = float(os.environ.get("EDGEMM_PATIENCE_S", "10"))
AFTER_TAKING = ("late", "does not fit")


class Clock:
    """Virtual time that several threads may wait on: it only goes forward."""

    def __init__(self):
        self.started_ns = self.ns = 7_000_000_000
        self._lock = threading.Lock()

    def __call__(self):
        return self.ns

    def until(self, ns):
        with self._lock:
            self.ns = max(self.ns, ns)

    def sleep(self, seconds):
        with self._lock:
            self.ns += round(seconds * 1e9)


class Conductor(Observer):
    """Whose turn it is, who has what, and what was said of it.

    Attributes:
        offered: packets of the disturbed input that its source, or the program, has given away.
        handed: of these, how many the stream was given; with an inbox fewer.
        taken: input -> packets that the model took; `dropped`: (input, cause) -> of those that it was told.
        last: output -> its last answer; `results`: how many.
    """

    def __init__(self, way):
        self.way, self.clock, self.inbox = way, Clock(), None
        self.offered = self.handed = self.results = 0
        self.taken, self.dropped, self.last = Counter(), Counter(), {}
        self._position = 0
        self._busy = self._ended = False
        self._changed = threading.Condition()

    def on_packet(self, packet):
        with self._changed:
            self.taken[packet.input] += 1
            self._busy = packet.input == "it" and self.taken["it"] == BUSY_AT and self.way.realtime
            self._changed.notify_all()
            if self._busy:
                self._wait(self._has_enough)
                self._busy = False

    def on_drop(self, input, cause):
        with self._changed:
            self.dropped[input, cause] += 1
            self._changed.notify_all()

    def on_result(self, result):
        self.results += 1
        self.last.update({name: value.tolist() for name, value in result.outputs.items()})

    def tell(self, **changes):
        """Add to counts."""
        with self._changed:
            for name, by in changes.items():
                setattr(self, name, getattr(self, name) + by)
            self._changed.notify_all()

    def end(self):
        """The disturbed input has ended."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_turn(self, name, number):
        """Until the other input is as far."""
        with self._changed:
            if name == "it":
                self._position = number
                self._changed.notify_all()
                self._wait(lambda: self._busy or self.taken["beat"] * BEAT_EVERY >= number)
            else:
                self._wait(lambda: self._ended or self._position > number)

    def settle(self):
        """Until what was offered is where it stays for now."""
        with self._changed:
            self._wait(lambda: self._lost() + self.taken["it"] == self.offered or self._may_queue())

    def _lost(self):
        told = sum(n for (name, cause), n in self.dropped.items() if name == "it" and cause not in AFTER_TAKING)
        return told + (self.inbox.dropped if self.inbox else 0)

    def _may_queue(self):
        """While the model is busy: packets go where they can, and the next one may come."""
        if not self._busy or self._has_enough():
            return False
        if self.inbox is None:
            return True
        room = self.taken["it"] + self.way.queue.packets + 1
        return self.handed >= room or self.handed + self.inbox.dropped == self.offered

    def _has_enough(self):
        if self._ended:
            return True
        if self.way.blocks and self.inbox is None:
            return self.handed > self.taken["it"] + self.way.queue.packets
        return self.offered >= BUSY_AT + BUSY

    def _wait(self, holds):
        assert self._changed.wait_for(holds, PATIENCE_S), "nothing happens any more"


class Clean:
    """Numbers in time: live ones come when the clock says so."""

    def __init__(self, name, value, conductor, every=1):
        self.inputs, self.live = (name,), conductor.way.live
        self._value, self._conductor, self._every = value, conductor, every

    def packets(self, stopped):
        clock = self._conductor.clock
        for number in range(0, PACKETS, self._every):
            at_ns = number * PERIOD_MS * MS
            if self.live:
                self._conductor.wait_for_turn(self.inputs[0], number)
                at_ns += clock.started_ns
                clock.until(at_ns)
            yield self._packet(number, at_ns)

    def _packet(self, number, at_ns):
        return Packet(self.inputs[0], self._value(number), at_ns, number)

    def close(self):
        pass


class Typed(Clean):
    """Lines that are written into a pipe, and come out of `stdin:`."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        reading, self._writing = os.pipe()
        self._file = os.fdopen(reading, "rb")
        self._lines = standard_input.StandardInput(self.inputs[0], self._file).packets(lambda: False)

    def _packet(self, number, at_ns):
        os.write(self._writing, f"{self._value(number)}\n".encode())
        return next(self._lines)

    def close(self):
        os.close(self._writing)
        self._file.close()


class Conducted:
    """The disturbed source, packet after packet."""

    def __init__(self, source, conductor):
        self.inputs, self.live = source.inputs, source.live
        self._source, self._conductor = source, conductor

    def packets(self, stopped):
        try:
            for packet in self._source.packets(stopped):
                self._conductor.tell(handed=1)
                yield packet
                self._conductor.tell(offered=1)
                if self.live:
                    self._conductor.settle()
        finally:
            self._conductor.end()

    def close(self):
        self._source.close()


class Put:
    """The same through an inbox, filled by a thread of its own."""

    live = True

    def __init__(self, source, conductor):
        self.inputs = source.inputs
        self._source, self._conductor = source, conductor
        self._inbox = conductor.inbox = edgemm.Inbox(INBOX_LIMIT)
        self._reader = self._inbox.source(self.inputs[0])
        self._thread = threading.Thread(target=self._fill, name="a program")

    @property
    def dropped(self):
        return self._reader.dropped

    def packets(self, stopped):
        self._thread.start()
        for packet in self._reader.packets(stopped):
            self._conductor.tell(handed=1)
            yield packet

    def close(self):
        self._thread.join(PATIENCE_S)
        self._reader.close()

    def _fill(self):
        try:
            for packet in self._source.packets(lambda: False):
                self._inbox.put(packet.value, packet.captured_ns)
                self._conductor.tell(offered=1)
                self._conductor.settle()
        finally:
            self._inbox.close()
            self._conductor.end()
