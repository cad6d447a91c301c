"""What is measured of a long run: memory, threads and files of this process, and how late answers are. Linux, by /proc."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgemm.streaming.interfaces import Observer

LOOKS = 10
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of malloc.h
MALLINFO = [
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
]  # struct mallinfo2
try:
    LIBC = ctypes.CDLL("libc.so.6")
except OSError:  # another C library, which keeps what it frees as it likes
    LIBC = None


class Sample(NamedTuple):
    """One look.

    Attributes:
        at_s: since the start.
        anonymous_kb: memory of the process that no file stands behind, what was freed given back; the least of a few looks, since
            packets on their way come and go.
        in_use_kb: of it, what was asked of malloc and not freed; 0 where the C library does not say. Small Python objects are not in it:
        blocks: of Python's own memory that are in use.
        load: the machine's, of one minute.
    """

    at_s: float
    anonymous_kb: int
    in_use_kb: int
    blocks: int
    threads: int
    files: int
    load: float

    def __str__(self):
        return (
            f"{self.at_s / 60:6.1f} min  {self.anonymous_kb / 1024:8.2f} MB  {self.in_use_kb / 1024:7.2f} MB in use  "
            f"{self.blocks:7} blocks  "
            f"{self.threads} threads  {self.files} files  load {self.load:.1f}"
        )


def sample(at_s):
    """Look, after everything that can be freed was freed."""
    files = len(os.listdir("/proc/self/fd")) - 1  # the listing's own
    least_kb = min(_anonymous_kb() for _ in range(LOOKS))
    return Sample(
        at_s, least_kb, _in_use_kb(), sys.getallocatedblocks(), threading.active_count(), files, os.getloadavg()[0]
    )


def keep_little():
    """Have the C library keep little of what is freed: one arena for all threads, and large blocks mapped one by one.

    Nothing that leaks is hidden by that; but what the process has comes close to what it uses, instead of changing by chance with which thread
    freed what.
    """
    if LIBC is not None:
        LIBC.mallopt(M_ARENA_MAX, 1)
        LIBC.mallopt(M_MMAP_THRESHOLD, 64 * 1024)


class _Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in MALLINFO]


def _in_use_kb():
    if LIBC is None or not hasattr(LIBC, "mallinfo2"):  # glibc before 2.33
        return 0
    LIBC.mallinfo2.restype = _Info
    info = LIBC.mallinfo2()
    return (info.uordblks + info.hblkhd) // 1024


def _anonymous_kb():
    gc.collect()
    if LIBC is not None:
        LIBC.malloc_trim(0)
    time.sleep(0.1)
    rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Anonymous: +(\d+) kB", rollup, re.MULTILINE)[1])


class Answers(Observer):
    """Of one stream: what was taken, and of every answer when it was made, how late, and how much its thread had worked by then.

    Kept in arrays of a fixed size, so that measuring does not look like a leak.

    Attributes:
        taken: input -> packets; `newest`: input -> the sequence of the last one.
        started_ns: the stream's.
        paused: answers are not kept; whoever measures memory holds them up himself.
    """

    def __init__(self, limit=200_000):
        self.taken, self.newest = Counter(), {}
        self._rows = np.ones((limit, 3))  # touched now, not later
        self._count = 0
        self.started_ns = time.monotonic_ns()
        self.paused = False

    def on_packet(self, packet):
        self.taken[packet.input] += 1
        self.newest[packet.input] = packet.sequence

    def on_result(self, result):
        if self.paused:
            return
        timings = result.timings
        self._rows[self._count] = time.monotonic_ns(), timings.done_ns - timings.at_ns, time.thread_time_ns()
        self._count += 1

    def between(self, from_s, to_s):
        """(time in s, latency in ms, thread's time in ms) of each answer in that time of the stream, (answers, 3)."""
        rows = (self._rows[: self._count] - (self.started_ns, self.started_ns, 0)) / (1e9, 1e6, 1e6)
        return rows[(rows[:, 0] >= from_s) & (rows[:, 0] < to_s)]
