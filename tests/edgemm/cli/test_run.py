"""`edgemm run`: its inputs, and the lines that it prints."""

from __future__ import annotations

import argparse

import pytest

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
