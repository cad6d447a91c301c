"""Many short words in one array, with who said them, and the file that keeps them.

Knows nothing of how they were made, nor of what they are used for.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemm.errors import EdgeMMError

__all__ = ["SAMPLE_RATE_HZ", "Clips", "SpeechError", "join_clips", "join_pieces", "load_clips", "save_clips"]

SAMPLE_RATE_HZ = 8000

_FORMAT = 1


class SpeechError(EdgeMMError):
    """Speech that is needed was not prepared, or its file cannot be read."""


@dataclass(frozen=True)
class Clips:
    """Many short words in one array.

    Attributes:
        samples: (total,) int16, 8 kHz mono, all words one after another.
        starts: (n + 1,) int64; word i is `samples[starts[i]:starts[i + 1]]`.
        words: (n,) int64, 0..9, or 10 for a word that is no digit.
        voices: (n,) str.
        synthesizers: (n,) str.
    """

    samples: NDArray[np.int16]
    starts: NDArray[np.int64]
    words: NDArray[np.int64]
    voices: NDArray[np.str_]
    synthesizers: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.words)

    def clip(self, index: int) -> NDArray[np.float32]:
        """Word `index` as (n,) float32 in [-1, 1]; a copy."""
        return self.samples[self.starts[index] : self.starts[index + 1]].astype(np.float32) / np.float32(32768.0)

    def pieces(self) -> list[NDArray[np.int16]]:
        """Every word as (n,) int16; views."""
        return [self.samples[begin:end] for begin, end in zip(self.starts[:-1], self.starts[1:], strict=True)]

    def select(self, keep: NDArray[np.bool_]) -> Clips:
        """The words where `keep`, (n,) bool, is true."""
        chosen, pieces = np.flatnonzero(keep), self.pieces()
        return join_pieces(
            [pieces[index] for index in chosen], self.words[chosen], self.voices[chosen], self.synthesizers[chosen]
        )


def join_pieces(
    pieces: Sequence[NDArray[np.int16]],
    words: NDArray[np.int64],
    voices: NDArray[np.str_],
    synthesizers: NDArray[np.str_],
) -> Clips:
    """Clips of single words, (n,) int16 each, and what is known of each."""
    starts = np.concatenate(([0], np.cumsum([len(piece) for piece in pieces]))).astype(np.int64)
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return Clips(samples, starts, words, voices, synthesizers)


def join_clips(parts: Sequence[Clips]) -> Clips:
    """The words of several clips, one after another; at least one part."""
    return join_pieces(
        [piece for part in parts for piece in part.pieces()],
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.voices for part in parts]),
        np.concatenate([part.synthesizers for part in parts]),
    )


def save_clips(path: Path, clips: Clips) -> None:
    """Write an .npz, aside first, then renamed, so that an interrupted run leaves no half file."""
    aside = path.with_suffix(".partial")
    with aside.open("wb") as file:
        np.savez_compressed(
            file,
            format=np.int64(_FORMAT),
            samples=clips.samples,
            starts=clips.starts,
            words=clips.words,
            voices=clips.voices,
            engines=clips.synthesizers,  # the name that format 1 has for them
        )
    os.replace(aside, path)


def load_clips(path: Path) -> Clips:
    """Read what `save_clips` wrote.

    Raises:
        SpeechError: it is no such file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if int(arrays["format"]) != _FORMAT:
                raise SpeechError(
                    f"expected format {_FORMAT} in {path}, found {arrays['format']}. Delete it, prepare again."
                )
            return Clips(arrays["samples"], arrays["starts"], arrays["words"], arrays["voices"], arrays["engines"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SpeechError(f"{path} is no speech file ({error}). Delete it and prepare again.") from error
