"""The threaded stream on sources made here: order, pacing, failures, ends, and who gets the results."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import edgemm
from edgemm.errors import EdgeMMError, SourceError, UnknownNameError, UsageError
from edgemm.host.interfaces import Packet
from edgemm.streaming.interfaces import Observer

MS = 1_000_000


class Script:
    """A source that delivers (time in ms, input, value) and then may fail."""

    def __init__(self, *packets, live=False, error=None, hang=False):
        self.inputs = tuple(dict.fromkeys(name for _, name, _ in packets)) or ("image",)
        self.live = live
        self.closed = False
        self._packets, self._error, self._hang = packets, error, hang

    def packets(self, stopped):
        for index, (at_ms, name, value) in enumerate(self._packets):
            stamp = time.monotonic_ns() if self.live else at_ms * MS
            yield Packet(name, value, stamp, index)
        if self._error:
            raise self._error
        while self._hang and not stopped():
            time.sleep(0.005)

    def close(self):
        self.closed = True


def frame(value):
    return np.full((2, 2, 3), value, np.uint8)


def images(*values, step_ms=100):
    return [(index * step_ms, "image", frame(value)) for index, value in enumerate(values)]


def answers(results):
    return [round(float(r.outputs["answer"][0]), 3) if r.outputs else None for r in results]


def test_recorded_sources_merge_in_order_of_capture(three_inputs):
    sound = [(at, "audio", np.ones(20, np.float32)) for at in range(0, 200, 20)]
    inputs = {"image": Script(*images(10, 20, 30)), "audio": Script(*sound)}
    runs = []
    for _ in range(2):
        inputs = {"image": Script(*images(10, 20, 30)), "audio": Script(*sound)}
        with edgemm.stream(three_inputs(runs="tick(20)"), inputs, realtime=False) as results:
            runs.append([(r.at_ns // MS, answers([r])[0]) for r in results])
    assert runs[0] == runs[1], "a recorded stream is reproducible"
    # a block of sound counts from its first sample on, so the block of 40 to 60 ms is part of the answer at 50
    assert runs[0][:4] == [(50, 10.6), (100, 11.0), (150, 21.0), (200, 21.0)]


def test_one_source_may_deliver_several_inputs(three_inputs):
    both = Script(*sorted([*images(1, 2), (50, "text", "\x08"), (60, "text", "\x10")], key=lambda p: p[0]))
    with edgemm.stream(three_inputs(), {"image": both, "text": both}, realtime=False) as results:
        assert answers(results) == [1, 2, 3, 4]
    assert both.closed


def test_recorded_sources_are_paced_in_real_time(three_inputs):
    started = time.monotonic()
    with edgemm.stream(three_inputs(), {"image": Script(*images(1, 2, 3))}) as results:
        assert answers(results) == [1, 2, 3]
    assert time.monotonic() - started >= 0.2, "the last frame is due after 200 ms, never before"


def test_ticks_go_on_while_an_input_is_silent_and_say_so(three_inputs):
    path = three_inputs(runs="tick(50)", image={"valid_for_ms": 100, "stale_after_ms": 50})
    with edgemm.stream(path, {"image": Script(*images(7), hang=True)}, seconds=0.4) as results:
        states = [r.inputs["image"].state for r in results]
    assert states[0] == "live"
    assert "stale" in states
    assert states[-1] == "absent"


def test_a_source_that_breaks_down_does_not_stop_the_others(three_inputs):
    broken = Script(*[(0, "text", "\x08")], error=SourceError("the line is dead"))
    with edgemm.stream(three_inputs(), {"image": Script(*images(1, 2, 3)), "text": broken}, realtime=False) as results:
        assert answers(results)[-1] == 4
        assert results.failures == {"text": "the line is dead"}


def test_a_source_that_cannot_be_opened_is_raised(three_inputs):
    path = three_inputs()
    with (
        pytest.raises(SourceError, match="no such camera"),
        edgemm.stream(path, {"image": Script(error=SourceError("no such camera"))}, realtime=False) as results,
    ):
        list(results)
    inputs = {"image": Script(error=SourceError("no such camera")), "text": Script((0, "text", "\x08"))}
    with edgemm.stream(path, inputs, realtime=False, allow_missing=True) as results:
        assert answers(results) == [1]


def test_a_wrong_frame_ends_the_stream_with_its_reason(three_inputs):
    with (
        pytest.raises(EdgeMMError, match="expected a frame"),
        edgemm.stream(three_inputs(), {"image": Script((0, "image", np.zeros(3)))}, realtime=False) as results,
    ):
        list(results)


def test_callbacks_run_on_their_own_thread_and_are_muted_when_they_raise(three_inputs):
    got, errors = [], []

    class Listener(Observer):
        def on_error(self, where, error):
            errors.append(str(error))

    def good(result):
        got.append((threading.current_thread().name, answers([result])[0]))

    class Bad:
        def write(self, result):
            raise RuntimeError("disk full")

        def close(self):
            got.append("closed")

    with edgemm.stream(
        three_inputs(),
        {"image": Script(*images(1, 2, 3))},
        on_result=good,
        sinks=[Bad()],
        observer=Listener(),
        realtime=False,
    ) as stream:
        assert stream.wait(10)
    assert got == [("edgemm-sinks", 1), ("edgemm-sinks", 2), ("edgemm-sinks", 3), "closed"]
    assert errors == ["disk full"]


def test_live_sources_drop_the_oldest_and_count(three_inputs):
    class Flood:
        inputs = ("image",)
        live = True

        def packets(self, stopped):
            for index in range(200):
                yield Packet("image", frame(index), time.monotonic_ns(), index)

        def close(self):
            pass

    def slow(result):
        time.sleep(0.001)

    with edgemm.stream(three_inputs(), {"image": Flood()}, on_result=slow) as stream:
        assert stream.wait(20)
        assert stream.drops.get("image", 0) + stream.drops.get("results", 0) < 200


def test_an_inbox_feeds_a_stream(three_inputs):
    inbox = edgemm.Inbox()
    with edgemm.stream(three_inputs(), {"text": inbox}) as results:
        inbox.put("\x08")
        result = next(iter(results))
        assert result.outputs["answer"][0] == pytest.approx(1)
        inbox.close()


def test_closing_ends_everything(three_inputs):
    source = Script(*images(1), hang=True)
    before = threading.active_count()
    stream = edgemm.stream(three_inputs(), {"image": source})
    next(iter(stream))
    stream.close()
    assert source.closed
    assert threading.active_count() == before


def test_inputs_that_do_not_exist(three_inputs):
    path = three_inputs()
    with pytest.raises(UnknownNameError, match="did you mean 'image'"):
        edgemm.stream(path, {"imag": Script()})
    with pytest.raises(UnknownNameError, match="unknown source scheme 'gopher'"):
        edgemm.stream(path, {"image": "gopher:x"})
    with pytest.raises(UsageError, match="cannot feed an input of modality 'image'"):
        edgemm.stream(path, {"image": "stdin:"})
    with pytest.raises(UsageError, match="at least one input"):
        edgemm.stream(path, {})
    with pytest.raises(UsageError, match="expected a URI"):
        edgemm.stream(path, {"image": 3})
