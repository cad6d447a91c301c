"""Standard input: each line is one text, as it comes. Empty lines are texts too: they take the text away."""

from __future__ import annotations

import io
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet
from edgemm.inputs.kind import InputKind
from edgemm_plugins.sources.asked_inputs import one_input

POLL_S = 0.1  # how soon a waiting reader notices that its stream has stopped
LINE_LIMIT_BYTES = 1 << 20


def build(uri: str, inputs: Mapping[str, InputKind], options: Mapping[str, Any]) -> StandardInput:
    """`stdin:` for one text input."""
    name, _ = one_input(uri, inputs, "text")
    if uri != "stdin:":
        raise SourceError(f"'{uri}': stdin: takes nothing after its colon")
    return StandardInput(name, sys.stdin)


class StandardInput:
    """A `Source` of lines.

    Args:
        file: where they come from; anything with a file descriptor.
    """

    live = True

    def __init__(self, input: str, file: Any) -> None:
        self.inputs: tuple[str, ...] = (input,)
        self._closed = False
        try:
            self._descriptor: int = file.fileno()
        except (AttributeError, ValueError, io.UnsupportedOperation):
            raise SourceError("standard input is closed, or not a file; nothing to read for 'stdin:'") from None

    def packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        """One text per line, without its end; undecodable bytes become U+FFFD. Ends with the input."""
        lines = self._lines(lambda: stopped() or self._closed)
        for sequence, line in enumerate(lines):
            yield Packet(self.inputs[0], line.decode("utf-8", "replace"), time.monotonic_ns(), sequence)

    def close(self) -> None:
        """End `packets` within a tenth of a second; standard input itself stays open."""
        self._closed = True

    def _lines(self, stopped: Callable[[], bool]) -> Iterator[bytes]:
        rest = b""
        while not stopped():
            if not select.select([self._descriptor], [], [], POLL_S)[0]:
                continue
            piece = os.read(self._descriptor, 65536)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r")
            if not piece:
                if rest:
                    yield rest.removesuffix(b"\r")
                return
            if len(rest) > LINE_LIMIT_BYTES:
                raise SourceError(f"standard input: a line is longer than {LINE_LIMIT_BYTES} bytes")
