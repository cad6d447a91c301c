"""One time that only goes on, from the timestamps of a file's streams, which may restart, wrap around or jump.

A file that was cut together, or a recorder whose clock was set, goes on where it was: what comes after gets a new origin. Streams of one file
meet the same break at different places of the file, so each keeps its origin until its times no longer fit, and then takes up the newest that does.
Knows nothing of what the timestamps belong to.

Source: FFmpeg's `dts_delta_threshold`, 10 s, https://ffmpeg.org/ffmpeg.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

SECOND_NS = 1_000_000_000
JUMP_NS = 10 * SECOND_NS  # further ahead than this of everything that has come is no pause
BACK_NS = SECOND_NS // 2  # further back than this is no picture out of order
REMEMBERED = 8  # origins: a damaged timestamp makes one, and the next frame goes back to the one before
DEPTH = 2  # pictures that are held to put their times in order, at first
DEPTH_LIMIT = 16  # as deep as H.264 and HEVC may reorder


class Timeline:
    """Maps the times of several streams.

    Attributes:
        ends_ns: stream -> end of what has come of it.
        breaks: how often time was set anew.

    Args:
        origin_ns: the time of the files's own that becomes 0.
        may_jump: whether a step ahead is a break too, as in a transport stream, and not a pause.
    """

    def __init__(self, origin_ns: int, *, may_jump: bool) -> None:
        self.ends_ns: dict[int, int] = {}
        self.breaks = 0
        self._origins: deque[int] = deque([origin_ns], REMEMBERED)  # the newest first
        self._origin_of: dict[int, int] = {}
        self._may_jump = may_jump

    def place(self, stream: int, time_ns: int | None, length_ns: int) -> int:
        """Where a frame lies from 0 on; one without a time follows the one before."""
        end_ns = self.ends_ns.get(stream, 0)
        placed_ns = end_ns if time_ns is None else max(0, time_ns - self._origin(stream, time_ns, end_ns))
        if self._may_jump:
            length_ns = min(length_ns, SECOND_NS)  # as little to be trusted as its times
        self.ends_ns[stream] = max(end_ns, placed_ns + length_ns)
        return placed_ns

    def _origin(self, stream: int, time_ns: int, end_ns: int) -> int:
        limit_ns = max(self.ends_ns.values(), default=0) + JUMP_NS
        for origin_ns in (self._origin_of.get(stream, self._origins[0]), *self._origins):
            placed_ns = time_ns - origin_ns
            if placed_ns >= end_ns - BACK_NS and not (self._may_jump and placed_ns > limit_ns):
                break
        else:
            origin_ns = time_ns - end_ns
            self.breaks += 1
            self._origins.appendleft(origin_ns)
        self._origin_of[stream] = origin_ns
        return origin_ns


class TimesInOrder:
    """Gives pictures, which decoders deliver in order, their times in order too.

    Containers without times of presentation, such as AVI, count pictures as they are stored: with B-frames each time is right, but belongs to another
    picture nearby. It holds as many pictures as have been found out of order, at most `DEPTH_LIMIT`.
    """

    def __init__(self) -> None:
        self._depth = DEPTH
        self._times: list[int] = []
        self._pictures: deque[Any] = deque()
        self._newest_ns = 0

    def push(self, time_ns: int, picture: Any) -> Iterator[tuple[int, Any]]:
        """Take a picture; yields those whose time is known."""
        if time_ns < self._newest_ns:
            self._depth = min(self._depth + 1, DEPTH_LIMIT)
        heappush(self._times, time_ns)
        self._pictures.append(picture)
        while len(self._pictures) > self._depth:
            yield self._next()

    def flush(self) -> Iterator[tuple[int, Any]]:
        """What is left."""
        while self._pictures:
            yield self._next()

    def _next(self) -> tuple[int, Any]:
        self._newest_ns = max(self._newest_ns, heappop(self._times))
        return self._newest_ns, self._pictures.popleft()
