"""Ends runs of ONNX Runtime that take too long, such as a loop inside a graph that never says stop.

One thread looks at every run of the process a few times a second. A run costs two counters: no clock is read and no lock is taken for it. ONNX
Runtime looks at the flag that is set here between operators, in loops too; one operator is never interrupted.
"""

from __future__ import annotations

import os
from _thread import (  # `threading` is not needed for an answer, and takes a cold start 1 ms
    allocate_lock,
    start_new_thread,
)
from time import monotonic, sleep
from weakref import WeakSet

import onnxruntime as ort

PERIOD_S = 0.25  # how late a run may be stopped


class Watched:
    """Runs of one graph, one after another, each of which another thread may stop.

    Whoever runs counts `begun` up, runs with `options`, and sets `ended` to `begun`.

    Args:
        max_s: how long one run may take.

    Attributes:
        options: what the next run is given.
        begun, ended: the number of the newest run that began, and of the newest that ended.
        overdue: the number of the newest run that was stopped because it took too long.
    """

    __slots__ = ("__weakref__", "_since_s", "_watched", "begun", "ended", "max_s", "options", "overdue")

    def __init__(self, max_s: float) -> None:
        self.max_s = max_s
        self.options = _options()
        self.begun = self.ended = self.overdue = self._watched = 0
        self._since_s = 0.0
        _WATCHDOG.watch(self)

    def interrupt(self) -> None:
        """Stop what runs, and whatever would run from now on."""
        self.options.terminate = True

    def look(self, now_s: float) -> None:
        """Stop the run that is under way if it has taken too long; for the watchdog."""
        number = self.begun
        if number == self.ended:
            return
        if number != self._watched:
            self._watched, self._since_s = number, now_s
        elif now_s - self._since_s >= self.max_s:
            options, self.options = self.options, _options()
            if self.begun == number:  # else the next run may have been given the old options, and must go on
                self.overdue = number
                options.terminate = True


class _Watchdog:
    """The thread; there is none while nothing can run."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._all: WeakSet[Watched] = WeakSet()
        self._process = 0  # whose thread it is: one that was forked has none

    def watch(self, watched: Watched) -> None:
        with self._lock:
            self._all.add(watched)
            if self._process != os.getpid():
                self._process = os.getpid()
                start_new_thread(self._look, ())

    def _look(self) -> None:
        while True:
            sleep(PERIOD_S)
            with self._lock:
                watched = list(self._all)
                if not watched:
                    self._process = 0
                    return
            now_s = monotonic()
            for each in watched:
                each.look(now_s)
            del watched, each


def _options() -> ort.RunOptions:
    options = ort.RunOptions()
    options.log_severity_level = 4  # what it would print, with whatever the graph says in it, is raised anyway
    return options


_WATCHDOG = _Watchdog()
