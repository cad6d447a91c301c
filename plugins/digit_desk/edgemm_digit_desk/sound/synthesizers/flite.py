"""Flite: five small voices through its command line. Held out of training: it is only ever a test.

Source: Festival Lite (BSD-like), the system package `flite`.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemm_digit_desk.sound.synthesizers.synthesizer import Synthesizer, Utterance
from edgemm_digit_desk.sound.synthesizers.words import DIGIT_WORDS

__all__ = ["SYNTHESIZER"]

_VOICES = {"kal": 95.0, "kal16": 95.0, "awb": 0.0, "rms": 0.0, "slt": 0.0}
"""Voices with the mean pitch (Hz) to scale; 0 for those that take a factor."""


def _speak() -> Iterator[Utterance]:
    factors = (0.8, 1.0, 1.25)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        for (voice, mean_hz), stretch, pitch in itertools.product(_VOICES.items(), factors, factors):
            tone = f"int_f0_target_mean={mean_hz * pitch}" if mean_hz else f"f0_shift={pitch}"
            for digit, word in enumerate(DIGIT_WORDS):
                command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "--setf", tone]
                subprocess.run([*command, "-t", word, "-o", str(path)], check=True, capture_output=True, timeout=60)
                samples, rate_hz = _read_wave(path)
                yield Utterance(digit, voice, samples, rate_hz)


def _read_wave(path: Path) -> tuple[NDArray[np.float32], int]:
    with wave.open(str(path), "rb") as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return pcm.astype(np.float32) / 32768.0, file.getframerate()


def _missing() -> str | None:
    return None if shutil.which("flite") else "apt install flite (Debian, Ubuntu)"


SYNTHESIZER = Synthesizer("flite", 450, _missing, _speak)
