"""Runs a function in a child process, so that native code that crashes, hangs or eats the memory cannot take EdgeMM with it.

The child is a fresh interpreter, not a fork or a re-import of the caller's script: it works from a notebook, from a script without a
`__main__` guard and with a CUDA driver already loaded. Its standard input is a lifeline: when it closes, because of Ctrl-C or
because the parent died, the child stops. It knows nothing of TensorRT.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from edgemm.errors import ExportError

_log = logging.getLogger("edgemm.exporters.tensorrt_engine")
_BOOTSTRAP = (
    "import json, sys; job = json.loads(sys.argv[1]); sys.path[:] = job['path']; "
    "from edgemm_exporters.tensorrt_engine.worker import main; main(job)"
)
GRACE_S = 5.0


def call_guarded(function: str, payload: dict[str, Any], *, what: str, timeout_s: float) -> Any:
    """Call `function(payload, hooks)`, a "module:attribute", in a child process and return its JSON result. Blocks.

    Raises:
        ExportError: what the function raised; or that the child crashed, ran out of memory or took longer than `timeout_s`.
    """
    job = json.dumps({"path": sys.path, "function": function, "payload": payload})
    with tempfile.TemporaryFile() as errors, _child(job, errors) as child:
        answer = _answer(child, what, timeout_s)
        if answer is None:
            child.wait(GRACE_S)
            raise ExportError(_crash(what, child.returncode, _tail(errors)))
    if "error" in answer:
        raise ExportError(answer["error"])
    return answer["result"]


@contextlib.contextmanager
def _child(job: str, errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A running child that is gone when the block is left, whatever happened in it."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _BOOTSTRAP, job],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends the child in order
    )
    try:
        yield child
    finally:
        if child.stdin is not None:
            child.stdin.close()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _answer(child: subprocess.Popen[bytes], what: str, timeout_s: float) -> dict[str, Any] | None:
    """The child's last word, or None when it ended without one."""
    messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_read, args=(child, messages), daemon=True).start()
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            message = messages.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            child.kill()
            raise ExportError(f"{what} took longer than {timeout_s:g} s and was stopped") from None
        if message is None or "progress" not in message:
            return message
        _log.info("%s: %s", what, message["progress"])


def _read(child: subprocess.Popen[bytes], messages: queue.Queue[dict[str, Any] | None]) -> None:
    try:
        for line in child.stdout or ():
            messages.put(json.loads(line))
    except ValueError:  # a torn line of a child that was killed, or a pipe that was closed under us
        pass
    messages.put(None)


def _crash(what: str, code: int | None, tail: str) -> str:
    if code is not None and code < 0:
        try:
            cause = signal.Signals(-code).name
        except ValueError:
            cause = f"signal {-code}"
        message = f"{what} crashed the compiler ({cause})"
        if -code == signal.SIGKILL:
            message += "; it was killed, most likely because memory ran out: close other programs or add swap"
    else:
        message = f"{what} ended without a result (exit code {code})"
    return message + (f"; its last words:\n{tail}" if tail else "")


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()[-6:]
    return "\n".join(f"  {line}" for line in lines)
