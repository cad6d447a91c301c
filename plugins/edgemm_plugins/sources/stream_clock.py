"""From a device's own time to the monotonic clock, although its data arrive late and in bursts.

A device counts time well (samples, presentation timestamps) but with an unknown offset and a slightly wrong speed; arrivals have
the right speed but any delay. The smallest delay seen is the offset: it is followed slowly.
"""

from __future__ import annotations

WARM_UP_NS = 1_000_000_000
WINDOW_NS = 1_000_000_000
STEP_NS = 100_000_000  # a lasting deviation beyond this is a loss of data, not drift
SLEW = 1e-3  # of elapsed time; crystals are within 1e-4


class StreamClock:
    """Maps device time to monotonic time.

    Attributes:
        steps: how often the device lost data, or jumped, so that its time had to be set anew.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._offset_ns: int | None = None
        self._started_ns = self._bucket_ns = self._device_ns = 0
        self._floor_ns: int | None = None  # smallest offset of the last finished window
        self._current_ns = 0  # smallest offset of the running one
        self._stamp_ns = 0

    def stamp(self, device_ns: int, arrival_ns: int) -> int:
        """Monotonic time at which the device's `device_ns` was; `arrival_ns`, when we learnt of it, is the latest it can be.

        Never earlier than the stamp before.
        """
        raw_ns = arrival_ns - device_ns
        if self._offset_ns is None or device_ns < self._device_ns:
            self.steps += self._offset_ns is not None
            self._start(device_ns, raw_ns)
        elapsed_ns = device_ns - self._device_ns
        self._device_ns = device_ns
        self._current_ns = min(self._current_ns, raw_ns)
        if device_ns - self._bucket_ns >= WINDOW_NS:
            self._floor_ns, self._current_ns, self._bucket_ns = self._current_ns, raw_ns, device_ns
        self._offset_ns = self._moved(device_ns, raw_ns, elapsed_ns)
        self._stamp_ns = max(self._stamp_ns, min(device_ns + self._offset_ns, arrival_ns))
        return self._stamp_ns

    def _start(self, device_ns: int, raw_ns: int) -> None:
        self._offset_ns = self._current_ns = raw_ns
        self._started_ns = self._bucket_ns = self._device_ns = device_ns
        self._floor_ns = None

    def _moved(self, device_ns: int, raw_ns: int, elapsed_ns: int) -> int:
        offset_ns = self._offset_ns if self._offset_ns is not None else raw_ns
        if device_ns - self._started_ns < WARM_UP_NS:
            return min(offset_ns, raw_ns)  # the first block of a device often comes late
        if self._floor_ns is None:
            return offset_ns
        error_ns = min(self._floor_ns, self._current_ns) - offset_ns
        if abs(error_ns) > STEP_NS:
            self.steps += 1
            return offset_ns + error_ns
        most_ns = int(elapsed_ns * SLEW)
        return offset_ns + max(-most_ns, min(most_ns, error_ns))
