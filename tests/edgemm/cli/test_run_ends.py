"""How `edgemm run` ends: by SIGTERM as by Ctrl-C, closed, and with what was lost on standard error."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from edgemm.cli.main import ended_by_signals, main
from edgemm.errors import SinkError


class FakeStream:
    """A stream that ends as it is told."""

    def __init__(self, ending):
        self._ending = ending
        self.failures, self.muted, self.muted_observers = {"text": "unplugged"}, {}, {}
        self.drops, self.drops_by_cause = {"image": 3}, {("image", "full"): 2, ("image", "does not fit"): 1}
        self.clamped, self.missed, self.closed = {"text": 2}, 5, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.closed += 1

    def wait(self):
        self._ending()


@pytest.fixture
def run(monkeypatch, three_inputs):
    """Runs the command on a stream."""

    def run(made):
        monkeypatch.setattr("edgemm.stream", lambda *_, **__: made, raising=False)
        return main(["run", str(three_inputs()), "-i", "text=stdin:"])

    return run


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("ending", "code"),
    [(lambda: None, 0), (lambda: signal.raise_signal(signal.SIGTERM), 143), (interrupt, 130)],
    ids=["end", "SIGTERM", "Ctrl-C"],
)
def test_however_it_ends_the_stream_is_closed_and_what_was_lost_is_said(run, capsys, ending, code):
    before = signal.getsignal(signal.SIGTERM)
    made = FakeStream(ending)
    assert run(made) == code
    assert made.closed
    assert capsys.readouterr().err.replace("edgemm: interrupted\n", "").splitlines() == [
        "edgemm run: input 'text' broke down: unplugged",
        "edgemm run: dropped: image 2 (the model was busy), image 1 (does not fit)",
        "edgemm run: stamped ahead of the clock, and taken as now: text 2",
        "edgemm run: left out because the model was late, or time had jumped: 5 answers",
    ]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_sink_that_failed_is_said_once_with_the_other_losses_and_is_1(run, capsys):
    def fail():
        made.muted["Shelf.write"] = "the shelf is full"
        raise SinkError("Shelf.write raised, and got no more results: the shelf is full")

    made = FakeStream(fail)
    assert run(made) == 1
    err = capsys.readouterr().err
    assert err.count("the shelf is full") == 1
    assert "edgemm run: Shelf.write failed, so results were lost: the shelf is full" in err


def twice():
    with ended_by_signals():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            print("closed")


def test_a_second_sigterm_does_not_disturb_the_closing(capsys):
    with pytest.raises(SystemExit) as caught:
        twice()
    assert (caught.value.code, capsys.readouterr().out) == (143, "closed\n")


def test_a_terminal_that_is_gone_ends_a_command_unless_it_was_told_to_stay():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have been told to stay
    try:
        with pytest.raises(SystemExit) as caught, ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
        assert caught.value.code == 129
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_beside_the_main_thread_signals_are_left_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with ended_by_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


def test_sigterm_ends_a_real_stream_with_143(three_inputs):
    words = ["run", str(three_inputs()), "-i", "text=stdin:", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgemm", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write("a line\n")
    process.stdin.flush()
    assert '"answer"' in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    with process.stdin, process.stdout, process.stderr:
        assert process.stderr.read() == ""
