"""The command `edgemm`: finds a command, runs it, and turns what goes wrong into one screen and an exit code.

It imports only the chosen command, and knows nothing of what any command does.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from edgemm.cli.commands import find_command, overview
from edgemm.errors import EdgeMMError, UsageError
from edgemm.outputs.printable import printable

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE
_LINES, _COLUMNS = 24, 400


def entry() -> NoReturn:
    """The installed command: `main`, then leave without waiting for what is stuck in a device or a network."""
    code = main()
    if any(thread.daemon for thread in threading.enumerate()):
        # A daemon thread inside FFmpeg or PortAudio that wakes up while the interpreter is being taken down crashes it.
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises for what a user can cause.

    Args:
        words: the arguments; None takes those of this process.
    """
    words = list(sys.argv[1:] if words is None else words)
    try:
        code = _run(words)
        if sys.stdout is not None:  # closed by the caller: `>&-`
            sys.stdout.flush()
    except SystemExit as request:  # argparse, after it has printed help or usage
        return request.code if isinstance(request.code, int) else int(request.code is not None)
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output left, as `head` does
        _discard_output()
        return BROKEN_PIPE
    except EdgeMMError as error:
        if _debugging():
            raise
        _say(str(error))
        return error.exit_code
    except Exception as error:
        if _debugging():
            raise
        from edgemm.uris import redact

        _say(f"{type(error).__name__}: {redact(str(error))}\n  this is a fault of EdgeMM; EDGEMM_DEBUG=1 shows where")
        return 1
    return code


def _run(words: list[str]) -> int:
    if not words:
        print("\n".join(overview()), file=sys.stderr)
        return UsageError.exit_code
    name = words[0]
    if name in ("-h", "--help", "help"):
        print("\n".join(overview()))
        return 0
    if name in ("-V", "--version"):
        from edgemm.version import __version__

        print(f"edgemm {__version__}")
        return 0
    if name.startswith("-"):
        raise UsageError(f"'{name}' is no option of edgemm itself; write the command first: edgemm COMMAND {name}")
    command = find_command(name)
    parser = _Parser(f"edgemm {name}", formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_arguments(parser)
    with ended_by_signals():
        return command.run(parser.parse_args(words[1:]))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM (of systemd, of `docker stop`) and SIGHUP (a terminal that is gone) end a command as Ctrl-C does, so that what it has is closed and what it
    was writing is gone; once, since closing takes its time. A SIGHUP that is ignored (`nohup`) stays so."""

    def end(number: int, frame: object) -> NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = {
        number: signal.signal(number, end)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        from edgemm.uris import redact

        super().error(printable(redact(message)))


def _say(message: str) -> None:
    lines = [line if len(line) <= _COLUMNS else f"{line[: _COLUMNS - 1]}…" for line in printable(message).split("\n")]
    if len(lines) > _LINES:
        lines = [*lines[:_LINES], f"… {len(lines) - _LINES} more lines; EDGEMM_DEBUG=1 shows all"]
    try:
        print("edgemm: " + "\n".join(lines), file=sys.stderr)
    except BrokenPipeError:
        _discard_output()


def _discard_output() -> None:
    """Point both outputs to nowhere, so that the interpreter's last flush finds no broken pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError, AttributeError):  # a stream that is no file, as under a test
            continue
    os.close(nowhere)


def _debugging() -> bool:
    return os.environ.get("EDGEMM_DEBUG", "") not in ("", "0")
