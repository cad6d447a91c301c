"""A format whose reader does what the fuzzer is there to see, for the fuzzer's own tests: copied beside a corpus of theirs."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from targets import Reader, Target

from edgemm.errors import UsageError


def _prepare(folder: Path) -> Reader:
    """Does what a case says."""
    done = {
        b"refuse": lambda: _raise(UsageError("as it should")),
        b"raise": lambda: _raise(KeyError("a traceback")),
        b"leave": lambda: _raise(SystemExit(0)),
        b"crash": lambda: ctypes.string_at(0),
        b"slow": lambda: time.sleep(2.1),
        b"hang": lambda: time.sleep(3600),
        b"take": lambda: b"x" * (100 << 20),
        b"grab": lambda: bytearray(1 << 40),
    }
    return lambda content: done.get(content, lambda: None)()


def _raise(error: BaseException) -> None:
    raise error


TARGETS = {"hostile": Target("hostile", "txt", _prepare, corpus=Path(__file__).parent)}
