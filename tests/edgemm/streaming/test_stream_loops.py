"""A loop in a stream: it goes on by itself, gives way to whatever comes or is due, and ends when the stream does."""

from __future__ import annotations

import threading

import pytest

MS = 1_000_000


def test_as_fast_as_possible_a_loop_ends_before_the_next_packet(stream, script, fake_model):
    source = script((0, "text", ("loop", 3)), (10, "image", 1))
    assert list(stream(fake_model(), source, realtime=False)) == [
        ("text", ("loop", 3), 0),
        *[("step", 0)] * 3,
        ("image", 1, 10),
    ]


def test_in_real_time_what_comes_goes_before_the_next_step_of_a_loop(stream, script, fake_model, gate):
    source = script((0, "text", ("loop", 3)), (0, "image", 1), (0, "image", 2), gate.open)
    made = stream(fake_model(on_push=gate), source)
    assert list(made) == [("text", ("loop", 3), 0), ("image", 1, 0), ("image", 2, 0), *[("step", 0)] * 3]


def test_what_is_due_goes_before_the_next_step_of_a_loop(stream, script, fake_model, clock, gate):
    def half_a_tick_passes_and_more():
        gate.reached()
        clock.ns += 60 * MS
        gate.open()

    source = script((0, "text", ("loop", 2)), half_a_tick_passes_and_more, hang=True, live=True, zero_ns=clock.ns)
    results = iter(stream(fake_model(tick_ms=50, on_push=gate), source))
    assert [next(results) for _ in range(4)] == [
        ("text", ("loop", 2), 0),
        ("tick", 50),
        ("step", 60),
        ("step", 60),
    ]


def test_a_loop_goes_on_when_its_sources_have_ended(stream, script, fake_model):
    assert list(stream(fake_model(), script((0, "text", ("loop", 3))))) == [
        ("text", ("loop", 3), 0),
        *[("step", 0)] * 3,
    ]


def test_a_loop_ends_at_the_limit(stream, script, fake_model, clock, monkeypatch):
    model = fake_model()
    resume = model.scheduler.resume

    def step(now_ns):
        clock.ns += 40 * MS
        return resume(now_ns)

    monkeypatch.setattr(model.scheduler, "resume", step)
    made = stream(model, script((0, "text", ("loop", 10**9)), hang=True), seconds=0.1)
    assert list(made) == [("text", ("loop", 10**9), 0), ("step", 0), ("step", 40), ("step", 80)]


@pytest.mark.parametrize("realtime", [True, False])
def test_closing_ends_a_loop(stream, script, fake_model, background, realtime):
    made = stream(fake_model(), script((0, "text", ("loop", 10**9))), realtime=realtime)
    results = iter(made)
    next(results)
    assert next(results) == ("step", 0)
    background(made.close).end()
    assert not any(thread.name == "edgemm-model" for thread in threading.enumerate())
