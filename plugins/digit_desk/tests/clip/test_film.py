"""Films of questions: the plan, the truth beside them, and that sound and picture are where the truth says."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from edgemm_digit_desk.clip.film import Question, plan_questions, sound_track, subtitles, truth_lines, write_clip
from edgemm_digit_desk.clip.mp4 import SOUND_RATE_HZ
from edgemm_digit_desk.clip.painters import DeskScene, VariedFrames
from edgemm_digit_desk.images.digits import Digits
from edgemm_digit_desk.instructions import NAMES, needs
from edgemm_digit_desk.sound.speech import Clips

PHRASES = [[f"{name} one", f"{name} two"] for name in NAMES]


def plan(count: int, drawn: Digits, spoken: Clips, seed: int = 0) -> list[Question]:
    return plan_questions(count, PHRASES, drawn.test_labels, spoken, seed)


def test_questions_show_and_say_what_they_plan(drawn: Digits, spoken: Clips) -> None:
    for question in plan(100, drawn, spoken):
        if question.seen is not None:
            assert drawn.test_labels[question.picture] == question.seen
        if question.heard is not None:
            assert spoken.words[question.word] == question.heard
            assert 0.2 <= question.word_begin_s - question.begin_s <= 0.9


def test_only_what_an_instruction_does_not_need_is_missing(drawn: Digits, spoken: Clips) -> None:
    questions = plan(300, drawn, spoken)
    for question in questions:
        missing = {name for name, digit in (("image", question.seen), ("audio", question.heard)) if digit is None}
        assert not missing & needs(question.instruction)
    assert any(question.seen is None for question in questions)
    assert any(question.heard is None for question in questions)


def test_some_questions_keep_the_text_and_share_its_subtitle(drawn: Digits, spoken: Clips) -> None:
    questions = plan(60, drawn, spoken)
    changes = 1 + sum(a.text != b.text for a, b in itertools.pairwise(questions))
    assert changes < len(questions)
    cues = list(subtitles(questions))
    assert len(cues) == changes
    assert cues[0].startswith("1\n00:00:00,000 --> 00:00:0")
    assert f"--> 00:03:00,000\n{questions[-1].text}" in cues[-1]


def test_scoring_starts_when_the_inputs_have_settled(drawn: Digits, spoken: Clips) -> None:
    question = replace(plan(1, drawn, spoken)[0], heard=3, word_end_s=1.25)
    assert truth_lines([question], moving_s=0.4)[0]["from_ms"] == 1750
    silent = replace(question, heard=None)
    assert truth_lines([silent], moving_s=0.4)[0]["from_ms"] == 900
    assert truth_lines([silent], moving_s=0.4)[0]["to_ms"] == 3000


def test_the_sound_track_holds_the_words_and_is_quiet_between(drawn: Digits, spoken: Clips) -> None:
    questions = plan(12, drawn, spoken)
    track = sound_track(questions, spoken, seed=0)
    assert len(track) == 36 * SOUND_RATE_HZ
    for question in questions:
        begin, middle = (round(t * SOUND_RATE_HZ) for t in (question.begin_s, question.word_begin_s + 0.25))
        assert np.abs(track[begin : begin + 2000]).max() < 0.05
        level = np.abs(track[middle - 800 : middle + 800]).max()
        assert (level > 0.3) == (question.heard is not None)


@pytest.mark.parametrize("painter_class", [DeskScene, VariedFrames])
def test_picture_and_sound_of_the_film_are_on_time(
    painter_class: type, drawn: Digits, spoken: Clips, tmp_path: Path
) -> None:
    questions = plan(4, drawn, spoken, seed=2)
    painter = painter_class(drawn.test_images, seed=0)
    write_clip(tmp_path / "film.mp4", questions, spoken, painter, quality=24, seed=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.jsonl", "film.mp4", "film.srt"]
    painted = list(painter_class(drawn.test_images, seed=0).frames(questions))
    with av.open(str(tmp_path / "film.mp4")) as film:
        times_s = []
        for index, frame in enumerate(film.decode(video=0)):
            times_s.append(float(frame.pts * frame.time_base))
            error = np.abs(frame.to_ndarray(format="rgb24").astype(int) - painted[index])
            assert error.mean() < 6
    np.testing.assert_allclose(times_s, np.arange(12 * painter.frames_per_s) / painter.frames_per_s, atol=1e-3)
    expected = sound_track(questions, spoken, seed=0)
    decoded = np.zeros(len(expected) + 4096, np.float32)
    with av.open(str(tmp_path / "film.mp4")) as film:
        for frame in film.decode(audio=0):
            begin = round(float(frame.pts * frame.time_base) * SOUND_RATE_HZ)
            samples = frame.to_ndarray()[0][max(0, -begin) :]
            decoded[max(0, begin) : max(0, begin) + len(samples)] = samples
    similarity = np.corrcoef(decoded[: len(expected)], expected)[0, 1]
    assert similarity > 0.98
    lines = [json.loads(line) for line in (tmp_path / "film.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["answer"] for line in lines] == [str(question.answer) for question in questions]
