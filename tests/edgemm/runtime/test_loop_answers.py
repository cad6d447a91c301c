"""How long what a loop has said stands."""

from __future__ import annotations

import pytest
from tiny import MS, Stream, said


def counted(trigger, valid_for_ms=0.0):
    """A loop that adds what it reads again and again, and stops at a hundred or more."""

    def add(x, before):
        return before + x, before + x >= 100, before + x

    nodes = {
        "see": (lambda x: x, {"x": "input.a"}, {"valid_for_ms": valid_for_ms}),
        "loop": (
            add,
            {"x": "see.y"},
            {"outputs": ("y", "stop", "sum"), "state": {"sum": "before"}, "trigger": trigger},
        ),
    }
    return Stream(nodes, {"answer": "loop.y"})


def answer(stream, ms):
    return said(stream.live.answer(ms * MS, 0))


def test_what_a_loop_said_last_stays_until_its_first_step_however_often_it_starts():
    loop = (
        lambda x, before: (before + x, False),
        {"x": "input.a"},
        {"outputs": ("y", "stop"), "state": {"y": "before"}, "trigger": "until(stop)"},
    )
    stream = Stream({"loop": loop})
    stream.push("a", 5, 0)
    for answer in (5, 10):
        assert said(stream.live.resume(1 * MS)) == {"answer": answer}
    for ms in (2, 3, 4):
        stream.push("a", 7, ms)
        assert said(stream.live.answer(ms * MS, 0)) == {"answer": 10}
    assert said(stream.live.resume(5 * MS)) == {"answer": 7}


@pytest.mark.parametrize(("trigger", "stands"), [("until(stop)", False), ("until(stop, 0, finish)", True)])
def test_while_a_loop_runs_its_answer_stands_beyond_what_it_reads_only_if_it_finishes_first(trigger, stands):
    stream = counted(trigger, valid_for_ms=50)
    stream.push("a", 5, 0)
    assert said(stream.live.resume(10 * MS)) == {"answer": 5}
    assert answer(stream, 50) == {"answer": 5}
    assert answer(stream, 51) == ({"answer": 5} if stands else {})


def test_once_it_is_done_the_answer_of_a_loop_that_finishes_first_stands_as_long_as_what_it_reads():
    stream = counted("until(stop, 0, finish)", valid_for_ms=50)
    stream.push("a", 100, 0)
    assert said(stream.live.resume(10 * MS)) == {"answer": 100}
    assert stream.live.running == ()
    assert [answer(stream, ms) for ms in (50, 51)] == [{"answer": 100}, {}]
