"""Random scripts on random models: a stream says what the reference says.

Each theme draws more of what belongs together than chance would.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import ReferenceLive
from scripts import EVENTS, models, play, scripts

from edgemm.model.edge import Window
from edgemm.model.rules import ARRIVAL, Change, Hop, Tick, Until
from edgemm.runtime.schedule import Live

LOOPS = [ARRIVAL, Until("stop"), Until("stop", 2), Until("stop", 3, "finish"), Until("stop", 0, "finish")]
THEMES = {
    "anything": ({}, {}),
    "loops": (
        {"triggers": st.sampled_from(LOOPS)},
        {"do": ["push"] * 6 + ["resume"] * 8 + ["reset", "tick", "break", "mend"]},
    ),
    "rates": (
        {"triggers": st.sampled_from([ARRIVAL, Hop(2), Tick(10), Tick(25), Tick(30)])},
        {"do": ["push"] * 6 + ["advance", "advance", "tick", "start", "reset all", "end"]},
    ),
    "failures": (
        {"faults": st.sampled_from([True, False])},
        {
            "do": ["push"] * 8 + ["break", "mend", "tick", "advance", "resume", "reset"],
            "waits_ms": [0, 10, 100, 300, 2000, 9000],
        },
    ),
    "windows": (
        {"windows": st.sampled_from([None, Window(1), Window(2, 40.0), Window(3), Window(3, 300.0)])},
        {"length": 40},
    ),
    "changes": (
        {"triggers": st.sampled_from([ARRIVAL, Change(), Change()]), "edges": 2},
        {"numbers": [1, 1, 1, 2, 2, "misfit"], "waits_ms": [10, 40, 200]},
    ),
}


@pytest.mark.parametrize("theme", THEMES)
@given(data=st.data())
def test_a_stream_says_what_the_reference_says(theme, data):
    drawn, written = THEMES[theme]
    model = data.draw(models(**drawn))
    events = data.draw(scripts(model.graph, **written))
    runners, others = model.runners(), model.runners()
    live, reference = Live(model.graph, runners), ReferenceLive(model.graph, others)
    said = play(live, events, runners, model.graph.inputs)
    for got, expected in zip(said, play(reference, events, others, None), strict=True):
        assert got == expected


def test_every_event_is_of_a_theme():
    assert set(EVENTS) >= {event for _, written in THEMES.values() for event in written.get("do", ())}
