"""Results as JSON lines, each written out at once, so that the next program of a pipe, or who follows a file, sees it.

A file is bounded: at its limit it becomes `NAME.1`, in place of an older one, and a new one is begun.
"""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgemm.errors import SinkError, UsageError
from edgemm.outputs.printable import json_text

if TYPE_CHECKING:
    from edgemm.outputs.results import Result


def build(model: Any, options: Mapping[str, Any]) -> JsonLines:
    """To standard output, or to a new file at `path` of at most `limit_mb`.

    Raises:
        UsageError: the file cannot be written, or the limit is none.
    """
    if not options["path"]:
        return JsonLines(sys.stdout)
    if options["limit_mb"] < 1:
        raise UsageError(f"sink 'json_lines': limit_mb must be at least 1, got {options['limit_mb']}")
    return JsonLines(BoundedFile(Path(options["path"]), options["limit_mb"] * 2**20), owned=True)


class Lines(Protocol):
    """What lines are written to: as much of a text file as is needed."""

    def write(self, text: str, /) -> object:
        """Take a line."""

    def flush(self) -> object:
        """Hand it on."""

    def close(self) -> object:
        """Release the file."""

    def fileno(self) -> int:
        """The descriptor below it."""
        ...


class JsonLines:
    """A `Sink` of `Result.to_json()`, one object per line.

    Attributes:
        finished: whoever read the lines has gone; nothing is written any more, and a stream may end.
    """

    def __init__(self, file: Lines, owned: bool = False) -> None:
        self.finished = False
        self._file = file
        self._owned = owned

    def write(self, result: Result) -> None:
        """Write and flush one line; a number that JSON cannot hold becomes null."""
        if self.finished:
            return
        line = json_text(_finite(result.to_json()), allow_nan=False, separators=(",", ":"))
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except BrokenPipeError:
            self._gone()

    def close(self) -> None:
        """Flush; close the file where this sink opened it."""
        if self._owned:
            self._file.close()
        elif not self.finished:
            try:
                self._file.flush()
            except (BrokenPipeError, ValueError):
                self._gone()

    def _gone(self) -> None:
        """`edgemm run … | head` is no error: point the pipe nowhere, so that the interpreter's exit is quiet too."""
        self.finished = True
        try:
            descriptor = self._file.fileno()
        except (OSError, ValueError):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


class BoundedFile:
    """A new text file of whole lines that never holds more than `limit_bytes`; with the one before it, twice that is on the disk.

    What is no regular file (a pipe, a terminal) has no limit.

    Raises:
        UsageError: it cannot be opened.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        try:
            self._file = path.open("wb", buffering=0)
            self._is_bounded = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        except OSError as error:
            raise UsageError(f"cannot write results to '{path}': {error.strerror}") from None

    def write(self, text: str, /) -> None:
        """Write a line, unbuffered.

        Raises:
            BrokenPipeError: nobody reads the pipe that it is.
            SinkError: the disk is full, or gone; what was written of the line is taken back.
        """
        line = text.encode()
        try:
            if self._is_bounded and 0 < self._size_bytes > self._limit_bytes - len(line):
                self._begin_anew()
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._size_bytes += len(line)
        except BrokenPipeError:
            raise
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._size_bytes)
            raise SinkError(f"cannot write results to '{self._path}': {error.strerror}") from None

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fileno()

    def _begin_anew(self) -> None:
        self._path.replace(f"{self._path}.1")
        self._file.close()
        self._file = self._path.open("wb", buffering=0)
        self._size_bytes = 0


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
