"""`edgemm.stream` on bundles: what goes in, what comes out, and who closes what."""

from __future__ import annotations

import time

import numpy as np
import pytest

import edgemm
from edgemm.errors import BundleError, SourceError, UnknownNameError, UsageError
from edgemm.streaming.interfaces import Observer
from edgemm.streaming.stream import Stream

MS = 1_000_000


def frame(value):
    return np.full((2, 2, 3), value, np.uint8)


def images(*values, step_ms=100):
    return [(index * step_ms, "image", frame(value)) for index, value in enumerate(values)]


def first_value(result):
    """The first number of the answer; None without one."""
    answer = result.outputs.get("answer")
    return None if answer is None else round(float(np.ravel(getattr(answer, "scores", answer))[0]), 3)


def answers(results):
    return [first_value(result) for result in results]


# what comes out


def test_recorded_sources_merge_in_order_of_capture(three_inputs, script):
    sound = [(at, "audio", np.ones(20, np.float32)) for at in range(0, 200, 20)]
    inputs = {"image": script(*images(10, 20, 30)), "audio": script(*sound)}
    with edgemm.stream(three_inputs(runs="tick(20)"), inputs, realtime=False) as results:
        got = [(result.at_ns // MS, first_value(result)) for result in results]
    # a block of sound counts from its first sample on, so the block of 40 to 60 ms is part of the answer at 50
    assert got == [(50, 10.6), (100, 11.0), (150, 21.0), (200, 21.0)]


def test_one_source_may_deliver_several_inputs(three_inputs, script):
    both = script((0, "image", frame(1)), (50, "text", "\x08"), (60, "text", "\x10"), (100, "image", frame(2)))
    with edgemm.stream(three_inputs(), {"image": both, "text": both}, realtime=False) as results:
        assert answers(results) == [1, 2, 3, 4]
    assert both.closed


def test_a_recorded_stream_takes_its_time_by_default(three_inputs, script):
    started = time.monotonic()
    with edgemm.stream(three_inputs(), {"image": script(*images(1, 2, 3))}) as results:
        assert answers(results) == [1, 2, 3]
    assert time.monotonic() - started >= 0.2, "the last frame is due after 200 ms, never before"


def test_as_fast_as_possible_an_hour_takes_a_moment(three_inputs, script):
    with edgemm.stream(three_inputs(), {"image": script(*images(1, 2, step_ms=3_600_000))}, realtime=False) as results:
        assert answers(results) == [1, 2]


def test_a_live_stream_counts_from_its_start(three_inputs):
    inbox = edgemm.Inbox()
    with edgemm.stream(three_inputs(), {"text": inbox}) as results:
        inbox.put("\x08", captured_ns=results.started_ns + 7 * MS)
        result = next(iter(results))
        assert first_value(result) == 1
        assert result.at_ns == 7 * MS


def test_answers_go_on_while_an_input_is_silent_and_say_so(three_inputs, script, clock):
    path = three_inputs(runs="tick(20)", image={"valid_for_ms": 100, "stale_after_ms": 50})
    silent = script(*images(7), hang=True)
    with edgemm.open(path) as model, Stream(model, [silent], clock=clock) as stream:
        assert silent.done.wait(10)
        results, states = iter(stream), []
        for _ in range(4):
            clock.ns += 50 * MS
            result = next(results)
            states.append((result.at_ns // MS, result.inputs["image"].state))
    assert states == [(50, "live"), (100, "stale"), (150, "absent"), (200, "absent")]


def test_a_source_that_breaks_down_does_not_stop_the_others(three_inputs, script):
    broken = script((0, "text", "\x08"), error=SourceError("the line is dead"))
    inputs = {"image": script(*images(1, 2, 3)), "text": broken}
    with edgemm.stream(three_inputs(), inputs, realtime=False) as results:
        assert answers(results)[-1] == 4
        assert results.failures == {"text": "the line is dead"}


def test_without_a_source_that_may_be_missing_the_others_answer(three_inputs, script):
    inputs = {"image": script(error=SourceError("no such camera")), "text": script((0, "text", "\x08"))}
    with edgemm.stream(three_inputs(), inputs, realtime=False, allow_missing=True) as results:
        assert answers(results) == [1]


def test_a_source_that_may_not_be_missing_is_raised(three_inputs, script):
    inputs = {"image": script(error=SourceError("no such camera"))}
    with (
        edgemm.stream(three_inputs(), inputs, realtime=False) as results,
        pytest.raises(SourceError, match="no such camera"),
    ):
        list(results)


def test_a_value_that_does_not_fit_is_dropped_counted_and_told_and_the_stream_goes_on(three_inputs, script):
    class Listener(Observer):
        def on_drop(self, input, cause):
            told.append((input, cause))

        def on_error(self, where, error):
            told.append((where, str(error)))

    told = []
    source = script((0, "image", frame(1)), (10, "image", np.zeros(3)), (20, "image", None), (30, "image", frame(2)))
    with edgemm.stream(three_inputs(), {"image": source}, observer=Listener(), realtime=False) as results:
        assert answers(results) == [1, 2]
    assert results.drops == {"image": 2}
    assert [word for word in told if "fit" in word[1]] == [("image", "does not fit")] * 2
    assert any("expected a frame" in words and "got float64 [3]" in words for _, words in told)


def test_a_failing_node_is_told_and_the_stream_goes_on(three_inputs, script, monkeypatch):
    class Broken:
        def __init__(self, runner):
            self.inputs, self.outputs = runner.inputs, runner.outputs

        def run(self, feeds):
            raise RuntimeError("out of memory")

        def close(self):
            pass

    class Listener(Observer):
        def on_error(self, where, error):
            told.append((where, str(error)))

    told = []
    source = script((0, "image", frame(1)), (10, "text", "\x08"))
    with edgemm.open(three_inputs()) as model:
        model.runners["image"] = Broken(model.runners["image"])
        inputs = {"image": source, "text": source}
        with edgemm.stream(model, inputs, observer=Listener(), realtime=False) as results:
            assert answers(results) == [1], "the fusion answers without the image"
            assert results.failing == {"image": "RuntimeError: out of memory"}
    assert told == [("node 'image'", "out of memory")]


# who gets the results


def test_a_callback_and_sinks_get_every_result(three_inputs, script):
    class Sink:
        def __init__(self):
            self.got, self.closed = [], False

        def write(self, result):
            self.got.append(first_value(result))

        def close(self):
            self.closed = True

    got, sink = [], Sink()
    with edgemm.stream(
        three_inputs(),
        {"image": script(*images(1, 2, 3))},
        on_result=lambda result: got.append(first_value(result)),
        sinks=[sink],
        realtime=False,
    ) as stream:
        assert stream.wait(10)
    assert got == sink.got == [1, 2, 3]
    assert sink.closed


def test_an_observer_is_told(three_inputs, script):
    class Listener(Observer):
        def on_start(self, inputs):
            heard.append(("start", *inputs))

        def on_result(self, result):
            heard.append(first_value(result))

    heard = []
    with edgemm.stream(three_inputs(), {"image": script(*images(1, 2))}, observer=Listener(), realtime=False) as stream:
        assert stream.wait(10)
    assert heard == [("start", "image"), 1, 2]


def test_seconds_end_a_stream(three_inputs, script):
    source = script(*images(1, 2, 3, 4))
    with edgemm.stream(three_inputs(), {"image": source}, realtime=False, seconds=0.2) as results:
        assert answers(results) == [1, 2]


# who closes what


def test_a_model_that_was_given_stays_open(three_inputs, script):
    with edgemm.open(three_inputs()) as model:
        with edgemm.stream(model, {"image": script(*images(1))}, realtime=False) as results:
            assert answers(results) == [1]
            assert results.model is model
        assert first_value(model.infer(image=frame(3))) == 3


def test_a_model_of_another_bundle_than_the_one_that_is_named_is_refused(three_inputs, script):
    with edgemm.open(three_inputs()) as model:
        with pytest.raises(BundleError, match=model.bundle.id):
            edgemm.stream(model, {"image": script(*images(1))}, trust=edgemm.Trust(id="0" * 64))
        edgemm.stream(model, {"image": script(*images(1))}, trust=edgemm.Trust(id=model.bundle.id)).close()


def test_a_bundle_that_was_opened_for_the_stream_is_closed_with_it(three_inputs, script):
    with edgemm.stream(three_inputs(), {"image": script(*images(1))}, realtime=False) as results:
        list(results)
    with pytest.raises(UsageError, match="closed"):
        results.model.infer(image=frame(3))


def test_a_stream_that_cannot_start_closes_its_sources(three_inputs, script):
    source = script(*images(1))
    with pytest.raises(TypeError):
        edgemm.stream(three_inputs(), {"image": source}, sinks=3)
    assert source.closed == 1


def test_a_bundle_opened_for_a_stream_that_cannot_start_is_closed(three_inputs, script, monkeypatch):
    opened = []

    def remember(*args, **options):
        opened.append(edgemm.open(*args, **options))
        return opened[-1]

    monkeypatch.setattr("edgemm.streaming.stream.open_bundle", remember)
    with pytest.raises(UnknownNameError):
        edgemm.stream(three_inputs(), {"imag": script()})
    with pytest.raises(UsageError, match="closed"):
        opened[0].infer(image=frame(3))


def test_a_model_that_was_given_stays_open_when_a_stream_cannot_start(three_inputs, script):
    with edgemm.open(three_inputs()) as model:
        with pytest.raises(UnknownNameError):
            edgemm.stream(model, {"imag": script()})
        assert first_value(model.infer(image=frame(3))) == 3


def test_options_of_opening_reach_the_bundle(three_inputs, script, monkeypatch):
    def remember(bundle, **options):
        asked.append(options)
        return edgemm.open(bundle)

    asked, trust = [], edgemm.Trust()
    monkeypatch.setattr("edgemm.streaming.stream.open_bundle", remember)
    path, inputs = three_inputs(), {"image": script(*images(1))}
    edgemm.stream(path, inputs, variant="fp32", provider="cuda", threads=2, trust=trust, realtime=False).close()
    edgemm.stream(path, inputs, realtime=False).close()
    assert asked[0] == {"variant": "fp32", "provider": "cuda", "threads": 2, "trust": trust}
    assert asked[1] == {"variant": "auto", "provider": "cpu", "threads": 1, "trust": trust}


# what cannot be asked for


def test_inputs_that_the_model_does_not_have(three_inputs, script):
    with pytest.raises(UnknownNameError, match="did you mean 'image'"):
        edgemm.stream(three_inputs(), {"imag": script()})


def test_a_uri_that_nothing_can_feed(three_inputs):
    with pytest.raises(UnknownNameError, match="unknown source scheme 'gopher'"):
        edgemm.stream(three_inputs(), {"image": "gopher:x"})


def test_no_input_at_all(three_inputs):
    with pytest.raises(UsageError, match="at least one input"):
        edgemm.stream(three_inputs(), {})


@pytest.mark.parametrize("seconds", [0, -1, 1e9, float("nan")])
def test_a_time_that_cannot_be_streamed(three_inputs, script, seconds):
    with pytest.raises(UsageError, match="seconds must be above 0"):
        edgemm.stream(three_inputs(), {"image": script(*images(1))}, seconds=seconds)


@pytest.mark.parametrize("seconds", [1e-6, 0.9e9])
def test_any_other_time_can_be_streamed(three_inputs, script, seconds):
    with edgemm.stream(three_inputs(), {"image": script(*images(1))}, realtime=False, seconds=seconds) as results:
        assert answers(results) == [1]
