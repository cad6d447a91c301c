"""What commands print: aligned tables for people, JSON for programs."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from edgemm.outputs.printable import json_text, printable

_COLOURS = {"ok": "32", "note": "33", "missing": "33", "broken": "31"}


def print_json(value: Any) -> None:
    """One JSON document."""
    print(json_text(value, indent=2))


def print_text(value: object, file: TextIO | None = None) -> None:
    """What an object says of itself, whatever files have put into it."""
    print(printable(str(value)), file=file)


def print_table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = (), indent: str = "") -> None:
    """Columns as wide as their widest cell; the last one wraps at the terminal's edge."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if not cells:
        return
    if header:
        cells.insert(0, [name.upper() for name in header])
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]) - 1)]
    room = max(24, _columns() - len(indent) - sum(widths) - 2 * len(widths))
    for row in cells:
        start = indent + "".join(f"{cell:{width}}  " for cell, width in zip(row[:-1], widths, strict=True))
        lines = [line for part in row[-1].splitlines() for line in textwrap.wrap(part, room)] or [""]
        print(_coloured(start, row[0] if not header else "") + lines[0].rstrip())
        for line in lines[1:]:
            print(" " * len(start) + line)


def _columns() -> int:
    if not sys.stdout.isatty():
        return 160
    return os.get_terminal_size(sys.stdout.fileno()).columns


def _coloured(text: str, word: str) -> str:
    """The text, with `word` in its colour where the output is a terminal that wants any (https://no-color.org)."""
    colour = _COLOURS.get(word)
    if colour is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return text.replace(word, f"\033[{colour}m{word}\033[0m", 1)
