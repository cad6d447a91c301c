"""Nothing is lost without a word: counted by cause, told to who asks, raised by `wait`, and in the log; silent unless logging is set up."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from edgemm.errors import EdgeMMError, InputError, SinkError, SourceError, UnknownNameError, UsageError
from edgemm.streaming.inbox import Inbox
from edgemm.streaming.interfaces import Observer
from edgemm.streaming.sources import sources_from_inputs
from edgemm_plugins.inputs.text import Text


@pytest.fixture
def stream(stream):
    """Streams that run as fast as they can."""
    return lambda model, *sources, **options: stream(model, *sources, **{"realtime": False, **options})


def logged(caplog, level):
    return [record.message for record in caplog.records if record.levelno == level]


# drops


def test_what_an_inbox_drops_itself_is_among_the_drops_of_its_stream(stream, fake_model):
    inbox = Inbox(limit=2)
    for number in range(5):
        inbox.put(number)
    source = inbox.source("text")
    inbox.close()
    made = stream(fake_model(), source)
    assert made.wait(10)
    assert made.drops == {"text": 3}
    assert made.drops_by_cause == {("text", "full in its source"): 3}


def test_drops_of_several_causes_are_told_apart_and_added_up(stream, script, fake_model):
    def push(name, value):
        if value == "odd":
            raise InputError("expected something else")

    model = fake_model(on_push=push)
    model.scheduler.late.update(image=2, text=0)
    source = script((0, "image", "odd"), (0, "image", "odd"), (0, "image", 1))
    source.dropped = 4
    made = stream(model, source)
    assert made.wait(10)
    assert made.drops_by_cause == {
        ("image", "does not fit"): 2,
        ("image", "late"): 2,
        ("image", "full in its source"): 4,
    }
    assert made.drops == {"image": 8}


@pytest.mark.parametrize("dropped", [None, "many"])
def test_a_source_that_counts_oddly_counts_as_nothing(stream, script, fake_model, dropped):
    source = script((0, "image", 1))
    source.dropped = dropped
    assert stream(fake_model(), source).drops == {}


@pytest.mark.parametrize("captured_ns", [1.5, "now", b"1"])
def test_an_inbox_refuses_a_time_that_is_none(captured_ns):
    with pytest.raises(UsageError, match=r"whole number of ns on time.monotonic_ns\(\), got (float|str|bytes)"):
        Inbox().put("a", captured_ns=captured_ns)


def test_a_source_of_an_input_that_the_model_has_not_is_refused(script):
    source = script(inputs=["text", "smell"])
    with pytest.raises(UnknownNameError, match="the source of 'text' delivers it too"):
        sources_from_inputs({"text": Text(8)}, {"text": source})


# who leaves


class Panic(BaseException):
    """As a library that is written in Rust raises it."""


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, Panic])
def test_a_source_that_leaves_or_panics_has_failed(stream, script, fake_model, kind):
    model = fake_model()
    made = stream(model, script((0, "image", 1), error=kind(3)))
    assert made.wait(10)
    made.close()
    assert made.failures == {"image": f"{kind.__name__}: 3"}
    assert model.scheduler.ended == {"image": "broke down"}


def test_a_source_that_leaves_at_once_is_raised(stream, script, fake_model):
    made = stream(fake_model(), script(error=SystemExit("no camera")))
    with pytest.raises(SourceError, match="SystemExit: no camera"):
        made.wait(10)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Panic])
def test_a_model_that_leaves_or_panics_ends_its_stream_with_the_reason(stream, script, fake_model, kind):
    def leave(name, value):
        raise kind("out")

    made = stream(fake_model(on_push=leave), script((0, "image", 1)))
    with pytest.raises(EdgeMMError, match=f"the model failed: {kind.__name__}: out"):
        made.wait(10)


@pytest.mark.parametrize("event", ["on_start", "on_packet", "on_result", "on_drop", "on_error", "on_stop"])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit("no")])
def test_an_observer_that_raises_or_leaves_in_any_callback_is_muted_and_the_stream_goes_on(
    stream, script, fake_model, event, error
):
    def callback(self, *words):
        raise error

    def push(name, value):
        if value == "odd":
            raise InputError("expected something else")

    observer = type("Bad", (Observer,), {event: callback})()
    made = stream(fake_model(on_push=push), script((0, "image", "odd"), (0, "image", 1)), observer=observer)
    assert [value for _, value, _ in made] == [1]
    made.close()
    assert list(made.muted.values()) == [f"{type(error).__name__}: no"]


# callbacks that raise


@pytest.mark.parametrize("error", [RuntimeError("no more"), SystemExit("no more"), Panic("no more")])
def test_a_callback_that_raises_is_raised_by_wait_once_the_others_have_everything(stream, script, fake_model, error):
    def bad(result):
        raise error

    got = []
    made = stream(fake_model(), script((0, "image", 1), (1, "image", 2)), consumers=[bad, got.append])
    with pytest.raises(
        SinkError, match=rf"bad raised, and got no more results: {type(error).__name__}: no more"
    ) as caught:
        made.wait(10)
    assert caught.value.__cause__ is error
    assert len(got) == 2


def test_a_sink_that_cannot_be_closed_is_raised_by_wait_too(stream, script, fake_model, sink_of):
    made = stream(fake_model(), script((0, "image", 1)), sinks=[sink_of(fails_to_close=OSError("gone"))])
    with pytest.raises(SinkError, match=r"Sink\.close raised, .*OSError: gone"):
        made.wait(10)


def test_of_several_failures_the_first_is_raised(stream, script, fake_model, sink_of):
    bad = sink_of(fails=RuntimeError("full"), fails_to_close=OSError("gone"))
    made = stream(fake_model(), script((0, "image", 1)), sinks=[bad])
    with pytest.raises(SinkError, match=r"Sink\.write raised, .*RuntimeError: full"):
        made.wait(10)
    assert list(made.muted) == ["Sink.write", "Sink.close"]


def test_waiting_that_gives_up_does_not_speak_of_callbacks(stream, script, fake_model, gate):
    def bad(result):
        raise RuntimeError

    made = stream(fake_model(), script((0, "image", 1), gate), consumers=[bad])
    gate.reached()
    assert made.wait(0.01) is False


def test_an_observer_that_raises_is_not_raised_by_wait(stream, script, fake_model):
    class Bad(Observer):
        def on_result(self, result):
            raise RuntimeError

    assert stream(fake_model(), script((0, "image", 1)), consumers=[id], observer=Bad()).wait(10)


# the log


def test_a_callback_that_raises_is_logged_with_its_traceback(stream, script, fake_model, caplog):
    def bad(result):
        raise RuntimeError("no more")

    made = stream(fake_model(), script((0, "image", 1)), consumers=[bad])
    with pytest.raises(SinkError):
        made.wait(10)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "bad raised, and is not called again: RuntimeError: no more" in record.message
    assert "raise RuntimeError" in caplog.text
    assert record.name == "edgemm.streaming"


def test_sources_that_break_down_and_nodes_that_fail_are_logged_without_credentials(stream, script, fake_model, caplog):
    model = fake_model()
    made = stream(model, script((0, "image", 1), error=ValueError("lost rtsp://ann:secret@camera/1")))
    assert made.wait(10)
    model.scheduler.on_failure("fusion", RuntimeError("out of memory"))
    assert any("input image broke down: ValueError: lost rtsp" in words for words in logged(caplog, logging.ERROR))
    assert "secret" not in caplog.text
    assert logged(caplog, logging.WARNING) == [
        "node 'fusion' failed, and is tried again later: RuntimeError: out of memory"
    ]


def test_nothing_that_a_plugin_says_forges_a_line_of_the_log_or_moves_a_cursor(stream, script, fake_model, caplog):
    made = stream(fake_model(), script((0, "image", 1), error=ValueError("lost\nERROR all is well\x1b[2J")))
    assert made.wait(10)
    assert logged(caplog, logging.ERROR) == ["input image broke down: ValueError: lost·ERROR all is well·[2J"]


def test_of_drops_the_first_of_each_input_and_cause_is_logged(stream, script, fake_model, gate, caplog):
    steps = [(0, name, 1) for name in ("image", "text") for _ in range(20)]
    source = script((0, "image", 0), gate.reached, *steps, live=True, zero_ns=0)
    made = stream(fake_model(on_push=gate), source)
    assert source.done.wait(10)
    gate.open()
    assert made.wait(10)
    assert logged(caplog, logging.WARNING) == [
        "input 'image': packets are dropped: full",
        "input 'text': packets are dropped: full",
    ]


def test_start_and_end_of_a_stream_are_logged_with_what_was_lost(stream, script, fake_model, caplog):
    caplog.set_level(logging.INFO)
    source = script((0, "image", 1))
    source.dropped = 4
    made = stream(fake_model(), source)
    assert made.wait(10)
    made.close()
    assert logged(caplog, logging.INFO) == [
        "stream of image starts",
        "stream ended; dropped: {('image', 'full in its source'): 4}",
    ]


@pytest.mark.parametrize(
    ("setup", "said"), [("", ""), ("import logging; logging.basicConfig()", "ERROR:edgemm.streaming:boo\n")]
)
def test_the_log_is_silent_unless_the_program_sets_logging_up(setup, said):
    code = f"{setup}\nfrom edgemm.log import logger\nlogger('streaming').error('boo')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", said)


def test_a_source_that_waits_for_its_device_says_why_its_input_is_absent(stream, fake_model, script):
    """Until something comes again: what is said of a time that is over would be wrong."""
    model = fake_model()
    source = script((0, "image", 1), lambda: setattr(source, "absent", "unplugged"), hang=True, live=True, zero_ns=0)
    beat = script(*((ms, "text", str(ms)) for ms in (0, 10, 20)), live=True, inputs=("text",), zero_ns=0)
    beat.packets = after(source.done, beat.packets)
    made = stream(model, source, beat)
    assert made is not None
    for _ in made:
        if model.scheduler.ended.get("image") == "unplugged":
            break
    assert model.scheduler.ended["image"] == "unplugged"


def after(event, packets):
    """Packets that begin once something has happened."""

    def later(stopped):
        event.wait(10)
        yield from packets(stopped)

    return later
