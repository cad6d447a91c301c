"""A photo, or one line, is answered, although no rate was due before it ended."""

from __future__ import annotations

import numpy as np
import pytest

import edgemm


class Photo:
    """One frame, and its end."""

    inputs, live = ("image",), False

    def packets(self, stopped):
        yield edgemm.Packet("image", np.full((2, 2, 3), 3, np.uint8), 0, 0)

    def close(self):
        pass


@pytest.mark.parametrize("realtime", [True, False])
def test_a_photo_alone_is_answered_once(three_inputs, realtime):
    results = list(edgemm.stream(three_inputs(runs="tick(10)"), {"image": Photo()}, realtime=realtime))
    assert len(results) == 1
    assert results[0].ok
    assert {name: state.state for name, state in results[0].inputs.items()} == {
        "image": "live", "audio": "absent", "text": "absent"
    }  # fmt: skip


@pytest.mark.parametrize("realtime", [True, False])
def test_what_was_answered_already_is_not_answered_once_more_at_the_end(three_inputs, realtime):
    assert len(list(edgemm.stream(three_inputs(), {"image": Photo()}, realtime=realtime))) == 1


def test_a_stream_that_is_closed_says_nothing_more(three_inputs):
    inbox = edgemm.Inbox()
    said = []
    stream = edgemm.stream(three_inputs(runs="tick(0.001)"), {"image": inbox}, on_result=said.append)
    inbox.put(np.zeros((2, 2, 3), np.uint8))
    stream.close()
    assert said == []
