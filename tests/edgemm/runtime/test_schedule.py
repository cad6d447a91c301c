from __future__ import annotations

import numpy as np
import pytest

import edgemm
from edgemm.errors import InputError, NotFiniteError, UnknownNameError
from edgemm.testing.faults import NotFiniteRunner

MS = 1_000_000


def frame(value):
    return np.full((2, 2, 3), value, np.uint8)


def tone(value, samples=20):
    return np.full(samples, value, np.float32)


def test_infer_uses_any_subset(three_inputs):
    with edgemm.open(three_inputs()) as model:
        result = model.infer(image=frame(10))
        assert result.outputs["answer"][0] == pytest.approx(10)
        assert {n: s.state for n, s in result.inputs.items()} == {"image": "live", "audio": "absent", "text": "absent"}
        both = model.infer(image=frame(10), audio=tone(0.5, 100))
        assert both.outputs["answer"][0] == pytest.approx(10.5)


def test_silence_counts_as_absent(three_inputs):
    with edgemm.open(three_inputs()) as model:
        state = model.infer(image=frame(1), audio=tone(0.0, 100)).inputs["audio"]
        assert (state.state, state.reason) == ("absent", "nothing recognised")


def test_infer_without_anything_or_with_an_unknown_input(three_inputs):
    with edgemm.open(three_inputs()) as model:
        with pytest.raises(InputError, match="at least one of image, audio, text"):
            model.infer()
        with pytest.raises(UnknownNameError, match="did you mean 'image'"):
            model.infer(imge=frame(1))


def test_push_answers_on_arrival_with_the_latest_of_the_others(three_inputs):
    with edgemm.open(three_inputs()) as model:
        live = model.live()
        assert live.push("image", frame(10), 0).outputs["answer"][0] == pytest.approx(10)
        assert live.push("audio", tone(1.0, 10), 0) is None, "half a hop is not a window"
        result = live.push("audio", tone(1.0, 10), 10 * MS)
        assert result.outputs["answer"][0] == pytest.approx(10.2), "20 of the window's 100 samples are 1"
        assert result.at_ns == 20 * MS
        assert result.inputs["image"] == ("live", pytest.approx(20.0), True, "")
        assert result.inputs["audio"].hit is False
        assert result.outputs["answer"][1] == pytest.approx(20.0), "ages reach the fusion in ms"


def test_pushing_one_hop_at_a_time_equals_pushing_all(three_inputs):
    with edgemm.open(three_inputs()) as model:
        sound = np.linspace(0.1, 1, 400, dtype=np.float32)
        one, many = model.live(), model.live()
        last = one.push("audio", sound, 0)
        for start in range(0, 400, 7):
            block = many.push("audio", sound[start : start + 7], start * MS) or last
        assert block.outputs["answer"][0] == last.outputs["answer"][0]
        expected = sound[-100:].mean()
        assert last.outputs["answer"][0] == pytest.approx(expected, rel=1e-5)


def test_text_is_encoded_on_change_only(three_inputs):
    with edgemm.open(three_inputs()) as model:
        live = model.live()
        assert live.push("text", "ab", 0) is not None
        assert live.push("text", "ab", 500 * MS) is None
        result = live.push("image", frame(0), 600 * MS)
        assert result.inputs["text"].age_ms == pytest.approx(100), "said again, so its age starts anew"
        assert live.push("text", "ac", 700 * MS) is not None


def test_late_packets_are_counted_and_refused(three_inputs):
    with edgemm.open(three_inputs()) as model:
        live = model.live()
        live.push("image", frame(1), 10)
        assert live.push("image", frame(2), 5) is None
        assert live.late["image"] == 1


def test_results_belong_to_the_caller(three_inputs):
    with edgemm.open(three_inputs()) as model:
        live = model.live()
        first = live.push("image", frame(1), 0).outputs["answer"]
        live.push("image", frame(200), 1)
        live.push("image", frame(201), 2)
        assert first[0] == pytest.approx(1)


def test_barrier_waits_for_all(three_inputs):
    with edgemm.open(three_inputs(policy="barrier")) as model:
        live = model.live()
        assert live.push("image", frame(1), 0) is None
        assert live.push("text", "x", 0) is None
        assert live.push("audio", tone(0.5), 0) is not None
        assert live.push("image", frame(1), 30 * MS) is None


