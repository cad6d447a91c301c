"""Random scripts on random models: a stream says what the reference says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from reference import ReferenceLive
from scripts import models, play, scripts

from edgemm.runtime.schedule import Live


@given(st.data())
def test_a_stream_says_what_the_reference_says(data):
    model = data.draw(models())
    events = data.draw(scripts(model.graph))
    runners, others = model.runners(), model.runners()
    live, reference = Live(model.graph, runners), ReferenceLive(model.graph, others)
    told = play(live, events, runners, model.graph.inputs)
    for got, expected in zip(told, play(reference, events, others, None), strict=True):
        assert got == expected
