"""How a stream ends: sources that break down, models that fail, closing at any moment, and what is told of it."""

from __future__ import annotations

import threading

import pytest

from edgemm.errors import BundleError, EdgeMMError, SinkError, SourceError
from edgemm.streaming.interfaces import Observer
from edgemm.streaming.stream import Stream


@pytest.fixture
def stream(stream):
    """Streams that run as fast as they can."""
    return lambda model, *sources, **options: stream(model, *sources, **{"realtime": False, **options})


@pytest.fixture(autouse=True)
def closing_has_no_way_out(monkeypatch):
    """What keeps a closing stream waiting shall be seen, not outlived."""
    monkeypatch.setattr("edgemm.streaming.stream.CLOSING_S", 1000)
    monkeypatch.setattr("edgemm.streaming.outlets.CLOSING_S", 1000)


def images(*values, name="image"):
    return [(10 * at, name, value) for at, value in enumerate(values)]


class Heard(Observer):
    """Keeps what it is told."""

    def __init__(self):
        self.errors, self.life = [], []

    def on_start(self, inputs):
        self.life.append(("start", *inputs))

    def on_error(self, where, error):
        self.errors.append((where, str(error)))

    def on_stop(self):
        self.life.append("stop")


# sources that break down


def test_a_source_that_breaks_down_does_not_stop_the_others(stream, script, fake_model):
    model = fake_model()
    broken = script((0, "text", "t"), error=SourceError("the line is dead"))
    made = stream(model, script(*images(1, 2, 3)), broken)
    results = list(made)
    assert [value for name, value, _ in results if name == "image"] == [1, 2, 3]
    assert made.failures == {"text": "the line is dead"}


def test_a_source_that_breaks_down_is_told_with_all_its_inputs(stream, script, fake_model):
    heard = Heard()
    broken = script((0, "image", 1), inputs=["image", "audio"], error=SourceError("torn"))
    made = stream(fake_model(), broken, observer=heard)
    list(made)
    assert made.failures == {"image": "torn", "audio": "torn"}
    assert heard.errors == [("image, audio", "torn")]


def test_the_scheduler_learns_why_each_input_ended(stream, script, fake_model):
    model = fake_model()
    broken = script((0, "text", "t"), error=SourceError("torn"))
    made = stream(model, script(*images(1)), broken)
    list(made)
    made.close()
    assert model.scheduler.ended == {"image": "ended", "text": "broke down"}


@pytest.mark.parametrize("ask", [list, lambda made: made.wait(10)])
def test_a_source_that_cannot_be_opened_is_raised_where_results_are_read(stream, script, fake_model, ask):
    made = stream(fake_model(), script(error=SourceError("no such camera")))
    with pytest.raises(SourceError, match="no such camera"):
        ask(made)


def test_a_source_that_cannot_be_opened_ends_the_others(stream, script, fake_model):
    working = script(*images(1), hang=True)
    made = stream(fake_model(), working, script(inputs=["text"], error=SourceError("no such file")))
    with pytest.raises(SourceError, match="no such file"):
        list(made)


def test_any_exception_of_a_source_becomes_a_source_error(stream, script, fake_model):
    made = stream(fake_model(), script(error=ValueError("nonsense")))
    with pytest.raises(SourceError, match=r"^ValueError: nonsense$"):
        list(made)


def test_with_allow_missing_a_source_that_cannot_be_opened_is_done_without(stream, script, fake_model):
    missing = script(inputs=["text"], error=SourceError("no such file"))
    made = stream(fake_model(), script(*images(1, 2)), missing, allow_missing=True)
    assert [value for _, value, _ in made] == [1, 2]
    assert made.failures == {"text": "no such file"}


def test_waiting_that_gives_up_raises_nothing(stream, script, fake_model, gate):
    made = stream(fake_model(), script(gate, error=SourceError("later")))
    assert made.wait(0.01) is False
    gate.open()
    with pytest.raises(SourceError, match="later"):
        made.wait(10)


# models that fail


def test_a_model_that_fails_ends_the_stream_with_its_reason(stream, script, fake_model):
    def fail(name, value):
        raise ZeroDivisionError("by nothing")

    made = stream(fake_model(on_push=fail), script(*images(1), hang=True))
    with pytest.raises(EdgeMMError, match=r"^the model failed: ZeroDivisionError: by nothing$"):
        list(made)


def test_an_error_that_says_what_is_wrong_is_raised_as_it_is(stream, script, fake_model):
    def fail(name, value):
        raise BundleError("an engine is missing")

    made = stream(fake_model(on_push=fail), script(*images(1)))
    with pytest.raises(BundleError, match=r"^an engine is missing$"):
        list(made)


def test_a_model_that_fails_stops_its_sources(stream, script, fake_model, gate, waits_in, thread_named):
    def fail(name, value):
        gate()
        raise ZeroDivisionError

    source = script(*images(*range(200)))
    made = stream(fake_model(on_push=fail), source)
    waits_in(thread_named("edgemm-image"), "put")
    gate.open()
    assert source.ended.wait(10), "it would wait for room that nobody makes"
    with pytest.raises(EdgeMMError):
        list(made)


def test_what_a_model_answered_before_it_failed_is_delivered(stream, script, fake_model):
    def fail(name, value):
        if value == 3:
            raise ZeroDivisionError

    got = []
    made = stream(fake_model(on_push=fail), script(*images(1, 2, 3)))
    with pytest.raises(EdgeMMError):
        got.extend(made)  # a list takes what came before the error
    assert [value for _, value, _ in got] == [1, 2]


# closing


