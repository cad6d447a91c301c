"""Spoken digits: synthesized once, trimmed, kept as 8 kHz int16 in one file per synthesizer, split by voice and synthesizer.

Knows nothing of windows, noise, training or models: it gives single words and who said them. Clips of a held-out voice or
synthesizer never reach training.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemm.progress import Progress, silent
from edgemm_digit_desk.sound.clips import (
    SAMPLE_RATE_HZ,
    Clips,
    SpeechError,
    join_clips,
    join_pieces,
    load_clips,
    save_clips,
)
from edgemm_digit_desk.sound.synthesizers import HELD_OUT_VARIANTS, SYNTHESIZERS, Synthesizer, Utterance

__all__ = ["held_out_synthesizer", "held_out_voices", "prepare_speech", "training_clips", "trimmed"]

TEACHING = ("espeak", "hibari", "kokoro", "piper")
HELD_OUT = "flite"

_EDGE_S = 0.025
_SILENT_SHARE = 0.02
_LONGEST_S = 0.95
_REPORT_EVERY = 10


def prepare_speech(
    folder: Path, progress: Progress = silent, synthesizers: Iterable[str] | None = None
) -> dict[str, str]:
    """Synthesize what `folder` does not have yet, one file per synthesizer, and say what could not be.

    Args:
        folder: cache; made when it is not there.
        progress: told of each synthesizer as a stage, and of its utterances.
        synthesizers: names in `SYNTHESIZERS`; all by default.

    Returns:
        Synthesizer -> what to install, for those that are neither in the cache nor on this machine.
    """
    skipped: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in SYNTHESIZERS if synthesizers is None else synthesizers:
        synthesizer = SYNTHESIZERS[name]
        if _path(folder, name).exists():
            continue
        if (missing := synthesizer.missing()) is not None:
            skipped[name] = missing
            continue
        save_clips(_path(folder, name), _clips_from_synthesizer(synthesizer, progress))
    return skipped


def training_clips(folder: Path) -> Clips:
    """Every clip that training may hear: the teaching synthesizers that were prepared, less the held-out variants.

    Raises:
        SpeechError: no teaching synthesizer was prepared in `folder`.
    """
    present = [load_clips(_path(folder, name)) for name in TEACHING if _path(folder, name).exists()]
    if not present:
        raise SpeechError(
            f"expected prepared speech of one of {', '.join(TEACHING)} in {folder}, found none. "
            "Install one (pip install espeakng-loader) and prepare again."
        )
    clips = join_clips(present)
    return clips.select(~_held_out(clips))


def held_out_voices(folder: Path) -> Clips:
    """Digits of the espeak variants that training never hears.

    Raises:
        SpeechError: espeak was not prepared in `folder`.
    """
    clips = _load_needed(folder, "espeak")
    return clips.select(_held_out(clips) & (clips.words < 10))


def held_out_synthesizer(folder: Path) -> Clips:
    """Digits of the synthesizer that training never hears.

    Raises:
        SpeechError: it was not prepared in `folder`; says what to install.
    """
    return _load_needed(folder, HELD_OUT)


def trimmed(samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
    """Cut `samples`, (n,), where they stay below 2 % of their peak, and leave 25 ms on either side."""
    loud = np.flatnonzero(np.abs(samples) > _SILENT_SHARE * float(np.abs(samples).max(initial=0.0)))
    if len(loud) == 0:
        return samples[:0]
    edge = int(_EDGE_S * sample_rate_hz)
    return samples[max(0, loud[0] - edge) : loud[-1] + edge]


def _held_out(clips: Clips) -> NDArray[np.bool_]:
    held_out = (clips.synthesizers == "espeak") & np.isin(clips.voices, HELD_OUT_VARIANTS)
    return np.asarray(held_out, np.bool_)


def _path(folder: Path, synthesizer: str) -> Path:
    return folder / f"{synthesizer}.npz"


def _clips_from_synthesizer(synthesizer: Synthesizer, progress: Progress) -> Clips:
    stage, total = f"speech {synthesizer.name}", synthesizer.utterances
    pieces: list[NDArray[np.int16]] = []
    words: list[int] = []
    voices: list[str] = []
    for done, utterance in enumerate(synthesizer.speak(), 1):
        if done % _REPORT_EVERY == 0:
            progress(stage, min(done, total), total, "")
        clip = _clip_from_utterance(utterance)
        if not 0.1 * SAMPLE_RATE_HZ <= len(clip) <= _LONGEST_S * SAMPLE_RATE_HZ:
            continue  # a synthesizer that said nothing, or a word that does not fit the window
        pieces.append(clip)
        words.append(utterance.word)
        voices.append(utterance.voice)
    names = np.full(len(words), synthesizer.name)
    return join_pieces(pieces, np.array(words, np.int64), np.array(voices), names)


def _clip_from_utterance(utterance: Utterance) -> NDArray[np.int16]:
    """Resampled to 8 kHz, trimmed, and as loud as all others."""
    import soxr

    narrow = soxr.resample(utterance.samples, utterance.sample_rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    clip = trimmed(np.asarray(narrow, np.float32), SAMPLE_RATE_HZ)
    peak = float(np.abs(clip).max(initial=0.0))
    return np.round(clip * (0.9 * 32767.0 / max(peak, 1e-9))).astype(np.int16)


def _load_needed(folder: Path, synthesizer: str) -> Clips:
    path = _path(folder, synthesizer)
    if not path.exists():
        missing = SYNTHESIZERS[synthesizer].missing()
        advice = f"Install it ({missing}) and prepare" if missing else "Prepare"
        raise SpeechError(f"expected speech of '{synthesizer}' at {path}, found none. {advice} the speech again.")
    return load_clips(path)
