"""What a viewer remembers of a stream: the last result, the rates and delays of the last seconds, and what each input shows.

Knows nothing of how it is drawn.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemm_plugins.inputs.audio import Sound

if TYPE_CHECKING:
    from edgemm.host.interfaces import Packet
    from edgemm.outputs.results import Result

WINDOW_NS = 5_000_000_000
SILENCE_DB = -60.0
FALL_DB = 1.5  # how fast a level falls per block of sound, so that the eye can follow


@dataclass
class Seen:
    """What one input showed last.

    Attributes:
        frame: uint8 RGB `(H, W, 3)`; never changed, shared with the stream.
        level_db: loudness, dB of full scale, `SILENCE_DB` to 0.
        text: the last line.
        recent: (capture time in ns, sequence) of packets of the last seconds; not all of them need be seen.
    """

    frame: np.ndarray | None = None
    level_db: float | None = None
    text: str | None = None
    recent: deque[tuple[int, int]] = field(default_factory=deque)


class Watching:
    """Collects what a view shows. `see` may be called from another thread than `take`.

    Attributes:
        result: the last one, or None before the first.
        drops: dropped packets by input.
        failures: what broke, one line each.
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.result: Result | None = None
        self.seen: dict[str, Seen] = {}
        self.drops: Counter[str] = Counter()
        self.failures: list[str] = []
        self._first_ns: int | None = None
        self._recent: deque[tuple[int, float, frozenset[str]]] = deque()

    def take(self, result: Result) -> None:
        """Remember a result."""
        if self._first_ns is None:
            self._first_ns = result.at_ns
        self.result = result
        fresh = frozenset(name for name, state in result.inputs.items() if state.state == "live" and not state.hit)
        self._recent.append((result.at_ns, result.compute_ms, fresh))
        while result.at_ns - self._recent[0][0] > WINDOW_NS:
            self._recent.popleft()

    def see(self, packet: Packet) -> None:
        """Remember what an input shows; the same packet again changes nothing."""
        seen = self.seen.setdefault(packet.input, Seen())
        if seen.recent and seen.recent[-1] == (packet.captured_ns, packet.sequence):
            return
        seen.recent.append((packet.captured_ns, packet.sequence))
        while packet.captured_ns - seen.recent[0][0] > WINDOW_NS:
            seen.recent.popleft()
        value = packet.value
        if isinstance(value, str):
            seen.text = value
        elif isinstance(value, Sound):
            fallen = SILENCE_DB if seen.level_db is None else seen.level_db - FALL_DB
            seen.level_db = max(level_db(value.samples), fallen, SILENCE_DB)
        elif isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3):
            seen.frame = value

    @property
    def elapsed_s(self) -> float:
        """Stream time since the first result."""
        return 0.0 if self.result is None or self._first_ns is None else (self.result.at_ns - self._first_ns) / 1e9

    def result_rate_hz(self) -> float | None:
        """Results per second; None while too few came."""
        return _rate_hz([at_ns for at_ns, _, _ in self._recent])

    def input_rate_hz(self, name: str) -> float | None:
        """Packets per second, or, where packets are not seen, results that used something new; None while too few came."""
        seen = self.seen.get(name)
        if seen is not None and len(seen.recent) > 1:
            (first_ns, first), (last_ns, last) = seen.recent[0], seen.recent[-1]
            return (last - first) * 1e9 / (last_ns - first_ns) if last_ns > first_ns else None
        return _rate_hz([at_ns for at_ns, _, fresh in self._recent if name in fresh])

    def compute_ms(self) -> tuple[float, float]:
        """Median and 95th percentile of the last seconds' compute times."""
        times = [compute for _, compute, _ in self._recent]
        return (float(np.percentile(times, 50)), float(np.percentile(times, 95))) if times else (0.0, 0.0)


def level_db(samples: Any) -> float:
    """Root mean square of samples in dB of full scale, `SILENCE_DB` to 0."""
    values = np.asarray(samples)
    scale = 32768.0 if values.dtype == np.int16 else 1.0
    power = float(np.mean(np.square(values, dtype=np.float64))) / scale**2 if values.size else 0.0
    return max(SILENCE_DB, min(0.0, 10 * math.log10(power))) if power > 0 else SILENCE_DB


def _rate_hz(times_ns: list[int]) -> float | None:
    if len(times_ns) < 2 or times_ns[-1] <= times_ns[0]:
        return None
    return (len(times_ns) - 1) * 1e9 / (times_ns[-1] - times_ns[0])
