"""A stream's time: pacing, order across sources, deadlines, `seconds`, and stamps of live sources. Virtual, so never late."""

from __future__ import annotations

import threading

import pytest

from edgemm.streaming.channels import Mailbox
from edgemm.streaming.stream import Stream

MS = 1_000_000


def images(*times, name="image"):
    return [(at, name, f"{name} {at}") for at in times]


@pytest.fixture
def asked_of_take(monkeypatch):
    """(timeout_s, in_order) of each time that the model asked for a packet."""
    asked = []
    take = Mailbox.take

    def record(mailbox, timeout_s, *, in_order):
        asked.append((timeout_s, in_order))
        return take(mailbox, timeout_s, in_order=in_order)

    monkeypatch.setattr(Mailbox, "take", record)
    return asked


# pacing


def test_recorded_packets_wait_for_their_time(stream, script, fake_model, clock):
    times = []
    source = script(*[step for image in images(0, 100, 250) for step in (image, lambda: times.append(clock.ms))])
    list(stream(fake_model(), source))
    assert times == [0, 100, 250], "when the stream had taken each over"


def test_pacing_sleeps_in_short_steps_so_that_the_end_is_noticed(stream, script, fake_model, clock):
    list(stream(fake_model(), script(*images(0, 250))))
    assert clock.slept == [0.1, 0.1, 0.05]


def test_a_packet_whose_time_has_passed_is_not_held_up(stream, script, fake_model, clock):
    def late():
        clock.ns += 500 * MS

    list(stream(fake_model(), script(late, *images(100, 600))))
    assert clock.slept == [0.1]


def test_as_fast_as_possible_nobody_sleeps(stream, script, fake_model, clock):
    model = fake_model()
    assert len(list(stream(model, script(*images(0, 100, 250)), realtime=False))) == 3
    assert clock.slept == []


def test_closing_ends_the_pacing(script, fake_model, clock):
    pacing = threading.Event()
    model, source = fake_model(), script(*images(3_600_000))
    stream = Stream(model, [source], clock=clock, sleep=lambda seconds: pacing.set())
    assert pacing.wait(10)
    stream.close()
    assert source.ended.is_set()
    assert model.scheduler.pushed == []


def test_recorded_packets_keep_the_time_of_their_recording(stream, script, fake_model):
    model = fake_model()
    list(stream(model, script(*images(0, 100, 250))))
    assert [at_ms for _, _, at_ms in model.scheduler.pushed] == [0, 100, 250]


# live


def test_live_packets_count_from_the_start_of_the_stream(stream, script, fake_model, clock):
    model = fake_model()
    list(stream(model, script(*images(30, 70), live=True, zero_ns=clock.ns)))
    assert model.scheduler.pushed == [("image", "image 30", 30), ("image", "image 70", 70)]


def test_what_a_live_source_captured_before_the_start_counts_as_the_start(stream, script, fake_model, clock):
    model = fake_model()
    list(stream(model, script(*images(0, 20), live=True, zero_ns=clock.ns - 10 * MS)))
    assert [at_ms for _, _, at_ms in model.scheduler.pushed] == [0, 10]


def test_live_packets_are_never_held_back(stream, script, fake_model, clock):
    list(stream(fake_model(), script(*images(0, 5_000), live=True, zero_ns=clock.ns)))
    assert clock.slept == []


def test_one_live_source_makes_the_recorded_ones_keep_time(stream, script, fake_model, clock):
    live = script(*images(0, name="text"), live=True, zero_ns=clock.ns)
    list(stream(fake_model(), live, script(*images(0, 100)), realtime=False))
    assert clock.slept == [0.1]


def test_the_number_of_a_live_packet_reaches_whoever_listens(stream, script, fake_model, clock):
    class View:
        def __init__(self):
            self.heard = []

        def write(self, result):
            pass

        def on_packet(self, packet):
            self.heard.append((packet.sequence, packet.captured_ns))

        def close(self):
            pass

    view = View()
    made = stream(fake_model(), script(*images(0, 20), live=True, zero_ns=clock.ns), sinks=[view])
    assert made.wait(10)
    assert view.heard == [(0, 0), (1, 20 * MS)]


# order


def test_recorded_sources_are_merged_in_order_of_capture(stream, script, fake_model):
    first = script(*images(0, 200))
    second = script(lambda: first.done.wait(10), *images(100, 300, name="text"))
    model = fake_model()
    list(stream(model, first, second, realtime=False))
    assert [at_ms for _, _, at_ms in model.scheduler.pushed] == [0, 100, 200, 300]


def test_in_real_time_nobody_waits_for_another_source(stream, script, fake_model, gate):
    waiting = script(gate, *images(100, name="text"))
    made = stream(fake_model(), script(*images(0)), waiting)
    assert next(iter(made)) == ("image", "image 0", 0)
    assert waiting.delivered == []


def test_a_recorded_source_of_several_inputs_keeps_its_order(stream, script, fake_model):
    steps = [(0, "image", 1), (0, "text", 2), (0, "image", 3), (10, "text", 4)]
    model = fake_model()
    list(stream(model, script(*steps), realtime=False))
    assert [value for _, value, _ in model.scheduler.pushed] == [1, 2, 3, 4]


# deadlines


def test_what_was_due_before_a_packet_is_answered_before_it(stream, script, fake_model):
    results = list(stream(fake_model(tick_ms=50), script(*images(0, 50, 120)), realtime=False))
    assert results == [
        ("image", "image 0", 0),
        ("tick", 50),
        ("image", "image 50", 50),
        ("tick", 100),
        ("image", "image 120", 120),
    ]


