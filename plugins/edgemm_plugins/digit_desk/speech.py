"""Spoken digits: synthesized once, trimmed, kept as 8 kHz int16 in one npz file per engine, split by voice and engine.

Knows nothing of windows, noise, training or models: it gives single words and who said them. Clips of a held-out
voice or engine never reach training.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemm.errors import EdgeMMError
from edgemm_plugins.digit_desk.speech_engines import ENGINES, HELD_OUT_ESPEAK_VARIANTS, Utterance

__all__ = [
    "SAMPLE_RATE_HZ",
    "Clips",
    "SpeechError",
    "held_out_engine",
    "held_out_voices",
    "prepare_speech",
    "training_clips",
    "trimmed",
]

SAMPLE_RATE_HZ = 8000

TEACHING_ENGINES = ("espeak", "hibari", "kokoro", "piper")
HELD_OUT_ENGINE = "flite"

_FORMAT = 1
_EDGE_S = 0.025
_SILENT_SHARE = 0.02
_LONGEST_S = 0.95

Progress = Callable[[str, int, int], None]
"""Called with an engine's name, utterances done and utterances in all."""


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
        engines: (n,) str.
    """

    samples: NDArray[np.int16]
    starts: NDArray[np.int64]
    words: NDArray[np.int64]
    voices: NDArray[np.str_]
    engines: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.words)

    def clip(self, index: int) -> NDArray[np.float32]:
        """Word `index` as (n,) float32 in [-1, 1]; a copy."""
        return self.samples[self.starts[index] : self.starts[index + 1]].astype(np.float32) / np.float32(32768.0)

    def select(self, keep: NDArray[np.bool_]) -> Clips:
        """The words where `keep`, (n,) bool, is true."""
        chosen = np.flatnonzero(keep)
        pieces = [self.samples[self.starts[index] : self.starts[index + 1]] for index in chosen]
        return _clips(pieces, self.words[chosen], self.voices[chosen], self.engines[chosen])


def _clips(
    pieces: Sequence[NDArray[np.int16]],
    words: NDArray[np.int64],
    voices: NDArray[np.str_],
    engines: NDArray[np.str_],
) -> Clips:
    starts = np.concatenate(([0], np.cumsum([len(piece) for piece in pieces]))).astype(np.int64)
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return Clips(samples, starts, words, voices, engines)


def prepare_speech(
    folder: Path, progress: Progress | None = None, engines: Iterable[str] | None = None
) -> dict[str, str]:
    """Synthesize what `folder` does not have yet, one file per engine, and say what could not be.

    Args:
        folder: cache; made when it is not there.
        progress: called now and then.
        engines: names in `ENGINES`; all by default.

    Returns:
        Engine name -> what to install, for engines that are neither in the cache nor on this machine.
    """
    skipped: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ENGINES if engines is None else engines:
        engine = ENGINES[name]
        if _path(folder, name).exists():
            continue
        if (missing := engine.missing()) is not None:
            skipped[name] = missing
            continue
        report = None if progress is None else _reporter(progress, name, engine.utterances)
        _save(_path(folder, name), _clips_from_utterances(name, engine.speak(), report))
    return skipped


def training_clips(folder: Path) -> Clips:
    """Every clip that training may hear: the teaching engines that were prepared, less the held-out variants.

    Raises:
        SpeechError: no teaching engine was prepared in `folder`.
    """
    present = [_load(_path(folder, name)) for name in TEACHING_ENGINES if _path(folder, name).exists()]
    if not present:
        raise SpeechError(
            f"expected prepared speech of one of {', '.join(TEACHING_ENGINES)} in {folder}, found none. "
            "Install one (pip install espeakng-loader) and prepare again."
        )
    clips = _joined(present)
    return clips.select(~_held_out(clips))


def held_out_voices(folder: Path) -> Clips:
    """Digits of the espeak variants that training never hears.

    Raises:
        SpeechError: espeak was not prepared in `folder`.
    """
    clips = _load_needed(folder, "espeak")
    return clips.select(_held_out(clips) & (clips.words < 10))


def held_out_engine(folder: Path) -> Clips:
    """Digits of the engine that training never hears.

    Raises:
        SpeechError: that engine was not prepared in `folder`; says what to install.
    """
    return _load_needed(folder, HELD_OUT_ENGINE)


def trimmed(samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
    """Cut `samples`, (n,), where they stay below 2 % of their peak, and leave 25 ms on either side."""
    loud = np.flatnonzero(np.abs(samples) > _SILENT_SHARE * float(np.abs(samples).max(initial=0.0)))
    if len(loud) == 0:
        return samples[:0]
    edge = int(_EDGE_S * sample_rate_hz)
    return samples[max(0, loud[0] - edge) : loud[-1] + edge]


def _held_out(clips: Clips) -> NDArray[np.bool_]:
    held_out = (clips.engines == "espeak") & np.isin(clips.voices, HELD_OUT_ESPEAK_VARIANTS)
    return np.asarray(held_out, np.bool_)


def _path(folder: Path, engine: str) -> Path:
    return folder / f"{engine}.npz"


def _reporter(progress: Progress, name: str, total: int) -> Callable[[int], None]:
    def report(done: int) -> None:
        progress(name, min(done, total), total)

    return report


def _clips_from_utterances(engine: str, utterances: Iterator[Utterance], report: Callable[[int], None] | None) -> Clips:
    import soxr

    pieces: list[NDArray[np.int16]] = []
    words: list[int] = []
    voices: list[str] = []
    for done, utterance in enumerate(utterances, 1):
        if report is not None and done % 10 == 0:
            report(done)
        narrow = soxr.resample(utterance.samples, utterance.sample_rate_hz, SAMPLE_RATE_HZ, quality="HQ")
        clip = trimmed(np.asarray(narrow, np.float32), SAMPLE_RATE_HZ)
        if not 0.1 * SAMPLE_RATE_HZ <= len(clip) <= _LONGEST_S * SAMPLE_RATE_HZ:
            continue  # an engine that said nothing, or a word that does not fit the window
        peak = float(np.abs(clip).max())
        pieces.append(np.round(clip * (0.9 * 32767.0 / peak)).astype(np.int16))
        words.append(utterance.word)
        voices.append(utterance.voice)
    return _clips(pieces, np.array(words, np.int64), np.array(voices), np.full(len(words), engine))


def _joined(parts: Sequence[Clips]) -> Clips:
    pieces = [part.samples[part.starts[index] : part.starts[index + 1]] for part in parts for index in range(len(part))]
    return _clips(
        pieces,
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.voices for part in parts]),
        np.concatenate([part.engines for part in parts]),
    )


def _save(path: Path, clips: Clips) -> None:
    aside = path.with_suffix(".partial")
    with aside.open("wb") as file:
        np.savez_compressed(
            file,
            format=np.int64(_FORMAT),
            samples=clips.samples,
            starts=clips.starts,
            words=clips.words,
            voices=clips.voices,
            engines=clips.engines,
        )
    os.replace(aside, path)


def _load_needed(folder: Path, engine: str) -> Clips:
    path = _path(folder, engine)
    if not path.exists():
        missing = ENGINES[engine].missing()
        advice = f"Install it ({missing}) and prepare" if missing else "Prepare"
        raise SpeechError(f"expected speech of '{engine}' at {path}, found none. {advice} the speech again.")
    return _load(path)


def _load(path: Path) -> Clips:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if int(arrays["format"]) != _FORMAT:
                raise SpeechError(
                    f"expected format {_FORMAT} in {path}, found {arrays['format']}. Delete it, prepare again."
                )
            return Clips(arrays["samples"], arrays["starts"], arrays["words"], arrays["voices"], arrays["engines"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SpeechError(f"{path} is no speech file ({error}). Delete it and prepare again.") from error