def test_reference_takes_only_what_is_near(three_inputs):
    with edgemm.open(three_inputs(policy="reference(image, 50)")) as model:
        live = model.live()
        assert live.push("text", "\x01", 0) is None
        near = live.push("image", frame(8), 40 * MS).outputs["answer"][0]
        far = live.push("image", frame(8), 60 * MS).outputs["answer"][0]
        assert (near, far) == (pytest.approx(8 + 1 / 8), pytest.approx(8))


def test_ticks_follow_the_clock_of_what_is_pushed(three_inputs):
    with edgemm.open(three_inputs(runs="tick(10)")) as model:
        live = model.live()
        assert live.push("image", frame(1), 0) is None
        assert live.push("image", frame(2), 90 * MS) is None
        result = live.push("image", frame(3), 100 * MS)
        assert result.at_ns == 100 * MS
        assert result.outputs["answer"][0] == pytest.approx(2), "what came up to the deadline, not after it"
        results = list(live.advance(450 * MS))
        assert [r.at_ns // MS for r in results] == [200, 300, 400]


def test_tick_without_any_input_predicts_nothing(three_inputs):
    with edgemm.open(three_inputs()) as model:
        result = model.live().tick(0)
        assert result.outputs == {}
        assert {s.state for s in result.inputs.values()} == {"absent"}


def test_held_sound_ages_then_expires(three_inputs):
    options = {"hold": True, "valid_for_ms": 200, "stale_after_ms": 100}
    with edgemm.open(three_inputs(runs="tick(20)", audio=options)) as model:
        live = model.live()
        live.push("audio", tone(1.0, 20), 0)
        results = [live.push("audio", tone(0.0, 20), step * 20 * MS) for step in range(1, 25)]
        by_time = {r.at_ns // MS: r.inputs["audio"] for r in results if r is not None}
        assert by_time[100].state == "live"
        assert by_time[250].state == "stale"
        assert by_time[250].age_ms == pytest.approx(150), "the last window that held any sound ended at 100 ms"
        assert (by_time[400].state, by_time[400].reason) == ("absent", "nothing recognised")


def test_ended_input_ages_like_a_missing_one(three_inputs):
    with edgemm.open(three_inputs(image={"valid_for_ms": 100})) as model:
        live = model.live()
        live.push("image", frame(1), 0)
        live.end("image")
        assert live.tick(50 * MS).inputs["image"].state == "live"
        assert live.tick(150 * MS).inputs["image"].reason in ("expired", "ended")


def test_one_monolithic_node(one_node):
    with edgemm.open(one_node) as model:
        live = model.live()
        a, b = np.array([1, 2, 3], np.float32), np.array([0, 0, 9], np.float32)
        assert live.push("a", a, 0) is None, "not yet: the node needs both"
        result = live.push("b", b, 1)
        assert result.outputs["answer"].label == "z"
        assert model.infer(a=a, b=b).outputs["answer"].scores.tolist() == [1, 2, 12]


def test_wrong_frames_say_what_was_expected(three_inputs):
    with edgemm.open(three_inputs()) as model:
        live = model.live()
        for wrong in (np.zeros((2, 2), np.float32), np.zeros((2, 2, 4), np.uint8), "frame"):
            with pytest.raises(InputError, match="expected a frame"):
                live.push("image", wrong, 0)
        with pytest.raises(InputError, match="takes sound at 1000 Hz, got 44100 Hz"):
            live.push("audio", edgemm.Sound(tone(1.0), 44100), 0)
        with pytest.raises(UnknownNameError, match="unknown input 'depth'"):
            live.push("depth", frame(1), 0)


def test_a_zip_and_a_folder_are_the_same_bundle(three_inputs):
    with edgemm.open(three_inputs(zipped=True)) as model:
        assert model.infer(image=frame(7)).outputs["answer"][0] == pytest.approx(7)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_no_answer(three_inputs, value):
    with edgemm.open(three_inputs()) as model:
        model.runners["fusion"] = NotFiniteRunner(model.runners["fusion"], first=1, value=value)
        frame = np.full((2, 2, 3), 9, np.uint8)
        assert model.infer(image=frame).outputs
        with pytest.raises(NotFiniteError, match=r"output '\w+' of 'three' is not finite \(NaN or infinity\)"):
            model.infer(image=frame)
