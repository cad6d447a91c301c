"""Films of a digit desk with their truth: questions of a few seconds, each with a picture, a spoken word and a text.

Makes the sample clip that ships, and generated streams of any length. Beside `NAME.mp4` stand `NAME.srt`, the text track,
and `NAME.jsonl`, the truth: one line for every interval in which answers are scored. A question settles when its picture
has stopped moving, its text is shown, and its word has been said to the end (so that it can be in the window as a
whole); scoring starts half a second later and ends when the next question begins. Knows nothing of models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgemm_digit_desk.clip.mp4 import SOUND_RATE_HZ, write_film
from edgemm_digit_desk.instructions import NAMES, answer, needs
from edgemm_digit_desk.sound.background import coloured_noise
from edgemm_digit_desk.sound.clips import SAMPLE_RATE_HZ, Clips

__all__ = ["Painter", "Question", "plan_questions", "sound_track", "subtitles", "truth_lines", "write_clip"]

QUESTION_S = 3.0
MARGIN_S = 0.5  # from settled to scored: the hop of the window, and the time that a device may take
ROOM_DB = -50.0  # noise of the room below full scale
LONGEST_WORD_S = 0.7  # must be in a window of 1 s as a whole for several hops


@dataclass(frozen=True)
class Question:
    """What happens in one stretch of the film.

    Attributes:
        begin_s, end_s: when it begins, and when the next one does.
        instruction: name of what the text asks for.
        text: its wording.
        seen: the digit in the frame, or None for a frame without one.
        picture: index of that digit among the painter's images.
        heard: the digit that is said, or None for silence.
        word: index of the clip that says it.
        word_begin_s, word_end_s: when it is said.
    """

    begin_s: float
    end_s: float
    instruction: str
    text: str
    seen: int | None
    picture: int
    heard: int | None
    word: int
    word_begin_s: float
    word_end_s: float

    @property
    def answer(self) -> int:
        """The truth; a digit that the instruction does not need may be missing."""
        return answer(self.instruction, self.seen or 0, self.heard or 0)

    def settled_s(self, moving_s: float) -> float:
        """When all inputs have arrived, if the picture moves for `moving_s`."""
        return max(self.begin_s + moving_s, self.word_end_s if self.heard is not None else self.begin_s)


class Painter(Protocol):
    """Paints the film's frames."""

    size: tuple[int, int]
    frames_per_s: int
    moving_s: float

    def frames(self, questions: Sequence[Question]) -> Iterator[NDArray[np.uint8]]:
        """Yield all frames, uint8 (height, width, 3) RGB; a picture may move for `moving_s` after its question begins."""
        ...


def plan_questions(
    count: int,
    phrases: Sequence[Sequence[str]],
    digits: NDArray[np.integer],
    clips: Clips,
    seed: int,
) -> list[Question]:
    """Plan a stream of random questions.

    One in five keeps the text of the one before; where an instruction needs only one of picture and sound, the other
    is missing half of the time.

    Args:
        count: number of questions.
        phrases: per instruction, in the order of `NAMES`, its wordings.
        digits: (N,) which digit each image of the painter shows.
        clips: spoken digits.
        seed: the same seed gives the same questions.
    """
    generator = np.random.default_rng(seed)
    lengths_s = np.diff(clips.starts) / SAMPLE_RATE_HZ
    questions: list[Question] = []
    for index in range(count):
        if questions and generator.random() < 0.2:
            instruction, text = questions[-1].instruction, questions[-1].text
        else:
            chosen = int(generator.integers(len(NAMES)))
            instruction, text = NAMES[chosen], str(generator.choice(list(phrases[chosen])))
        seen, heard = (
            int(generator.integers(10)) if name in needs(instruction) or generator.random() < 0.5 else None
            for name in ("image", "audio")
        )
        picture = int(generator.choice(np.flatnonzero(digits == (seen or 0))))
        word = int(generator.choice(np.flatnonzero((clips.words == (heard or 0)) & (lengths_s < LONGEST_WORD_S))))
        begin_s = index * QUESTION_S
        said_s = begin_s + float(generator.uniform(0.2, 0.9))
        questions.append(
            Question(
                begin_s=begin_s,
                end_s=begin_s + QUESTION_S,
                instruction=instruction,
                text=text,
                seen=seen,
                picture=picture,
                heard=heard,
                word=word,
                word_begin_s=said_s,
                word_end_s=said_s + float(lengths_s[word]),
            )
        )
    return questions


def write_clip(
    path: Path, questions: Sequence[Question], clips: Clips, painter: Painter, quality: int, seed: int
) -> None:
    """Write `path` (.mp4) and its .srt and .jsonl beside it."""
    sound = sound_track(questions, clips, seed)
    write_film(path, painter.frames(questions), painter.size, painter.frames_per_s, sound, quality)
    path.with_suffix(".srt").write_text("".join(subtitles(questions)), encoding="utf-8")
    lines = truth_lines(questions, painter.moving_s)
    path.with_suffix(".jsonl").write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
    )


def truth_lines(questions: Sequence[Question], moving_s: float) -> list[dict[str, object]]:
    """One scored interval for every question; times are positions in the film, ms."""
    return [
        {
            "from_ms": round(1000 * (question.settled_s(moving_s) + MARGIN_S)),
            "to_ms": round(1000 * question.end_s),
            "answer": str(question.answer),
            "instruction": question.instruction,
            "text": question.text,
            "seen": question.seen,
            "heard": question.heard,
        }
        for question in questions
    ]


def subtitles(questions: Sequence[Question]) -> Iterator[str]:
    """The text track as SubRip cues; a text that is kept is one cue."""
    number, index = 1, 0
    while index < len(questions):
        last = index
        while last + 1 < len(questions) and questions[last + 1].text == questions[index].text:
            last += 1
        span = f"{_clock(questions[index].begin_s)} --> {_clock(questions[last].end_s)}"
        yield f"{number}\n{span}\n{questions[index].text}\n\n"
        number, index = number + 1, last + 1


def sound_track(questions: Sequence[Question], clips: Clips, seed: int) -> NDArray[np.float32]:
    """The words in a quiet room: (samples,) float32 at `SOUND_RATE_HZ`."""
    import soxr

    generator = np.random.default_rng(seed)
    count = round(questions[-1].end_s * SAMPLE_RATE_HZ)
    track = coloured_noise(count, 1.0, generator) * np.float32(10 ** (ROOM_DB / 20))
    for question in questions:
        if question.heard is not None:
            sound = clips.clip(question.word)
            begin = round(question.word_begin_s * SAMPLE_RATE_HZ)
            level = generator.uniform(0.35, 0.8) / max(float(np.abs(sound).max()), 1e-6)
            track[begin : begin + len(sound)] += sound * np.float32(level)
    resampled = soxr.resample(track, SAMPLE_RATE_HZ, SOUND_RATE_HZ)
    return np.clip(np.asarray(resampled, np.float32), -1, 1)


def _clock(seconds: float) -> str:
    """SubRip's time, hours:minutes:seconds,milliseconds."""
    whole_ms = round(seconds * 1000)
    minutes, rest_ms = divmod(whole_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest_ms // 1000:02},{rest_ms % 1000:03}"
