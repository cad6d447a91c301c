"""`edgemm run`: its inputs, and the lines that it prints."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

import edgemm
from edgemm.cli.main import main
from edgemm.cli.run import add_arguments, inputs_from_words, sinks_from_arguments
from edgemm.errors import UsageError


def test_inputs_are_name_and_uri():
    words = ["image=rtsp://ann:pw@camera/1?a=b", "text=stdin:"]
    assert inputs_from_words(words) == {"image": "rtsp://ann:pw@camera/1?a=b", "text": "stdin:"}


@pytest.mark.parametrize("word", ["clip.mp4", "=clip.mp4", "image=", "a-b=c", "rtsp://ann:secret@camera/1"])
def test_anything_else_is_wrong_usage_and_shows_no_password(word):
    with pytest.raises(UsageError, match="NAME=URI") as caught:
        inputs_from_words([word])
    assert "secret" not in str(caught.value)


def test_an_input_can_be_given_once():
    with pytest.raises(UsageError, match="'image' is given twice") as caught:
        inputs_from_words(["image=a.mp4", "image=rtsp://ann:secret@camera/1"])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "sinks"),
    [
        ([], ["terminal"]),
        (["--json"], ["json_lines"]),
        (["--sink", "json_lines:path=a.jsonl"], ["json_lines:path=a.jsonl"]),
        (["--sink", "terminal", "--sink", "csv"], ["terminal", "csv"]),
        (["--json", "--sink", "csv"], ["csv", "json_lines"]),
        (["--json", "--sink", "json_lines"], ["json_lines"]),
    ],
)
def test_results_go_where_it_is_said_and_to_the_live_view_where_nothing_is(words, sinks):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert sinks_from_arguments(parser.parse_args(["desk.edgemm", *words])) == sinks


def test_there_must_be_a_bundle(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none.edgemm"), "-i", "image=a.mp4"]) == 2
    assert "there is no bundle at" in capsys.readouterr().err


LOST = {
    "failures": ("image", "input 'image' broke down: too much"),
    "muted": ("csv", "csv failed, so results were lost: too much"),
    "muted_observers": ("watcher", "watcher failed, and was not told more: too much"),
}


@pytest.fixture
def streamed(monkeypatch):
    """Runs the command over a stream that came to this end; its exit status."""

    def run(**end):
        stream = SimpleNamespace(
            wait=lambda: None,
            **{**{one: {} for one in (*LOST, "drops", "drops_by_cause", "clamped")}, "missed": 0, **end},
        )
        monkeypatch.setattr(edgemm, "open", lambda *args, **options: nullcontext())
        monkeypatch.setattr(edgemm, "stream", lambda *args, **options: nullcontext(stream))
        monkeypatch.setattr("edgemm.runtime.model.check_inputs", lambda model, inputs: None)
        return main(["run", "a.edgemm", "-i", "image=a.mp4"])

    return run


@pytest.mark.parametrize("lost", LOST)
def test_what_failed_is_told_at_the_end(streamed, capsys, lost):
    name, line = LOST[lost]
    assert streamed(**{lost: {name: "too much"}}) == int(lost == "muted"), "lost results are a failure"
    assert capsys.readouterr().err == f"edgemm run: {line}\n"


def test_what_was_dropped_is_counted_at_the_end(streamed, capsys):
    by_cause = {("image", "full"): 3, ("text", "does not fit"): 1}
    assert streamed(drops={"image": 3, "text": 1}, drops_by_cause=by_cause) == 0
    assert capsys.readouterr().err == "edgemm run: dropped: image 3 (the model was busy), text 1 (does not fit)\n"


def test_what_was_clamped_and_left_out_is_told_too(streamed, capsys):
    assert streamed(clamped={"image": 2}, missed=7) == 0
    assert capsys.readouterr().err.splitlines() == [
        "edgemm run: stamped ahead of the clock, and taken as now: image 2",
        "edgemm run: left out because the model was late, or time had jumped: 7 answers",
    ]


def test_a_stream_that_lost_nothing_says_nothing(streamed, capsys):
    assert streamed() == 0
    assert capsys.readouterr().err == ""