def test_closing_ends_every_thread_and_closes_every_source(script, fake_model):
    before = set(threading.enumerate())
    sources = [script(*images(1), hang=True), script(inputs=["text"], live=True, hang=True)]
    stream = Stream(fake_model(), sources, sinks=[])
    stream.close()
    assert [source.closed for source in sources] == [1, 1]
    assert set(threading.enumerate()) <= before


def test_closing_releases_a_source_that_waits_for_the_model(stream, script, fake_model, gate):
    source = script(*images(*range(200)))
    made = stream(fake_model(on_push=gate), source)
    gate.reached()
    closing = threading.Thread(target=made.close)
    closing.start()
    assert source.ended.wait(10), "it would wait for ever for room"
    gate.open()
    closing.join(10)
    assert len(source.delivered) < 200


def test_closing_releases_a_model_that_waits_for_a_reader(
    stream, script, fake_model, background, waits_in, thread_named
):
    model = fake_model()
    made = stream(model, script(*images(*range(1000))))
    waits_in(thread_named("edgemm-model"), "put")
    background(made.close).end()
    assert list(made) == []
    assert not any(thread.name == "edgemm-model" for thread in threading.enumerate())
    assert len(model.scheduler.pushed) < 1000


def test_closing_does_not_wait_for_ever_for_a_source_that_hangs(
    stream, script, fake_model, gate, background, monkeypatch
):
    monkeypatch.setattr("edgemm.streaming.stream.CLOSING_S", 0.01)
    made = stream(fake_model(), script(gate))
    gate.reached()
    background(made.close).end()


def test_a_closed_stream_has_no_more_results(stream, script, fake_model):
    made = stream(fake_model(), script(*images(1, 2, 3)))
    made.wait(10)
    made.close()
    assert list(made) == []


def test_a_stream_may_be_closed_again(stream, script, fake_model):
    source = script(*images(1))
    made = stream(fake_model(), source)
    made.close()
    made.close()
    assert source.ended.is_set()


def test_a_callback_may_close_its_own_stream(script, fake_model):
    closed, ready = threading.Event(), threading.Event()

    def close(result):
        assert ready.wait(10)
        stream.close()
        closed.set()

    stream = Stream(fake_model(), [script(*images(1, 2))], consumers=[close], realtime=False)
    ready.set()
    assert closed.wait(10)
    assert stream.muted == {}
    stream.close()


def test_a_source_that_cannot_be_closed_is_recorded_and_the_others_are_closed(stream, script, fake_model):
    stuck = script(inputs=["image", "audio"], close_error=OSError("stuck"))
    other = script(inputs=["text"])
    made = stream(fake_model(), stuck, other)
    made.wait(10)
    made.close()
    assert made.failures == {"image": "stuck", "audio": "stuck"}
    assert other.closed == 1


@pytest.mark.parametrize("own", [True, False])
def test_a_stream_closes_the_model_only_if_it_opened_it(script, fake_model, own):
    model = fake_model()
    Stream(model, [script(*images(1))], close_model=own).close()
    assert model.closed == own


def test_a_model_stays_open_unless_the_stream_is_told_to_close_it(script, fake_model):
    model = fake_model()
    Stream(model, [script(*images(1))]).close()
    assert model.closed == 0


def test_closing_waits_until_the_sinks_are_closed(stream, script, fake_model, gate, sink_of, background, waits_in):
    class Slow(sink_of):
        def write(self, result):
            gate()

    sink = Slow()
    made = stream(fake_model(), script(*images(1)), sinks=[sink])
    gate.reached()
    closer = background(made.close)
    waits_in(closer, "close")
    assert sink.closed == 0
    gate.open()
    closer.end()
    assert sink.closed == 1


def test_a_forgotten_stream_does_not_keep_the_program_alive(stream, script, fake_model, thread_named):
    stream(fake_model(), script(*images(1), hang=True))
    assert thread_named("edgemm-image").daemon
    assert thread_named("edgemm-model").daemon


def test_leaving_the_context_closes(script, fake_model):
    source = script(*images(1), hang=True)
    with Stream(fake_model(), [source]) as stream:
        assert isinstance(stream, Stream)
        assert source.closed == 0
    assert source.closed == 1


def test_a_sink_that_has_enough_ends_the_stream(stream, script, fake_model):
    class Three:
        finished = False

        def __init__(self):
            self.got = []

        def write(self, result):
            self.got.append(result)
            self.finished = len(self.got) == 3

        def close(self):
            self.closed = True

    sink, source = Three(), script(*images(1, 2, 3, 4, 5), hang=True)
    made = stream(fake_model(), source, sinks=[sink])
    assert made.wait(10)
    made.close()
    assert [value for _, value, _ in sink.got] == [1, 2, 3]
    assert sink.closed


# what is told


def test_an_observer_hears_of_start_and_stop(stream, script, fake_model):
    heard = Heard()
    made = stream(fake_model(), script(*images(1)), script(inputs=["audio", "text"]), observer=heard)
    list(made)
    made.close()
    assert heard.life == [("start", "image", "audio", "text"), "stop"]


def test_a_callback_that_raises_is_muted_and_the_stream_goes_on(stream, script, fake_model):
    def bad(result):
        calls.append(result)
        raise RuntimeError("no more")

    calls, got = [], []
    made = stream(fake_model(), script(*images(1, 2, 3)), consumers=[bad, got.append])
    with pytest.raises(SinkError, match=r"bad raised, and got no more results: RuntimeError: no more"):
        made.wait(10)
    assert len(calls) == 1
    assert len(got) == 3
    assert [error for name, error in made.muted.items() if name.endswith("bad")] == ["RuntimeError: no more"]


def test_what_is_muted_cannot_be_changed_from_outside(stream, script, fake_model):
    made = stream(fake_model(), script(*images(1)))
    made.muted["x"] = "y"
    assert made.muted == {}
