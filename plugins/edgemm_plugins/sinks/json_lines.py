"""Results as JSON lines, each flushed, so that the next program of a pipe sees it at once."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edgemm.errors import UsageError

if TYPE_CHECKING:
    from edgemm.outputs.results import Result


def build(model: Any, options: Mapping[str, Any]) -> JsonLines:
    """To standard output, to the open text file `file`, or to a new file at `path`.

    Raises:
        UsageError: the file cannot be written.
    """
    if "path" in options:
        try:
            return JsonLines(Path(options["path"]).open("w", encoding="utf-8"), owned=True)
        except OSError as error:
            raise UsageError(f"cannot write results to '{options['path']}': {error.strerror}") from None
    return JsonLines(options.get("file", sys.stdout))


class JsonLines:
    """A `Sink` of `Result.to_json()`, one object per line.

    Attributes:
        finished: whoever read the lines has gone; nothing is written any more, and a stream may end.
    """

    def __init__(self, file: TextIO, owned: bool = False) -> None:
        self.finished = False
        self._file = file
        self._owned = owned

    def write(self, result: Result) -> None:
        """Write and flush one line; a number that JSON cannot hold becomes null."""
        if self.finished:
            return
        line = json.dumps(_finite(result.to_json()), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
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


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
