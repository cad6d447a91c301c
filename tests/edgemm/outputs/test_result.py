"""What a result says of an output that was answered, of one that was not, and of one that there is not."""

from __future__ import annotations

import numpy as np
import pytest

import edgemm
from edgemm.errors import NoAnswerError, UnknownNameError, UsageError
from edgemm.outputs.results import ABSENT, LIVE, InputState, Result
from edgemm_plugins.outputs.array import Array

STATES = {"image": InputState(LIVE, 0.0, False, ""), "audio": InputState(ABSENT, None, False, "no data")}


def result(**said):
    kinds = {"where": Array(), "what": Array()}
    tensors = {name: {"value": np.array(value)} for name, value in said.items()}
    return Result(tensors, kinds, None, lambda _: STATES, (0, 0, 0), 0)


def test_an_output_is_asked_for_by_name():
    said = result(where=[1, 2])
    assert said["where"].tolist() == said.get("where").tolist() == [1, 2]
    assert "where" in said
    assert list(said) == ["where"]


def test_an_output_that_says_nothing_is_told_with_its_reason():
    said = result(where=[1])
    assert "what" not in said
    assert said.get("what") is None
    assert said.get("what", "nothing") == "nothing"
    with pytest.raises(NoAnswerError, match=r"output 'what' says nothing: image is live, audio is absent \(no data\)"):
        said["what"]


@pytest.mark.parametrize("ask", [lambda said: said["wat"], lambda said: said.get("wat")])
def test_an_output_that_does_not_exist_is_an_error_and_the_nearest_is_named(ask):
    with pytest.raises(UnknownNameError, match="unknown output 'wat'; did you mean 'what'"):
        ask(result(where=[1], what=[2]))


def test_a_result_is_ok_when_every_output_says_something():
    assert [result().ok, result(where=[1]).ok, result(where=[1], what=[2]).ok] == [False, False, True]


def test_what_can_answer_nothing_is_refused_with_what_is_missing(one_node):
    with pytest.raises(UsageError, match="no answer comes of a alone: 'one' needs 'b' too"):
        edgemm.stream(one_node, {"a": edgemm.Inbox()})


def test_a_model_and_a_stream_say_what_they_are(three_inputs):
    path = three_inputs()
    inbox = edgemm.Inbox()
    with edgemm.open(path) as model:
        assert repr(model) == "Model('three': image, audio, text -> answer; cpu.onnxruntime.fp32)"
        with edgemm.stream(model, {"image": inbox}) as stream:
            assert repr(stream) == f"Stream(image of {model!r}; running)"
        assert repr(stream).endswith("; ended)")
    assert repr(model).endswith("cpu.onnxruntime.fp32, closed)")
