"""Closing is bounded in all, whoever is stuck: sources, the model, sinks; nobody waits for one after another."""

from __future__ import annotations

import threading

import pytest

from edgemm.streaming.outlets import join


@pytest.fixture
def soon(monkeypatch):
    """Closing gives up at once."""
    monkeypatch.setattr("edgemm.streaming.stream.CLOSING_S", 0.01)
    monkeypatch.setattr("edgemm.streaming.outlets.CLOSING_S", 0.01)


def names():
    return {thread.name for thread in threading.enumerate()}


def test_a_source_whose_close_is_stuck_holds_up_neither_the_closing_nor_the_others(
    soon, stream, script, fake_model, gate, background, eventually
):
    class Stuck(script):
        def close(self):
            gate()
            super().close()

    stuck, other = Stuck((0, "image", 1), hang=True), script(inputs=["text"], hang=True)
    made = stream(fake_model(), stuck, other)
    background(made.close).end()
    eventually(lambda: other.closed == 1, "the other was not closed")


def test_stuck_threads_are_waited_for_within_one_time(monkeypatch):
    class Thread:
        def join(self, timeout_s):
            waited.append(timeout_s)

        def is_alive(self):
            return True

    waited = []
    monkeypatch.setattr("edgemm.streaming.outlets.monotonic", lambda: sum(waited))
    assert join([Thread(), Thread(), Thread()], 2.0) is False
    assert sum(waited) == pytest.approx(2.0)
    assert max(waited) <= 0.2, "in short steps, so that Ctrl-C is heard"


def test_threads_that_have_ended_are_not_waited_for(background):
    thread = background(lambda: None)
    thread.end()
    assert join([thread, threading.current_thread()], 0) is True


def test_all_of_a_closing_takes_two_seconds_at_most(stream, script, fake_model, monkeypatch):
    asked = []
    monkeypatch.setattr("edgemm.streaming.stream.join", lambda threads, timeout_s: asked.append(timeout_s))
    monkeypatch.setattr("edgemm.streaming.stream.monotonic", lambda: sum(asked))
    made = stream(fake_model(), script((0, "image", 1)))
    assert made.wait(10)
    close = made._outlet.close
    monkeypatch.setattr(made._outlet, "close", lambda timeout_s: asked.append(timeout_s) or close())
    made.close()
    assert asked == [1.5, 0.5]


def test_closing_says_what_it_did_not_wait_for(soon, stream, script, fake_model, gate, background, caplog):
    made = stream(fake_model(), script(gate), consumers=[lambda result: None])
    gate.reached()
    background(made.close).end()
    assert "closed without waiting for what is stuck: edgemm-image" in caplog.messages


def test_a_stuck_sink_is_named_too(soon, stream, script, fake_model, gate, background, caplog):
    made = stream(fake_model(), script((0, "image", 1)), consumers=[gate])
    gate.reached()
    background(made.close).end()
    assert "closed without waiting for what is stuck: a sink" in caplog.messages


def test_a_closing_that_has_waited_for_all_says_nothing(stream, script, fake_model, caplog):
    made = stream(fake_model(), script((0, "image", 1), hang=True))
    made.close()
    assert not any("stuck" in message for message in caplog.messages)


def test_a_model_that_is_in_the_middle_of_a_run_is_closed_by_its_own_thread_afterwards(
    soon, stream, script, fake_model, gate, background, eventually
):
    model = fake_model(on_push=gate)
    made = stream(model, script((0, "image", 1)), close_model=True)
    gate.reached()
    background(made.close).end()
    assert model.closed == 0, "nobody frees what is running"
    gate.open()
    eventually(lambda: model.closed == 1, "it was never closed")


def test_a_source_that_leaves_instead_of_closing_is_recorded(stream, script, fake_model):
    made = stream(fake_model(), script((0, "image", 1), close_error=SystemExit("enough")))
    assert made.wait(10)
    made.close()
    assert made.failures == {"image": "enough"}
