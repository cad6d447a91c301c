"""Pictures made of characters: a thumbnail of a frame, bars, level meters and large digits, as rich texts.

Everything that came from outside goes through `one_line`: a label or a line of text cannot move the cursor.
"""

from __future__ import annotations

import numpy as np
from rich.style import Style  # noqa: TID253 (loaded by the view only)
from rich.text import Text  # noqa: TID253

from edgemm.outputs.printable import printable
from edgemm_plugins.inputs.image import resize

GREEN, YELLOW, RED, GREY, GROUND = "#3fb950", "#d29922", "#f85149", "#8b949e", "#30363d"
EIGHTHS = " ▏▎▍▌▋▊▉█"
DIGITS = {  # 3 x 5
    "0": ("███", "█ █", "█ █", "█ █", "███"),
    "1": (" █ ", "██ ", " █ ", " █ ", "███"),
    "2": ("███", "  █", "███", "█  ", "███"),
    "3": ("███", "  █", "███", "  █", "███"),
    "4": ("█ █", "█ █", "███", "  █", "  █"),
    "5": ("███", "█  ", "███", "  █", "███"),
    "6": ("███", "█  ", "███", "█ █", "███"),
    "7": ("███", "  █", "  █", "  █", "  █"),
    "8": ("███", "█ █", "███", "█ █", "███"),
    "9": ("███", "█ █", "███", "  █", "███"),
    "-": ("   ", "   ", "███", "   ", "   "),
}
METER_FROM_DB = -60.0


def one_line(text: str, limit: int = 200) -> str:
    """The text on one line, without control characters, cut at `limit`."""
    return printable(text if len(text) <= limit else text[: limit - 1] + "…", keep="")


def thumbnail(frame: np.ndarray, rows: int) -> Text:
    """A frame uint8 `(H, W[, 3])` as half blocks in true colour, `rows` lines high, at its own aspect up to 16:9."""
    if frame.ndim == 2:
        frame = np.repeat(frame[:, :, np.newaxis], 3, axis=2)
    height, width = frame.shape[:2]
    step = max(1, min(height, width) // (rows * 8))  # resizing what the eye cannot see would cost a frame's time
    columns = max(4, min(round(2 * rows * width / height), round(rows * 32 / 9)))
    small = resize(np.ascontiguousarray(frame[::step, ::step, :3]), 2 * rows, columns)
    text = Text(no_wrap=True, end="")
    for row in range(rows):
        for column in range(columns):
            above, below = small[2 * row, column], small[2 * row + 1, column]
            text.append("▀", Style(color=_colour(above), bgcolor=_colour(below)))
        if row + 1 < rows:
            text.append("\n")
    return text


def large(label: str, style: str) -> Text:
    """A short number in digits five lines high; any other label in bold."""
    if not 0 < len(label) <= 4 or any(character not in DIGITS for character in label):
        return Text(one_line(label, 40), style=f"bold {style}", no_wrap=True, overflow="ellipsis")
    text = Text(no_wrap=True)
    for row in range(5):
        for pixel in " ".join(DIGITS[character][row] for character in label):
            # ink on a ground of the same colour: no gaps where a font's blocks do not meet, and still there without colour
            text.append(pixel * 2, f"{style} on {style}" if pixel != " " else "")
        text.append("\n" if row < 4 else "")
    return text


def bar(share: float, width: int, style: str) -> Text:
    """A bar of `width` columns, filled to `share` (0 to 1) in eighths of a column, on a dim ground."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    part = EIGHTHS[rest] if rest else ""
    empty = " " * (width - full - len(part))
    return Text.assemble(("█" * full, f"{style} on {style}"), (part, f"{style} on {GROUND}"), (empty, f"on {GROUND}"))


def meter(level_db: float, width: int) -> Text:
    """A level meter: green up to -18 dB, yellow up to -6 dB, red above."""
    lit = round((level_db - METER_FROM_DB) / -METER_FROM_DB * width)
    text = Text()
    for cell in range(width):
        cell_db = METER_FROM_DB * (1 - (cell + 1) / width)
        colour = GREEN if cell_db <= -18 else YELLOW if cell_db <= -6 else RED
        text.append("▮", colour if cell < lit else GROUND)
    return text


def _colour(pixel: np.ndarray) -> str:
    return f"#{int(pixel[0]):02x}{int(pixel[1]):02x}{int(pixel[2]):02x}"
