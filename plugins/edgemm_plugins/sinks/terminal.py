"""The live view: the answer, how sure it is, and what each input gives, redrawn four times a second.

Where there is no terminal it prints a plain line a second. `render` draws one moment, for a picture of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType  # noqa: TID253 (this module is loaded by its first use only)
from rich.live import Live  # noqa: TID253
from rich.panel import Panel  # noqa: TID253
from rich.table import Table  # noqa: TID253
from rich.text import Text  # noqa: TID253

from edgemm_plugins.outputs.classes import Classification
from edgemm_plugins.sinks.drawing import GREEN, GREY, RED, YELLOW, bar, large, meter, one_line, thumbnail
from edgemm_plugins.sinks.watching import Seen, Watching

if TYPE_CHECKING:
    from edgemm.host.interfaces import Packet
    from edgemm.outputs.results import InputState, Result

REFRESH_S = 0.25
LINE_S = 1.0
THUMBNAIL_ROWS = 10
NARROW = 84  # columns below which the thumbnail is left out
STATE_STYLES = {"live": GREEN, "stale": YELLOW, "absent": RED}


def build(model: Any, options: Mapping[str, Any]) -> Terminal:
    """The view on standard output, with `title` or the model's name on top."""
    return Terminal(Console(file=sys.stdout), options["title"] or model.name)


class Terminal:
    """A `Sink` that draws. It also shows what it is told by `on_packet`, `on_drop` and `on_error`, from any thread."""

    def __init__(self, console: Console, title: str = "") -> None:
        self.watching = Watching(title)
        self._console = console
        self._live: Live | None = None
        self._shown = -1e9  # when, on the monotonic clock
        self._unshown = False

    def write(self, result: Result) -> None:
        """Take one result; draws when it is time."""
        self.watching.take(result)
        now = time.monotonic()
        self._unshown = now - self._shown < (REFRESH_S if self._console.is_terminal else LINE_S)
        if not self._unshown:
            self._shown = now
            self._show()

    def on_packet(self, packet: Packet) -> None:
        """Show what an input gives."""
        self.watching.see(packet)

    def on_drop(self, input: str, cause: str) -> None:
        """Count a dropped packet."""
        self.watching.drops[input] += 1

    def on_error(self, where: str, error: BaseException) -> None:
        """Show that something broke."""
        self.watching.failures.append(f"{where}: {str(error).partition(chr(10))[0] or type(error).__name__}")

    def close(self) -> None:
        """Draw the last result and give the terminal back. May be called more than once."""
        if self._unshown:
            self._unshown = False
            self._show()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self) -> None:
        if not self._console.is_terminal:
            self._console.print(Text(plain_line(self.watching)), soft_wrap=True)
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(render(self.watching, self._console.width), refresh=True)


def svg(watching: Watching, width: int = 100) -> str:
    """The view of one moment as a self-contained SVG picture."""
    import io

    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render(watching, width))
    return console.export_svg(title=f"edgemm run {one_line(watching.title)}".strip())


def render(watching: Watching, width: int = 100) -> RenderableType:
    """The view of one moment, for a console of `width` columns."""
    grid = Table.grid(padding=(0, 2), expand=True)
    cells: list[RenderableType] = []
    frame = next((seen.frame for seen in list(watching.seen.values()) if seen.frame is not None), None)
    if frame is not None and width >= NARROW:
        cells.append(thumbnail(frame, THUMBNAIL_ROWS))
        grid.add_column(no_wrap=True)
    grid.add_column(ratio=2)
    grid.add_column(ratio=3)
    grid.add_row(*cells, _answers(watching), _inputs(watching))
    title = Text.assemble((" EdgeMM ", "bold white on dark_cyan"), f" {one_line(watching.title)} ")
    lines: list[RenderableType] = [grid]
    lines += [
        Text(f"⚠ {one_line(failure)}", RED, overflow="ellipsis", no_wrap=True) for failure in watching.failures[-2:]
    ]
    return Panel(
        Group(*lines),
        title=title,
        title_align="left",
        subtitle=_status(watching),
        subtitle_align="left",
        border_style="grey50",
    )


