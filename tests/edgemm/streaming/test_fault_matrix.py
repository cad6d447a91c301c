"""Every fault of a source, in every kind of input, delivered in every way: the stream goes on, what is lost is counted, what comes after is right.

On virtual time: nothing sleeps, and what comes out is the same on any machine. Beside the input that is disturbed there is one that is not; it must not
notice anything. `fault_table.py` prints what is counted here.
"""

from __future__ import annotations

import time

import pytest
from conducting import BEAT_EVERY, BEATS, PACKETS
from fault_matrix import ENDINGS, WAYS, cells, outcome, run
from fault_table import table, written

pytestmark = pytest.mark.slow  # some thousand streams


def closes_soon(stream):
    started_s = time.monotonic()
    stream.close()
    return time.monotonic() - started_s < 2


def told(conductor):
    """What an observer heard of the losses of the disturbed input."""
    return {cause: count for (name, cause), count in conductor.dropped.items() if name == "it"}


@pytest.mark.parametrize(("fault", "kind", "way"), cells())
def test_a_stream_survives(fault, kind, way):
    sent, delivered, lost, stream, conductor = outcome(fault, kind, way)
    assert closes_soon(stream)
    assert stream.failures == {}
    assert conductor.last["beat"] == [PACKETS - BEAT_EVERY]
    assert conductor.taken["beat"] == BEATS
    assert conductor.last["it"] == outcome("none", kind, "file, fast").conductor.last["it"]
    assert sent == delivered + sum(lost.values())
    assert lost == told(conductor) | {cause: n for cause, n in lost.items() if cause == "full in its source"}
    assert conductor.results <= 3 * PACKETS


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("kind", "way"), [(k, w) for w, way in WAYS.items() if w != "inbox" for k in way.kinds])
def test_a_source_that_ends_badly_ends_its_input_alone(kind, ending, way):
    sent, delivered, lost, stream, conductor = run(kind, way, ENDINGS[ending]())
    assert closes_soon(stream)
    assert list(stream.failures) == ["it"]
    assert conductor.last["beat"] == [PACKETS - BEAT_EVERY]
    assert conductor.taken["beat"] == BEATS
    assert sent == delivered + sum(lost.values())


def test_the_page_says_what_is_counted():
    assert written() == [table()], "python tests/edgemm/streaming/fault_table.py --write"
