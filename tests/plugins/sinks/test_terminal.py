import io
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from edgemm.errors import SourceError
from edgemm.host.interfaces import Packet
from edgemm.outputs.results import InputState, Result
from edgemm_plugins.inputs.audio import Sound
from edgemm_plugins.outputs.classes import Classes
from edgemm_plugins.sinks.drawing import bar, large, meter, one_line, thumbnail
from edgemm_plugins.sinks.terminal import Terminal, build, plain_line, render, svg
from edgemm_plugins.sinks.watching import Watching, level_db

MS = 1_000_000
KINDS = {"answer": Classes(tuple(str(number) for number in range(19)))}
STATES = {
    "image": InputState("live", 33.4, False, ""),
    "audio": InputState("stale", 1234.0, True, ""),
    "text": InputState("absent", None, False, "no data"),
}


def result(number: int = 0, label: int = 12, states: dict = STATES, answered: bool = True) -> Result:
    scores = np.zeros(19, np.float32)
    scores[label] = 5
    at_ns = 10**12 + number * 100 * MS
    outputs = {"answer": {"scores": scores}} if answered else {}
    return Result(outputs, KINDS, None, lambda _: states, (at_ns, at_ns, at_ns + 2 * MS), number)


def drawn(watching: Watching, width: int = 100, **options) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False, **options).print(render(watching, width))
    return file.getvalue()


def watched(count: int = 30) -> Watching:
    watching = Watching("desk.edgemm")
    for number in range(count):
        watching.take(result(number))
    return watching


def test_the_view_shows_answer_inputs_and_timings() -> None:
    view = drawn(watched())
    for words in ("desk.edgemm", "answer", "0.89", "image", "live", "33 ms", "stale", "1.2 s", "absent", "no data"):
        assert words in view
    assert "10.0 results/s" in view
    assert "compute p50 2.0 ms, p95 2.0 ms" in view
    assert "dropped 0" in view
    assert "00:02.9" in view
    assert "██████" in view  # the 2 of the large 12
    assert 8 <= len(view.splitlines()) <= 13


def test_the_view_shows_what_the_inputs_give() -> None:
    watching = watched()
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, :, 0] = 255
    for number in range(31):
        watching.see(Packet("image", frame, number * 100 * MS, number))
        watching.see(Packet("audio", Sound(np.full(160, 0.5, np.float32), 8000), number * 100 * MS, number * 5))
    watching.see(Packet("text", "add them 加起来", 0))
    watching.drops["image"] = 1
    watching.failures = ["audio: the microphone is gone"]
    view = drawn(watching)
    for words in (
        "640 × 480",
        "-6 dB",
        "“add them 加起来”",
        "dropped 1",
        "⚠ audio: the microphone is gone",
        "50.0/s",
        "10.0/s",
    ):
        assert words in view
    assert "▀" in view
    assert "▀" not in drawn(watching, width=70)
    coloured = io.StringIO()
    Console(file=coloured, width=100, force_terminal=True, color_system="truecolor").print(render(watching, 100))
    assert "38;2;255;0;0" in coloured.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 84, 200])
def test_the_view_fits_any_width(width: int) -> None:
    assert max(len(line) for line in drawn(watched(), width).splitlines()) <= width


def test_without_inputs_it_says_so() -> None:
    watching = Watching()
    assert "waiting for input" in drawn(watching)
    assert plain_line(watching) == "no result yet"
    watching.take(result(answered=False))
    assert "no prediction" in drawn(watching)
    assert "no prediction" in plain_line(watching)


def test_what_comes_from_outside_cannot_command_the_terminal() -> None:
    watching = Watching("\x1b]0;owned\x07[red]")
    watching.take(result())
    watching.see(Packet("text", "\x1b[2J[bold]hi\r\nthere", 0))
    watching.failures = ["cam: \x1b[31m"]
    view = drawn(watching)
    assert "\x1b" not in view
    assert "\x07" not in view
    assert "[bold]hi" in view
    assert one_line("a\x1b\u202eb") == "a··b"
    assert "\x1b" not in svg(watching)


