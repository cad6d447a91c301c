"""The shipped model on what it never met in training: images, voices, a synthesizer, paraphrases, and a long generated stream.

Fetches the handwritten digits and synthesizes the test voices once, into build/data (or $EDGEMM_DATA).
"""

from __future__ import annotations

import pytest
import torch

import edgemm
from edgemm_digit_desk.clip.make import write_stream
from edgemm_digit_desk.scoring import read_truth, score_stream
from edgemm_digit_desk.shipped import Shipped
from edgemm_digit_desk.sound.speech import held_out_voices, prepare_speech
from edgemm_digit_desk.task import build

pytestmark = pytest.mark.slow
ROWS = 2000


@pytest.fixture(scope="module")
def data(real_data):
    missing = prepare_speech(real_data / "speech", synthesizers=("espeak", "flite"))
    if "espeak" in missing:
        pytest.skip(f"no test voices: {missing['espeak']}")
    return real_data


@pytest.fixture(scope="module")
def in_fp32(data):
    torch.set_num_threads(1)
    return edgemm.evaluate(Shipped().checkpoint, data=data, count=ROWS)


def test_the_model_reaches_every_bar_on_unseen_data(in_fp32):
    assert in_fp32.passed, str(in_fp32)
    assert {result.name for result in in_fp32.sets} >= {"centred", "varied"}
    needs_both = [g for g in in_fp32.sets[0].groups if g.without["image"] < 0.9 and g.without["audio"] < 0.9]
    assert len(needs_both) >= 0.7 * len(in_fp32.sets[0].groups), "most instructions need the image and the sound"


def test_int8_stays_within_a_point(in_fp32, data, bundle):
    in_int8 = edgemm.evaluate(bundle, data=data, count=ROWS, variant="int8")
    for full, quantized in zip(in_fp32.sets, in_int8.sets, strict=True):
        assert quantized.accuracy >= full.accuracy - 0.01, (
            f"{full.title}: {full.accuracy:.4f} -> {quantized.accuracy:.4f}"
        )


def test_a_stream_of_two_hundred_unseen_questions(data, bundle, tmp_path):
    task = build(data)
    clip = tmp_path / "stream.mp4"
    write_stream(task, held_out_voices(task.speech_folder), clip, 200, 2000)
    inputs = {"image": str(clip), "audio": str(clip), "text": str(clip.with_suffix(".srt"))}
    with edgemm.stream(bundle, inputs, realtime=False) as results:
        score = score_stream(results, read_truth(clip.with_suffix(".jsonl")))
    assert len(score.intervals) >= 200
    assert score.interval_accuracy >= 0.93, f"{score.interval_accuracy:.3f}"
