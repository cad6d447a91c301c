"""Timed text beside a recording: SubRip (.srt) and JSON lines (.jsonl).

A text stays until the next one; an .srt cue's end is checked but not used. A JSON line is {"t": seconds, "text": "…"}, or with
"start" instead of "t"; other keys are left to others (truth, speaker).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet
from edgemm.inputs.kind import InputKind
from edgemm.limits import LONGEST_MS
from edgemm.reading.plain_json import value_from_json
from edgemm.uris import parse, redact
from edgemm_plugins.sources.asked_inputs import one_input

LIMIT_BYTES = 16 << 20
LONGEST_S = LONGEST_MS / 1000
_TIME = r"(\d{1,5}):([0-5]\d):([0-5]\d)[,.](\d{3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")


class Cue(NamedTuple):
    """A text and when it starts."""

    start_ns: int
    text: str


def build(uri: str, inputs: Mapping[str, InputKind], options: Mapping[str, Any]) -> TextSidecar:
    """An .srt or .jsonl file for one text input; read and checked at once.

    Raises:
        SourceError: it cannot be read, or a line of it is wrong; the message names the line.
    """
    name, _ = one_input(uri, inputs, "text")
    return TextSidecar(name, read_cues(Path(parse(uri).rest)))


class TextSidecar:
    """A `Source` of timed texts."""

    live = False

    def __init__(self, input: str, cues: list[Cue]) -> None:
        self.inputs: tuple[str, ...] = (input,)
        self._cues = cues
        self._closed = False

    def packets(self, stopped: Callable[[], bool]) -> Iterator[Packet]:
        """One packet per cue, at its start."""
        for sequence, cue in enumerate(self._cues):
            if stopped() or self._closed:
                return
            yield Packet(self.inputs[0], cue.text, cue.start_ns, sequence)

    def close(self) -> None:
        """End `packets` before its next text."""
        self._closed = True


def read_cues(path: Path) -> list[Cue]:
    """All cues of a sidecar, in order.

    Raises:
        SourceError: names the file and, where it can, the line.
    """
    readers = {".srt": _srt_cues, ".jsonl": _jsonl_cues}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        shown = redact(str(path))
        raise SourceError(
            f"'{shown}': timed text is read from {' or '.join(readers)}; got '{redact(path.suffix or path.name)}'"
        )
    cues: list[Cue] = []
    for line, cue in reader(_text(path), path.name):
        if cues and cue.start_ns < cues[-1].start_ns:
            raise SourceError(
                f"'{path.name}' line {line}: starts before the text above it; texts must be in order of time"
            )
        cues.append(cue)
    return cues


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise SourceError(f"'{path}' is larger than {LIMIT_BYTES} bytes; that is no timed text")
        return path.read_text("utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 (byte {error.start})"
    raise SourceError(f"cannot read '{redact(str(path))}': {reason}")


def _jsonl_cues(text: str, name: str) -> Iterator[tuple[int, Cue]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"'{name}' line {number}"
        try:
            record = value_from_json(line)
        except json.JSONDecodeError as error:
            raise SourceError(f"{where}: not JSON ({error.msg}, column {error.colno})") from None
        except ValueError as error:
            raise SourceError(f"{where}: not JSON that can be read ({error})") from None
        if not isinstance(record, dict):
            raise SourceError(f'{where}: expected {{"t": seconds, "text": "…"}}, got {type(record).__name__}')
        if ("t" in record) == ("start" in record):
            raise SourceError(f'{where}: expected one of "t" and "start", the time in seconds')
        seconds = record.get("t", record.get("start"))
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= LONGEST_S:
            raise SourceError(
                f"{where}: the time must be seconds from 0 on, at most {LONGEST_S:g}, got {seconds!r:.40}"
            )
        if not isinstance(record.get("text"), str):
            raise SourceError(f'{where}: expected "text" as a string, got {record.get("text")!r:.40}')
        yield number, Cue(round(seconds * 1_000_000_000), record["text"])


def _srt_cues(text: str, name: str) -> Iterator[tuple[int, Cue]]:
    lines = text.replace("\r\n", "\n").split("\n")
    position = 0
    while position < len(lines):
        if not lines[position].strip():
            position += 1
            continue
        if not lines[position].strip().isdigit():
            raise SourceError(f"'{name}' line {position + 1}: expected a cue's number, got '{lines[position][:40]}'")
        timing = _TIMING.fullmatch(lines[position + 1]) if position + 1 < len(lines) else None
        if timing is None:
            raise SourceError(f"'{name}' line {position + 2}: expected a timing such as 00:00:01,000 --> 00:00:02,500")
        start_ns, end_ns = _nanoseconds(timing.groups()[:4]), _nanoseconds(timing.groups()[4:])
        if end_ns < start_ns:
            raise SourceError(f"'{name}' line {position + 2}: the cue ends before it starts")
        end = position + 2
        while end < len(lines) and lines[end].strip():
            end += 1
        yield position + 2, Cue(start_ns, " ".join(line.strip() for line in lines[position + 2 : end]))
        position = end


def _nanoseconds(parts: tuple[str, ...]) -> int:
    hours, minutes, seconds, thousandths = map(int, parts)
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths) * 1_000_000
