from __future__ import annotations

import numpy as np
import pytest

import edgemm
from edgemm.runtime.schedule import Live

MS = 1_000_000


def frame(value):
    return np.full((2, 2, 3), value, np.uint8)


class Flaky:
    """A runner that fails when told to, after having written part of its outputs."""

    def __init__(self, runner):
        self.runner, self.inputs, self.outputs, self.broken = runner, runner.inputs, runner.outputs, False

    def run(self, feeds):
        if self.broken:
            raise RuntimeError("out of memory")
        return self.runner.run(feeds)


@pytest.fixture
def flaky(three_inputs):
    """A stream whose image encoder can be broken, and its runner."""
    with edgemm.open(three_inputs()) as model:
        runner = Flaky(model.runners["image"])
        told = []
        live = Live(model.graph, {**model.runners, "image": runner}, on_failure=lambda *words: told.append(words))
        yield live, runner, told


def test_a_failing_node_is_absent_with_the_reason_and_the_others_go_on(flaky):
    live, runner, told = flaky
    live.push("image", frame(10), 0)
    runner.broken = True
    result = live.push("image", frame(20), 10 * MS)
    assert result.inputs["image"] == ("absent", None, False, "failed: RuntimeError: out of memory")
    assert result.outputs == {}, "nothing else is there"
    assert live.failing == {"image": "RuntimeError: out of memory"}
    assert [(name, str(error)) for name, error in told] == [("image", "out of memory")]
    assert live.push("text", "\x08", 20 * MS).outputs["answer"][0] == pytest.approx(1)


def test_a_quarantined_node_is_tried_again_later_and_later(flaky):
    live, runner, told = flaky
    runner.broken = True
    for step in range(200):
        live.push("image", frame(20), step * 10 * MS)
    assert len(told) == 5, "after 0.1, 0.2, 0.4 and 0.8 s"
    runner.broken = False
    assert live.push("image", frame(30), 3100 * MS).outputs["answer"][0] == pytest.approx(30)
    assert live.failing == {}


def test_a_quarantine_ends_without_news_of_its_own(flaky):
    live, runner, _ = flaky
    runner.broken = True
    live.push("image", frame(10), 0)
    runner.broken = False
    result = live.push("text", "\x08", 200 * MS)
    assert result.outputs["answer"][0] == pytest.approx(11), "the image was tried again when the text came"


def test_held_embedding_is_not_overwritten_by_what_was_not_recognised(three_inputs):
    with edgemm.open(three_inputs(audio={"hold": True, "stale_after_ms": 500.0})) as model:
        live = model.live()
        spoken = live.push("audio", np.full(20, 1.0, np.float32), 0).outputs["answer"][0]
        for step in range(1, 8):
            live.push("audio", np.zeros(20, np.float32), step * 20 * MS)
        held = live.push("image", frame(0), 170 * MS)
        assert held.outputs["answer"][0] == pytest.approx(spoken)
        assert held.inputs["audio"].age_ms > 0


def test_streams_of_one_model_do_not_share_what_they_hold(three_inputs):
    with edgemm.open(three_inputs()) as model:
        one, other = model.live(), model.live()
        one.push("text", "\x08", 0)
        other.push("text", "\x10", 0)
        assert one.push("image", frame(3), 1).outputs["answer"][0] == pytest.approx(4)
        assert other.push("image", frame(3), 1).outputs["answer"][0] == pytest.approx(5)
        assert one.push("image", frame(4), 2).outputs["answer"][0] == pytest.approx(5)
