"""A server as a child process that says which port it has, is told what to show by its standard input, and ends when that does."""

from __future__ import annotations

import select
import struct
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edgemm.errors import SourceError

START_S = 20.0
END_S = 5.0
_S = TypeVar("_S", bound="Closing")


class Closing:
    """Closed at the end of a `with`."""

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, whatever it does."""
        raise NotImplementedError


class Server(Closing):
    """Starts when it is made.

    Args:
        command: a Python, an option of it, the script and its words; the port is put behind them, 0 for any.

    Attributes:
        port: where it listens; the same after every start.
        process: the child.
    """

    def __init__(self, *command: str) -> None:
        self.port = 0
        self._command = command
        self._shown = b""
        self._lock = threading.RLock()  # one thread may show while another one kills and starts
        self.process = self._started()

    def start(self) -> None:
        """Start again, at the same port, showing what was shown last.

        Raises:
            SourceError: it does not.
        """
        with self._lock:
            self.close()
            self.process = self._started()
            self.send(self._shown)

    def kill(self) -> None:
        """End it as a power cut does: nobody is told."""
        with self._lock:
            self.process.kill()
            self.process.wait(END_S)

    def close(self) -> None:
        """End it, whatever it does."""
        with self._lock:
            stop(self.process)

    def send(self, content: bytes) -> None:
        """What it shows from now on, and after it was started again; a server that is not there does not mind."""
        with self._lock, suppress(OSError):
            self._shown = content
            if self.process.stdin is not None and not self.process.stdin.closed:
                self.process.stdin.write(struct.pack(">I", len(content)) + content)
                self.process.stdin.flush()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*self._command, str(self.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(_first_line(process) or 0)
        if not self.port:
            stop(process)
            raise SourceError(f"{Path(self._command[2]).name} did not start within {START_S:g} s")
        return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, and let go of its pipes."""
    process.kill()
    process.wait(END_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent any more
                pipe.close()


def command_output(command: Sequence[str]) -> str | None:
    """What a program prints; None where it is not there, or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    if process.stdout is None or not select.select([process.stdout], [], [], START_S)[0]:
        return b""
    return process.stdout.readline().strip()
