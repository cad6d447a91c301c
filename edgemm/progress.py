"""Progress of long work: a live bar on a terminal that has `rich`, plain lines everywhere else.

Knows nothing of what is being done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from edgemm.host.optional import is_installed
from edgemm.outputs.printable import printable

__all__ = ["Progress", "show_progress", "silent"]

Progress = Callable[[str, int, int, str], None]
"""`progress(stage, done, total, note)`, called as often as one likes."""

LINE_INTERVAL_S = 10.0


def silent(stage: str, done: int, total: int, note: str) -> None:
    """Show nothing."""


@contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Give a progress function that writes to `stream` (standard error by default)."""
    stream = stream or sys.stderr
    if stream.isatty() and is_installed("rich"):
        with _bars(stream) as progress:
            yield progress
    else:
        yield _Lines(stream)


class _Lines:
    """One line when a stage starts and ends, and one every few seconds between."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stage = ""
        self._started_s = self._shown_s = 0.0

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        now_s = time.monotonic()
        if stage != self._stage:
            self._stage, self._started_s, self._shown_s = stage, now_s, 0.0
        if done < total and now_s - self._shown_s < LINE_INTERVAL_S:
            return
        self._shown_s = now_s
        line = printable(f"{stage}: {done}/{total} {note} ({now_s - self._started_s:.0f} s)")
        print(line, file=self._stream, flush=True)


@contextmanager
def _bars(stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=Console(file=stream)) as bars:
        known: dict[str, int] = {}

        def progress(stage: str, done: int, total: int, note: str) -> None:
            if stage not in known:
                known[stage] = int(bars.add_task(stage, total=total, note=note))
            bars.update(known[stage], completed=done, total=total, note=note)  # type: ignore[arg-type]

        yield progress
