"""Stamps that cannot be and times that jump: a stream neither runs away nor stands still, and says what it did."""

from __future__ import annotations

import threading
import time

import pytest

import edgemm
from edgemm.streaming.interfaces import Observer

MS = 1_000_000
SECOND_MS = 1000
HOUR_MS = 3600 * SECOND_MS


class Errors(Observer):
    """Keeps the errors that it is told."""

    def __init__(self):
        self.told = []

    def on_error(self, where, error):
        self.told.append((where, str(error)))


def ticks(results):
    return [at for name, at, *_ in results if name == "tick"]


@pytest.fixture
def live(script, clock):
    """Makes a live source of (ms ahead of the stream's clock, input, value)."""

    def make(*steps, **options):
        return script(*steps, live=True, zero_ns=clock.ns, **options)

    return make


# live stamps


@pytest.mark.parametrize("ahead_ms", [101, 60 * SECOND_MS, 24 * HOUR_MS, 2**62 // MS, 10**40])
def test_a_live_stamp_from_the_future_is_taken_as_now(stream, live, fake_model, clock, ahead_ms):
    model = fake_model(tick_ms=50)
    made = stream(model, live((ahead_ms, "image", "early"), (0, "image", "right")))
    assert ticks(made) == []
    assert model.scheduler.pushed == [("image", "early", 0), ("image", "right", 0)]
    assert made.clamped == {"image": 1}
    assert made.drops == {}


def test_a_live_stamp_a_tenth_of_a_second_ahead_is_left_as_it_is(stream, live, fake_model):
    model = fake_model()
    made = stream(model, live((100, "image", "a little early")))
    list(made)
    assert model.scheduler.pushed == [("image", "a little early", 100)]
    assert made.clamped == {}


def test_a_stamp_that_is_taken_as_now_is_not_before_one_that_was_left(stream, live, fake_model):
    model = fake_model()
    list(stream(model, live((100, "image", 1), (HOUR_MS, "image", 2), (HOUR_MS, "text", 3))))
    assert sorted(model.scheduler.pushed) == [("image", 1, 100), ("image", 2, 100), ("text", 3, 0)]


def test_stamps_from_the_future_are_told_once_per_input_and_all_counted(stream, live, fake_model, caplog):
    heard = Errors()
    source = live(*[(HOUR_MS, name, 1) for name in ("image", "text", "image", "image")])
    made = stream(fake_model(), source, observer=heard)
    list(made)
    assert made.clamped == {"image": 3, "text": 1}
    assert [where for where, _ in heard.told] == ["image", "text"]
    assert "a stamp is 3600.0 s ahead of the clock and is taken as now" in heard.told[0][1]
    assert sum("ahead of the clock" in line for line in caplog.messages) == 2


def test_a_wall_clock_for_a_monotonic_one_neither_floods_nor_refuses_what_comes_after(three_inputs):
    inbox = edgemm.Inbox()
    with edgemm.stream(three_inputs(runs="tick(10)"), {"text": inbox}) as stream:
        results = iter(stream)
        inbox.put("\x08", captured_ns=time.time_ns())
        while "answer" not in next(results).outputs:
            pass
        inbox.put("\x10")
        while (result := next(results)).outputs["answer"][0] != 2:
            pass
        assert result.at_ns < time.monotonic_ns() - stream.started_ns + 100 * MS
        assert stream.drops.get("text", 0) == 0
        assert stream.clamped == {"text": 1}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgemm")]


# deadlines


def test_deadlines_that_a_real_time_stream_has_missed_are_skipped_and_counted(
    stream, script, fake_model, clock, caplog
):
    made = stream(fake_model(tick_ms=50), script(live=True, hang=True))
    results = iter(made)
    clock.ns += 50 * MS
    assert next(results) == ("tick", 50)
    assert made.missed == 0
    assert not any("missed" in message for message in caplog.messages)
    clock.ns += 10_020 * MS
    assert next(results) == ("tick", 10_050)
    assert made.missed == 199
    assert any("deadlines are missed" in message for message in caplog.messages)


def test_the_newest_deadline_before_a_late_packet_is_answered_before_it(stream, live, fake_model, clock, gate):
    source = live((0, "image", 1), gate.reached, lambda: setattr(clock, "ns", clock.ns + 180 * MS), (170, "image", 2))
    made = stream(fake_model(tick_ms=50, on_push=gate), source)
    results = iter(made)
    assert source.done.wait(10)
    gate.open()
    assert [next(results) for _ in range(3)] == [("image", 1, 0), ("tick", 150), ("image", 2, 170)]
    assert made.missed == 2


def test_as_fast_as_possible_a_gap_of_a_minute_is_answered_throughout(stream, script, fake_model):
    made = stream(fake_model(tick_ms=1000), script((0, "image", 1), (60_000, "image", 2)), realtime=False)
    assert ticks(made) == list(range(1000, 60_001, 1000))
    assert made.missed == 0


def test_as_fast_as_possible_a_jump_of_hours_is_answered_for_a_minute_and_at_its_end(stream, script, fake_model):
    steps = [(0, "image", 1), (100, "image", 2), (20 * HOUR_MS, "image", 3), (20 * HOUR_MS + 1000, "image", 4)]
    made = stream(fake_model(tick_ms=1000), script(*steps), realtime=False)
    jump = 20 * HOUR_MS
    assert ticks(made) == [*range(1000, 60_001, 1000), jump, jump + 1000]
    assert made.missed == 20 * 3600 - 61


def test_a_step_back_in_time_makes_no_new_gap(stream, script, fake_model):
    steps = [(59_000, "image", 1), (0, "image", 2), (118_000, "image", 3)]
    made = stream(fake_model(tick_ms=1000), script(*steps), realtime=False)
    assert ticks(made) == list(range(1000, 118_001, 1000))


def test_a_paced_recording_says_once_when_it_will_be_silent_for_long(stream, script, fake_model, caplog):
    def said():
        return [message for message in caplog.messages if "next packet" in message]

    list(stream(fake_model(), script((0, "text", 1), (60_000, "text", 2))))
    assert said() == []
    list(stream(fake_model(), script((0, "text", 1), (70_000, "text", 2), (150_000, "text", 3))))
    assert said() == ["input 'text': its next packet comes in 70 s"]


def test_closing_ends_a_long_row_of_deadlines(stream, script, fake_model, background):
    made = stream(fake_model(tick_ms=1), script((0, "image", 1)), realtime=False, seconds=1e8)
    results = iter(made)
    next(results)
    next(results)
    background(made.close).end()
    assert not any(thread.name == "edgemm-model" for thread in threading.enumerate())


def test_whatever_ends_a_stream_halts_the_scheduler(stream, script, fake_model):
    model = fake_model()
    stream(model, script((0, "image", 1), hang=True)).close()
    assert model.scheduler.halted
