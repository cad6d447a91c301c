"""Makes the sample clip that ships, and streams of random questions, out of what training never met.

The sample clip is composed by hand: its questions are below. Its images are the test digits that are easiest to tell apart
for anyone, judged without a model; its words are said by a synthesizer, its texts worded in ways, held out of training.

    python -m edgemm_digit_desk.clip.make sample --data DATA_FOLDER --out clip.mp4
    python -m edgemm_digit_desk.clip.make stream --data DATA_FOLDER --questions 200 --out stream.mp4
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemm_digit_desk.clip.film import LONGEST_WORD_S, QUESTION_S, Question, plan_questions, write_clip
from edgemm_digit_desk.clip.painters import DeskScene, VariedFrames
from edgemm_digit_desk.images.digits import Digits
from edgemm_digit_desk.instructions import NAMES
from edgemm_digit_desk.sound.clips import SAMPLE_RATE_HZ, Clips
from edgemm_digit_desk.sound.speech import held_out_synthesizer, held_out_voices
from edgemm_digit_desk.task import DigitDesk, build
from edgemm_digit_desk.text.phrase_lists import HELD_OUT

__all__ = ["SAMPLE", "sample_questions", "write_sample", "write_stream"]

SAMPLE_SEED = 12
SAMPLE_QUALITY = 25
STREAM_QUALITY = 22


@dataclass(frozen=True)
class _Scripted:
    """One question of the sample clip; None is a blank sheet, or silence."""

    instruction: str
    text: str
    seen: int | None
    heard: int | None
    voice: str
    said_s: float


SAMPLE = (
    _Scripted("add", "What's the total if you add the written digit and the spoken one?", 7, 5, "slt", 0.7),
    _Scripted("add", "What's the total if you add the written digit and the spoken one?", 9, 8, "rms", 0.6),
    _Scripted("larger", "Which number is the larger one?", 3, 6, "awb", 0.5),
    _Scripted("see", "please read what I have written", 4, None, "", 0.0),
    _Scripted("hear", "what number am I saying", None, 2, "slt", 0.6),
    _Scripted("product", "请把这两个数字乘一乘", 6, 7, "rms", 0.5),
    _Scripted("difference", "by how much do these numbers differ", 1, 9, "slt", 0.8),
    _Scripted("difference", "by how much do these numbers differ", 8, 3, "kal16", 0.5),
    _Scripted("smaller", "两个数字里小的是哪个", 5, 0, "awb", 0.6),
    _Scripted("average", "What's their average?", 2, 8, "rms", 0.4),
    _Scripted("add", "请把两个数字加到一起", 9, 9, "slt", 0.7),
    _Scripted("see", "tell me the digit you can see", 0, 1, "kal16", 0.5),
)


def sample_questions(digits: Digits, clips: Clips, seed: int = SAMPLE_SEED) -> list[Question]:
    """Give every scripted question one of the most legible images, and the voice's middling rendering of its word."""
    generator = np.random.default_rng(seed)
    legibility = _legibility(digits)
    questions = []
    for index, script in enumerate(SAMPLE):
        begin_s = index * QUESTION_S
        word = 0 if script.heard is None else _middling(clips, script.heard, script.voice)
        length_s = (clips.starts[word + 1] - clips.starts[word]) / SAMPLE_RATE_HZ
        best = np.argsort(np.where(digits.test_labels == (script.seen or 0), -legibility, np.inf))[:30]
        questions.append(
            Question(
                begin_s=begin_s,
                end_s=begin_s + QUESTION_S,
                instruction=script.instruction,
                text=script.text,
                seen=script.seen,
                picture=int(generator.choice(best)),
                heard=script.heard,
                word=word,
                word_begin_s=begin_s + script.said_s,
                word_end_s=begin_s + script.said_s + float(length_s),
            )
        )
    return questions


def write_sample(task: DigitDesk, speech: Clips, path: Path) -> None:
    """Write the sample clip and its sidecars."""
    painter = DeskScene(task.digits.test_images, SAMPLE_SEED)
    questions = sample_questions(task.digits, speech)
    write_clip(path, questions, speech, painter, SAMPLE_QUALITY, SAMPLE_SEED)


def write_stream(task: DigitDesk, speech: Clips, path: Path, count: int, seed: int) -> None:
    """Write `count` random questions, three seconds each, with frames as varied as in the test."""
    painter = VariedFrames(task.digits.test_images, seed)
    phrases = [HELD_OUT[name] for name in NAMES]
    questions = plan_questions(count, phrases, task.digits.test_labels, speech, seed)
    write_clip(path, questions, speech, painter, STREAM_QUALITY, seed)


def _legibility(digits: Digits) -> NDArray[np.float64]:
    """How much nearer each test image (N,) lies to training images of its own digit than to those of any other."""
    test, train = (x.reshape(len(x), -1).astype(np.float64) / 255 for x in (digits.test_images, digits.train_images))
    squared = (test**2).sum(1)[:, None] + (train**2).sum(1) - 2 * test @ train.T
    same = digits.test_labels[:, None] == digits.train_labels
    return np.asarray(
        np.where(same, np.inf, squared).min(axis=1)
        - np.sort(np.where(same, squared, np.inf), axis=1)[:, :5].mean(axis=1)
    )


def _middling(clips: Clips, word: int, voice: str) -> int:
    """The rendering of a word by a voice whose length is in the middle, of those that are short enough."""
    lengths_s = np.diff(clips.starts) / SAMPLE_RATE_HZ
    chosen = np.flatnonzero((clips.words == word) & (clips.voices == voice) & (lengths_s < LONGEST_WORD_S))
    return int(chosen[np.argsort(lengths_s[chosen])[len(chosen) // 2]])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make films of digit-desk questions, with subtitles and truth.")
    parser.add_argument("kind", choices=("sample", "stream"))
    parser.add_argument("--data", type=Path, required=True, help="folder of digits and speech, filled when empty")
    parser.add_argument("--out", type=Path, required=True, help="the .mp4; .srt and .jsonl are written beside it")
    parser.add_argument("--questions", type=int, default=200, help="length of a stream")
    parser.add_argument("--seed", type=int, default=2000, help="of a stream")
    arguments = parser.parse_args()
    task = build(arguments.data)
    task.prepare()
    if arguments.kind == "sample":
        write_sample(task, held_out_synthesizer(task.speech_folder), arguments.out)
    else:
        write_stream(task, held_out_voices(task.speech_folder), arguments.out, arguments.questions, arguments.seed)


if __name__ == "__main__":
    main()