def test_the_picture_is_a_self_contained_svg() -> None:
    picture = svg(watched())
    assert picture.startswith("<svg")
    assert "edgemm" in picture
    assert "results/s" in picture.replace("&#160;", " ")


def test_without_a_terminal_it_prints_a_line_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("edgemm_plugins.sinks.terminal.time.monotonic", lambda: clock[0])
    file = io.StringIO()
    view = Terminal(Console(file=file, force_terminal=False, width=40))
    for number in range(25):
        view.write(result(number))
        clock[0] += 0.1
    view.close()
    view.close()
    lines = file.getvalue().splitlines()
    assert len(lines) == 4  # at 0, 1 and 2 s, and the last at the end
    assert lines[0] == "00:00.0  answer=12 (0.89)  |  image live 33 ms, audio stale 1.2 s, text absent"
    assert lines[-1].startswith("00:02.4")


def test_on_a_terminal_it_redraws_in_place_and_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("edgemm_plugins.sinks.terminal.time.monotonic", lambda: clock[0])
    file = io.StringIO()
    view = Terminal(Console(file=file, force_terminal=True, width=100), "desk")
    view.on_packet(Packet("text", "hello", 0))
    for _ in range(3):
        view.on_drop("image", "full")
    view.on_error("audio", SourceError("gone\nand more"))
    for number in range(10):
        view.write(result(number))
        clock[0] += 0.1
    view.close()
    shown = file.getvalue()
    assert shown.count("results/s") == 5  # at 0, 0.3, 0.6 and 0.9 s, and what rich leaves standing
    assert "hello" in shown
    assert "⚠ audio: gone" in shown
    assert "dropped 3" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


@pytest.mark.parametrize(("title", "shown"), [("my desk", "my desk"), ("", "desk.edgemm")])
def test_the_title_is_the_model_s_name_where_none_is_given(title: str, shown: str) -> None:
    assert build(SimpleNamespace(name="desk.edgemm"), {"title": title}).watching.title == shown


def test_packets_may_come_from_other_threads() -> None:
    watching = watched()
    stop = threading.Event()
    errors = []

    def show() -> None:
        number = 0
        while not stop.is_set():
            try:
                watching.see(Packet("audio", Sound(np.zeros(160, np.float32), 8000), number * 20 * MS))
            except Exception as error:
                errors.append(error)
            number += 1

    thread = threading.Thread(target=show)
    thread.start()
    for _ in range(30):
        drawn(watching)
    stop.set()
    thread.join(5)
    assert errors == []


def test_rates_forget_what_is_old() -> None:
    watching = Watching()
    for number in range(10):
        watching.take(result(number))
    watching.take(result(1000))
    watching.take(result(1002))
    assert watching.result_rate_hz() == pytest.approx(5.0)


def test_levels() -> None:
    assert level_db(np.zeros(10, np.float32)) == -60
    assert level_db(np.zeros(0, np.float32)) == -60
    assert level_db(np.ones(10, np.float32)) == 0
    assert level_db(np.full(10, 16384, np.int16)) == pytest.approx(-6.02, abs=0.01)


def test_drawings_have_their_sizes() -> None:
    assert bar(0.5, 10, "red").plain == "█████     "
    assert bar(2.0, 4, "red").plain == "████"
    assert bar(float(np.float32(0.55)), 10, "red").plain == "█████▌    "
    assert len(meter(-60, 20).plain) == len(meter(0, 20).plain) == 20
    assert [len(line) for line in large("12", "red").plain.split("\n")] == [14] * 5
    assert large("stop", "red").plain == "stop"
    grey = thumbnail(np.zeros((100, 100), np.uint8), 8)
    assert [len(line) for line in grey.plain.split("\n")] == [16] * 8
    wide = thumbnail(np.zeros((100, 3000, 3), np.uint8), 9)
    assert [len(line) for line in wide.plain.split("\n")] == [32] * 9
    thumbnail(np.zeros((1, 1, 3), np.uint8), 9)
