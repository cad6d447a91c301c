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
from types import TracebackType
from weakref import WeakSet

import onnxruntime as ort

from edgemm.errors import OverdueError

PERIOD_S = 0.25  # how late a run may be stopped


class Watched:
    """Runs of one graph, one after another, each of which another thread may stop.

        with watched as options:
            session.run(None, feeds, options)

    Args:
        name: the graph's, for messages.
        max_s: how long one run may take; it may be set before each.
    """

    __slots__ = ("__weakref__", "_begun", "_ended", "_name", "_options", "_overdue", "_seen", "_since_s", "max_s")

    def __init__(self, name: str, max_s: float) -> None:
        self._name, self.max_s = name, max_s
        self._options = _options()
        # numbers of runs: the newest that began, that ended, that was stopped because it took too long, that the watchdog has seen
        self._begun = self._ended = self._overdue = self._seen = 0
        self._since_s = 0.0
        _WATCHDOG.watch(self)

    def __enter__(self) -> ort.RunOptions:
        self._begun += 1  # first: whoever stops the run before then leaves this one alone
        return self._options

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = self._begun
        if isinstance(error, Exception) and self._overdue == self._begun:
            raise OverdueError(
                f"graph '{self._name}' was stopped after {self.max_s:g} s: it may have a loop that never ends. "
                "If it needs longer, allow it: edgemm.Trust(max_run_s=…), --max-run-s"
            ) from error

    def interrupt(self) -> None:
        """Stop what runs, and whatever would run from now on."""
        self._options.terminate = True

    def look(self, now_s: float) -> None:
        """Stop the run that is under way if it has taken too long; for the watchdog."""
        number = self._begun
        if number == self._ended:
            return
        if number != self._seen:
            self._seen, self._since_s = number, now_s
        elif now_s - self._since_s >= self.max_s:
            options, self._options = self._options, _options()
            if self._begun == number:  # else the next run may have been given the old options, and must go on
                self._overdue = number
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
    # The default, said: ONNX Runtime 1.32 looks for it at each run with IO binding, and not finding it takes 40 us.
    options.add_run_config_entry("gpu_graph_id", "0")
    return options


_WATCHDOG = _Watchdog()
