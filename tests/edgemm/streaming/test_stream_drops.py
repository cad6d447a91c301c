"""What a stream loses when somebody is slow, what it never loses, and how it counts."""

from __future__ import annotations

import pytest

from edgemm.streaming.interfaces import Observer


@pytest.fixture
def stream(stream):
    """Streams that run as fast as they can."""
    return lambda model, *sources, **options: stream(model, *sources, **{"realtime": False, **options})


def images(*values, name="image"):
    return [(10 * at, name, value) for at, value in enumerate(values)]


def flood(script, gate, count, name, live=True):
    """A source that delivers one packet, waits until the model is busy with it, and then delivers the rest at once."""
    first, *rest = images(*range(count), name=name)
    return script(first, gate.reached, *rest, live=live)


def test_a_busy_model_gets_the_newest_eight_of_a_live_input(stream, script, fake_model, gate):
    class Listener(Observer):
        def on_drop(self, input, cause):
            heard.append((input, cause))

    heard, model = [], fake_model(on_push=gate)
    source = flood(script, gate, 20, "image")
    made = stream(model, source, observer=Listener())
    assert source.done.wait(10)
    gate.open()
    assert made.wait(10)
    assert [value for _, value, _ in model.scheduler.pushed] == [0, *range(12, 20)]
    assert made.drops == {"image": 11}
    assert heard == [("image", "full")] * 11


def test_of_live_sound_a_hundred_blocks_wait(stream, script, fake_model, gate):
    model = fake_model(on_push=gate)
    source = flood(script, gate, 120, "audio")
    made = stream(model, source)
    assert source.done.wait(10)
    gate.open()
    assert made.wait(10)
    assert [value for _, value, _ in model.scheduler.pushed] == [0, *range(20, 120)]
    assert made.drops == {"audio": 19}


def test_a_flood_of_one_live_input_pushes_out_no_other(stream, script, fake_model, gate):
    model = fake_model(on_push=gate)
    first, *rest = images(*range(20))
    source = script(first, gate.reached, (5, "text", "kept"), *rest, live=True)
    made = stream(model, source)
    assert source.done.wait(10)
    gate.open()
    assert made.wait(10)
    assert "kept" in [value for _, value, _ in model.scheduler.pushed]
    assert made.drops == {"image": 11}


def test_a_recorded_source_waits_for_a_busy_model_and_loses_nothing(
    stream, script, fake_model, gate, waits_in, thread_named
):
    model = fake_model(on_push=gate)
    source = flood(script, gate, 200, "image", live=False)
    made = stream(model, source)
    gate.reached()
    waits_in(thread_named("edgemm-image"), "put")
    assert len(source.delivered) == 1 + 64
    gate.open()
    assert made.wait(10)
    assert [value for _, value, _ in model.scheduler.pushed] == list(range(200))
    assert "image" not in made.drops


def test_as_fast_as_possible_the_model_waits_for_whoever_reads(stream, script, fake_model, waits_in, thread_named):
    made = stream(fake_model(), script(*images(*range(400))))
    waits_in(thread_named("edgemm-model"), "put")
    assert [value for _, value, _ in made] == list(range(400))
    assert made.drops == {}


def test_in_real_time_results_that_nobody_reads_are_dropped_and_counted(stream, script, fake_model):
    steps = [(0, "image", value) for value in range(400)]
    made = stream(fake_model(), script(*steps), realtime=True)
    assert made.wait(10)
    assert made.drops == {"results": 400 - 256}
    assert [value for _, value, _ in made] == list(range(144, 400))


def test_packets_that_came_too_late_for_the_scheduler_count_as_drops(stream, script, fake_model):
    model = fake_model()
    model.scheduler.late.update(image=2, text=0)
    assert stream(model, script(*images(1))).drops == {"image": 2}


def test_drops_of_all_causes_add_up(stream, script, fake_model, gate):
    model = fake_model(on_push=gate)
    model.scheduler.late.update(image=2)
    source = flood(script, gate, 20, "image")
    made = stream(model, source)
    assert source.done.wait(10)
    gate.open()
    assert made.wait(10)
    assert made.drops == {"image": 13}
