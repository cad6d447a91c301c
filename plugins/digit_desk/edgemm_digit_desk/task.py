"""The digit desk as a task: what is trained on, what the truth is, and what is tested.

Joins the samplers of images, sound and text. Test sets hold only what training never meets: other images, other voices,
another synthesizer, other wordings. Knows nothing of the model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgemm.progress import Progress, silent
from edgemm.training.task import FusionTraining, Labels, Presence, Sampler, SkippedSet, TestSet
from edgemm_digit_desk.images.digits import Digits, load_digits
from edgemm_digit_desk.images.frames import FrameSampler, evaluation_frames
from edgemm_digit_desk.instructions import ANSWERS, NAMES, truth_table
from edgemm_digit_desk.sound.clips import SAMPLE_RATE_HZ, Clips, SpeechError
from edgemm_digit_desk.sound.evaluation_sounds import quiet_sounds, windows, word_windows
from edgemm_digit_desk.sound.spectrogram_augment import SpectrogramAugment
from edgemm_digit_desk.sound.speech import (
    held_out_synthesizer,
    held_out_voices,
    prepare_speech,
    training_clips,
)
from edgemm_digit_desk.sound.windows import SoundSampler
from edgemm_digit_desk.text.phrases import PhraseSampler, bytes_from_texts, held_out_phrases

__all__ = ["INPUTS", "DigitDesk", "build", "posterior_table"]

INPUTS = ("image", "audio", "text")
DIGITS = 10
HOLD_MS = 4000.0  # a spoken digit stays in use this long
HELD_OUT_TITLE = "a synthesizer held out of training"

Rows = NDArray[Any]
Words = tuple[Rows, NDArray[np.int64]]


def build(data_folder: Path) -> DigitDesk:
    """Make the task; data is fetched and synthesized into `data_folder` when it is first needed."""
    return DigitDesk(data_folder)


class DigitDesk:
    """A digit is seen, a digit is heard, a text says what to do with them; the answer is 0 to 18."""

    answers = tuple(str(number) for number in range(ANSWERS))
    fusion_training = FusionTraining(
        samples={"image": 12_000, "audio": 8_000, "text": 6_000},
        oldest_ms={"image": 500.0, "audio": HOLD_MS, "text": 60_000.0},
    )

    def __init__(self, data_folder: Path) -> None:
        self.digits_folder = Path(data_folder) / "digits"
        self.speech_folder = Path(data_folder) / "speech"
        self._posterior = posterior_table()
        self._samplers: dict[str, Sampler] = {}

    @functools.cached_property
    def digits(self) -> Digits:
        """Handwritten digits, fetched when they are not in the data folder."""
        return load_digits(self.digits_folder)

    def prepare(self, progress: Progress = silent) -> list[str]:
        """Fetch the images and synthesize the speech that are not there yet; return what could not be made, and why."""
        progress("handwritten digits", 0, 1, "")
        count = len(self.digits.train_labels)
        progress("handwritten digits", 1, 1, f"{count} for training")
        missing = prepare_speech(self.speech_folder, progress)
        return [f"no speech of {synthesizer}: {advice}" for synthesizer, advice in missing.items()]

    def sampler(self, input_name: str) -> Sampler:
        """Training examples of `image`, `audio` or `text`."""
        makers: dict[str, Callable[[], Sampler]] = {
            "image": lambda: FrameSampler(self.digits),
            "audio": lambda: SoundSampler(training_clips(self.speech_folder)),
            "text": PhraseSampler,
        }
        if input_name not in self._samplers:
            self._samplers[input_name] = makers[input_name]()
        return self._samplers[input_name]

    def augment(self, input_name: str) -> nn.Module | None:
        """Other voices, rooms and microphones for the sound; the other samplers vary their inputs themselves."""
        return SpectrogramAugment(SAMPLE_RATE_HZ) if input_name == "audio" else None

    def posterior(self, labels: Labels, presence: Presence) -> NDArray[np.float32]:
        """Probability (rows, 19) of each answer, averaged over what is absent."""
        indices = []
        for name, absent in zip(("text", "image", "audio"), (len(NAMES), DIGITS, DIGITS), strict=True):
            usable = np.asarray(presence[name], bool) & (labels[name] < absent)
            indices.append(np.where(usable, labels[name], absent))
        rows: NDArray[np.float32] = self._posterior[tuple(indices)]
        return rows

    def combinations(self) -> Labels:
        """Every instruction with every pair of digits."""
        text, image, audio = np.indices((len(NAMES), DIGITS, DIGITS)).reshape(3, -1).astype(np.int64)
        return {"image": image, "audio": audio, "text": text}

    def test_sets(self, count: int, seed: int) -> Iterator[TestSet | SkippedSet]:
        """Unseen images, voices and paraphrases: centred, in varied frames, with another synthesizer, with silence and noise."""
        voices = self._voices()
        words = word_windows(voices, seed)
        centred = evaluation_frames(self.digits, variations=False)
        draw = functools.partial(self._test_set, count=count, seed=seed)
        yield draw("centred", "unseen images, voices and paraphrases", centred, words, minimum=0.95)
        varied = evaluation_frames(self.digits, variations=True)
        yield draw("varied", "the same, frames varied", varied, words, minimum=0.93)
        try:
            unheard = word_windows(held_out_synthesizer(self.speech_folder), seed)
            yield draw("synthesizer", HELD_OUT_TITLE, centred, unheard, minimum=0.90)
        except SpeechError as error:
            yield SkippedSet(HELD_OUT_TITLE, str(error))
        for name, title, kinds in (
            ("silence", "silence", ("zeros", "faint")),
            ("noise", "noise, hum, clicks, babble", None),
        ):
            yield draw(name, title, centred, (_quiet(voices, seed, kinds), words[1]), ignored="audio")

    def _voices(self) -> Clips:
        return held_out_voices(self.speech_folder)

    def _test_set(
        self,
        name: str,
        title: str,
        frames: tuple[Rows, Rows],
        words: Words,
        count: int,
        seed: int,
        minimum: float | None = None,
        ignored: str | None = None,
    ) -> TestSet:
        """Join random images, sounds and paraphrases; instructions and digits are equally frequent."""
        generator = np.random.default_rng(seed)
        seen, heard = (generator.permutation(np.resize(np.arange(DIGITS), count)) for _ in range(2))
        pictures = _rows_of_digits(frames[1], seen, generator)
        if ignored == "audio":
            sounds = generator.permutation(np.resize(np.arange(len(words[0])), count))
        else:
            sounds = _rows_of_digits(words[1], heard, generator)
        asked = generator.permutation(np.resize(np.arange(len(NAMES)), count))
        phrases = held_out_phrases()
        chosen = [int(generator.choice([i for i, (_, label) in enumerate(phrases) if label == k])) for k in asked]
        return TestSet(
            name,
            title,
            inputs={
                "image": frames[0][pictures],
                "audio": words[0][sounds],
                "text": bytes_from_texts([phrases[index][0] for index in chosen]),
            },
            labels={
                "image": seen.astype(np.int64),
                "audio": heard.astype(np.int64),
                "text": asked.astype(np.int64),
            },
            groups=tuple(NAMES[index] for index in asked),
            minimum=minimum,
            ignored=ignored,
        )


def _rows_of_digits(labels: Rows, digits: Rows, generator: np.random.Generator) -> NDArray[np.int64]:
    """For each of `digits` a random row that `labels` says to be that digit; none twice while there are others."""
    rows = np.zeros(len(digits), np.int64)
    for digit in range(DIGITS):
        wanted = digits == digit
        rows[wanted] = np.resize(generator.permutation(np.flatnonzero(labels == digit)), wanted.sum())
    return rows


def posterior_table() -> NDArray[np.float32]:
    """Probability of each answer for every (instruction, seen, heard); the last index of each axis means absent."""
    truth = truth_table()  # (instructions, 10, 10)
    table = np.zeros((len(NAMES) + 1, DIGITS + 1, DIGITS + 1, ANSWERS))
    table[:-1, :-1, :-1] = np.eye(ANSWERS)[truth]
    for axis in range(3):  # averaging over one axis after the other averages over all that are absent
        by_class = np.moveaxis(table, axis, 0)
        by_class[-1] = by_class[:-1].mean(axis=0)
    return table.astype(np.float32)


def _quiet(clips: Clips, seed: int, kinds: tuple[str, ...] | None) -> Rows:
    """Windows without a word, (n, 8000): of the given kinds, or of all but silence."""
    chosen = [
        windows(sound, hop=SAMPLE_RATE_HZ // 4)
        for kind, sound in quiet_sounds(clips, seed)
        if (kind in kinds if kinds is not None else kind not in ("zeros", "faint"))
    ]
    return np.concatenate(chosen)