def test_what_is_due_while_nothing_comes_is_answered_in_its_time(stream, script, fake_model, clock):
    results = iter(stream(fake_model(tick_ms=50), script(live=True, hang=True)))
    clock.ns += 50 * MS
    assert next(results) == ("tick", 50)
    clock.ns += 60 * MS
    assert next(results) == ("tick", 100)


def test_a_model_for_which_nothing_comes_sleeps(stream, script, fake_model, waits_in, thread_named):
    stream(fake_model(), script(live=True, hang=True))
    waits_in(thread_named("edgemm-model"), "take")


def test_nothing_is_answered_before_it_is_due(stream, script, fake_model, clock):
    made = stream(fake_model(tick_ms=1), script(live=True, hang=True))
    assert made.wait(0.05) is False
    assert made.model.scheduler.due_ns == MS


def test_rates_count_from_the_start_also_when_no_packet_comes(stream, script, fake_model):
    assert list(stream(fake_model(tick_ms=50), script(), realtime=False, seconds=0.12)) == [("tick", 50), ("tick", 100)]


def test_without_a_limit_deadlines_end_with_the_last_packet(stream, script, fake_model):
    late = script(*images(0, 120))
    early = script(*images(10, name="text"))
    results = list(stream(fake_model(tick_ms=50), late, early, realtime=False))
    assert [result for result in results if result[0] == "tick"] == [("tick", 50), ("tick", 100)]


def test_as_fast_as_possible_time_is_that_of_the_packets(
    stream, script, fake_model, clock, gate, waits_in, thread_named
):
    def second_passes():
        gate.reached()
        clock.ns += 1000 * MS
        gate.open()

    later = threading.Event()
    source = script((0, "image", 0), second_passes, lambda: later.wait(10), (120, "image", 120))
    made = stream(fake_model(tick_ms=50, on_push=gate), source, realtime=False)
    assert next(iter(made)) == ("image", 0, 0)
    waits_in(thread_named("edgemm-model"), "take")
    later.set()
    assert list(made) == [("tick", 50), ("tick", 100), ("image", 120, 120)]


@pytest.mark.parametrize(
    ("tick_ms", "seconds", "sleeps_s"), [(50, None, 0.05), (50, 0.02, 0.02), (30, 0.3, 0.03), (None, 0.3, 0.3)]
)
def test_the_model_sleeps_until_the_next_deadline_or_the_end(
    stream, script, fake_model, asked_of_take, tick_ms, seconds, sleeps_s, eventually
):
    stream(fake_model(tick_ms=tick_ms), script(live=True, hang=True), seconds=seconds)
    eventually(lambda: asked_of_take, "the model took nothing")
    assert asked_of_take[0] == (sleeps_s, False)


def test_the_model_does_not_sleep_past_what_is_due(script, fake_model, asked_of_take, eventually):
    times = iter([0, 1000 * MS])
    made = Stream(fake_model(tick_ms=50), [script(live=True, hang=True)], clock=lambda: next(times, 1000 * MS))
    eventually(lambda: asked_of_take, "the model took nothing")
    made.close()
    assert asked_of_take[0] == (0.0, False)


def test_as_fast_as_possible_the_model_sleeps_until_every_source_has_a_packet(
    stream, script, fake_model, asked_of_take
):
    list(stream(fake_model(tick_ms=50), script(*images(0)), realtime=False, seconds=0.2))
    assert set(asked_of_take) == {(None, True)}


# seconds


def test_packets_from_the_limit_on_are_not_taken(stream, script, fake_model):
    model = fake_model()
    list(stream(model, script(*images(0, 100, 200, 300)), realtime=False, seconds=0.2))
    assert [at_ms for _, _, at_ms in model.scheduler.pushed] == [0, 100]


def test_the_first_packet_past_the_limit_ends_the_stream(stream, script, fake_model):
    endless = script(*images(0, 200), hang=True)
    assert list(stream(fake_model(), endless, realtime=False, seconds=0.2)) == [("image", "image 0", 0)]


@pytest.mark.parametrize("times", [(0, 100), (0, 100, 300), (0, 100, 300, 400, 500)])
def test_deadlines_go_on_up_to_the_limit_wherever_the_packets_end(stream, script, fake_model, times):
    results = list(stream(fake_model(tick_ms=50), script(*images(*times)), realtime=False, seconds=0.2))
    assert [at for name, at in [r for r in results if r[0] == "tick"]] == [50, 100, 150, 200]


def test_a_limit_ends_a_stream_in_which_nothing_comes(stream, script, fake_model, clock):
    made = stream(fake_model(tick_ms=50), script(live=True, hang=True), seconds=0.12)
    results = iter(made)
    clock.ns += 50 * MS
    assert next(results) == ("tick", 50)
    clock.ns += 70 * MS
    assert list(results) == [("tick", 100)]


def test_the_deadline_at_the_limit_is_answered_when_nothing_comes(stream, script, fake_model, clock):
    made = stream(fake_model(tick_ms=50), script(live=True, hang=True), seconds=0.1)
    clock.ns += 100 * MS
    assert list(made) == [("tick", 100)]


def test_a_live_stream_does_not_end_before_its_limit(stream, script, fake_model, clock):
    made = stream(fake_model(), script(live=True, hang=True), seconds=0.02)
    assert made.wait(0.1) is False, "its own time stands still"
    clock.ns += 20 * MS
    assert made.wait(10)


def test_a_stream_that_is_closed_answers_nothing_more(stream, script, fake_model):
    model = fake_model(tick_ms=1)
    stream(model, script(live=True, hang=True), seconds=1e6).close()
    assert model.scheduler.due_ns == MS, "the deadlines up to the limit are nobody's business now"
