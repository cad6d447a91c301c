"""Runs pytest in forks of this process, which has imported beforehand what the tests need of others: a mutant costs its tests, and
hardly a start. It knows nothing of mutants; what they are made of is never imported here, only what lies in `site-packages`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

TIMEOUT = "timeout"
_POLL_S = 0.01


def warm(arguments: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """Run the tests once, keep the bytecode of what is not broken, and import here what they have imported of others.

    Returns:
        The exit status, and what was printed, as `run` does.
    """
    with tempfile.NamedTemporaryFile("r", suffix=".json") as names:
        status, output = run(arguments, timeout_s, names=Path(names.name))
        if status == 0:
            _import_others(json.load(names))
    return status, output


def run(arguments: Sequence[str], timeout_s: float, *, names: Path | None = None) -> tuple[int, str]:
    """Run pytest with these arguments in a process group of its own, which is gone afterwards.

    Args:
        arguments: of pytest.
        timeout_s: after it the whole group is killed.
        names: where to write the file of each module that was imported, by name; then bytecode is kept too. Of mutants it is
            not: two of them within a second would look like one.

    Returns:
        The exit status, and what was printed; of what took too long 1 and "timeout".
    """
    with tempfile.TemporaryFile() as printed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads that numpy has: they wait for work
            child = os.fork()
        if child == 0:
            _be_pytest(arguments, printed.fileno(), names)
        with suppress(PermissionError, ProcessLookupError):  # both say so, as nobody knows who is first
            os.setpgid(child, child)
        status = _status(child, time.monotonic() + timeout_s)
        printed.seek(0)
        return (1, TIMEOUT) if status is None else (status, printed.read().decode(errors="replace"))


def _be_pytest(arguments: Sequence[str], printed: int, names: Path | None) -> NoReturn:
    status = 1
    try:
        os.setpgid(0, 0)
        for stream in (1, 2):
            os.dup2(printed, stream)
        sys.stdout = sys.stderr = open(printed, "w", buffering=1, closefd=False)  # noqa: SIM115 - whatever they were here
        sys.dont_write_bytecode = names is None
        sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
        # hypothesis is here already, so that its asserts are not rewritten; a test is not told of it
        status = int(pytest.main([*arguments, "-W", "ignore::pytest.PytestAssertRewriteWarning"]))
        sys.stdout.flush()
        if names is not None:
            files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
            names.write_text(json.dumps(files))
    finally:
        os._exit(status)


def _status(child: int, deadline_s: float) -> int | None:
    """The exit status once the child has ended, or None where it had to be killed."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        late = time.monotonic() > deadline_s
        if ended or late:
            with suppress(ProcessLookupError, PermissionError):  # also what it has started itself
                os.killpg(child, signal.SIGKILL)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if late:
            os.waitpid(child, 0)
            return None
        time.sleep(_POLL_S)


def _import_others(files: dict[str, str | None]) -> None:
    packages = {Path(path).resolve() for path in sys.path if Path(path).name == "site-packages"}
    for name, file in files.items():
        if name not in sys.modules and file and not packages.isdisjoint(Path(file).resolve().parents):
            with suppress(Exception):  # what only its package can import comes with its package
                importlib.import_module(name)