def plain_line(watching: Watching) -> str:
    """The same moment as one line."""
    result = watching.result
    if result is None:
        return "no result yet"
    answers = [f"{name}={one_line(result.show(name))}" for name in result.outputs]
    states = [f"{name} {state.state}{_age(state, ' ')}" for name, state in result.inputs.items()]
    return f"{_clock(watching.elapsed_s)}  {', '.join(answers) or 'no prediction'}  |  {', '.join(states)}"


def _answers(watching: Watching) -> RenderableType:
    result = watching.result
    if result is None or not result.outputs:
        return Text("…\n\nno prediction" if result is not None else "…\n\nwaiting for input", GREY)
    return Group(*(part for name in result.outputs for part in _answer(name, result)))


def _answer(name: str, result: Result) -> list[RenderableType]:
    answer = result.outputs[name]
    if not isinstance(answer, Classification):
        return [Text(one_line(name), GREY), Text(one_line(result.show(name)), "bold")]
    sure = GREEN if answer.score >= 0.8 else YELLOW if answer.score >= 0.5 else RED
    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=3, max_width=14, no_wrap=True, overflow="ellipsis")
    for rank, (label, score) in enumerate(answer.top(3)):
        style = "bold" if rank == 0 else GREY
        table.add_row(
            Text(one_line(label), style), bar(score, 16, sure if rank == 0 else GREY), Text(f"{score:.2f}", style)
        )
    return [Text(one_line(name), GREY), large(answer.label, sure), Text(""), table]


def _inputs(watching: Watching) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=6)
    table.add_column(no_wrap=True, min_width=6)
    table.add_column(no_wrap=True, justify="right", min_width=7)
    table.add_column(no_wrap=True, justify="right", min_width=6, ratio=1)
    states = watching.result.inputs if watching.result is not None else {}
    for name, state in states.items():
        style = STATE_STYLES.get(state.state, "white")
        rate = watching.input_rate_hz(name)
        table.add_row(
            Text("●" if state.state != "absent" else "○", style),
            Text(one_line(name, 14), "bold"),
            Text(state.state, style),
            Text(_age(state)),
            Text("" if rate is None else f"{rate:.1f}/s", GREY),
        )
    details = (_detail(name, state, watching.seen.get(name)) for name, state in states.items())
    return Group(table, Text(""), *details)


def _detail(name: str, state: InputState, seen: Seen | None) -> RenderableType:
    parts: list[Any] = [(f"{one_line(name, 14):<8}", GREY)]
    if seen is not None and seen.level_db is not None:
        parts += [meter(seen.level_db, 20), (f" {seen.level_db:.0f} dB", GREY)]
    elif seen is not None and seen.text is not None:
        parts += [(f"“{one_line(seen.text, 60)}”", "#79c0ff")]
    elif seen is not None and seen.frame is not None:
        parts += [f"{seen.frame.shape[1]} × {seen.frame.shape[0]}"]
    if state.reason:
        parts += [(f"  {one_line(state.reason)}", STATE_STYLES.get(state.state, ""))]
    return Text.assemble(*parts)


def _status(watching: Watching) -> Text:
    median, high = watching.compute_ms()
    rate = watching.result_rate_hz()
    dropped = sum(watching.drops.values())
    parts = [
        _clock(watching.elapsed_s),
        f"{rate:.1f} results/s" if rate is not None else "– results/s",
        f"compute p50 {median:.1f} ms, p95 {high:.1f} ms",
    ]
    text = Text(f" {'  ·  '.join(parts)}  ·  ", GREY)
    text.append(f"dropped {dropped} ", YELLOW if dropped else GREY)
    return text


def _age(state: InputState, before: str = "") -> str:
    if state.age_ms is None:
        return ""
    return before + (f"{state.age_ms:.0f} ms" if state.age_ms < 1000 else f"{state.age_ms / 1000:.1f} s")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes):02d}:{rest:04.1f}"
