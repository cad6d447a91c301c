from __future__ import annotations

import numpy as np
import pytest

import edgemm

MS = 1_000_000


def frame(value):
    return np.full((2, 2, 3), value, np.uint8)


def test_a_failed_run_leaves_its_input_absent_until_the_next_good_one(three_inputs, monkeypatch):
    with edgemm.open(three_inputs()) as model:
        live = model.live()
        live.push("image", frame(10), 0)
        graph = live.nodes["image"]._graph
        with monkeypatch.context() as patched:

            def spoilt(buffer):
                buffer.values[0].fill(99)
                raise RuntimeError("out of memory")

            patched.setattr(graph, "run", spoilt)
            with pytest.raises(RuntimeError, match="out of memory"):
                live.push("image", frame(20), 10 * MS)
        assert live.tick(11 * MS).inputs["image"].state == "absent"
        assert live.push("image", frame(30), 20 * MS).outputs["answer"].scores[0] == pytest.approx(30)


def test_held_embedding_is_not_overwritten_by_what_was_not_recognised(three_inputs):
    with edgemm.open(three_inputs(audio={"hold": True, "stale_after_ms": 500.0})) as model:
        live = model.live()
        spoken = live.push("audio", np.full(20, 1.0, np.float32), 0).outputs["answer"].scores[0]
        for step in range(1, 8):
            live.push("audio", np.zeros(20, np.float32), step * 20 * MS)
        held = live.push("image", frame(0), 170 * MS)
        assert held.outputs["answer"].scores[0] == pytest.approx(spoken)
        assert held.inputs["audio"].age_ms > 0


def test_streams_of_one_model_do_not_share_what_they_hold(three_inputs):
    with edgemm.open(three_inputs()) as model:
        one, other = model.live(), model.live()
        one.push("text", "\x08", 0)
        other.push("text", "\x10", 0)
        assert one.push("image", frame(3), 1).outputs["answer"].scores[0] == pytest.approx(4)
        assert other.push("image", frame(3), 1).outputs["answer"].scores[0] == pytest.approx(5)
        assert one.push("image", frame(4), 2).outputs["answer"].scores[0] == pytest.approx(5)
