"""eSpeak NG: a hundred formant voices in many accents, through its C library.

Source: eSpeak NG's `speak_lib.h` (GPL-3, called, not copied).
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemm_digit_desk.sound.synthesizers.synthesizer import Synthesizer, Utterance, needs_package
from edgemm_digit_desk.sound.synthesizers.words import DIGIT_WORDS, OTHER_WORD, OTHER_WORDS

__all__ = ["HELD_OUT_VARIANTS", "SYNTHESIZER", "Espeak", "load_espeak"]

_RESPELLED = {
    0: ("zeero", "zeroh", "zeaero"),
    1: ("wun", "won"),
    2: ("too", "tew"),
    3: ("thrree", "tree"),
    4: ("fore", "fower"),
    5: ("fyve", "fife"),
    6: ("siks", "sicks"),
    7: ("sevven", "sevn"),
    8: ("ate", "eyt"),
    9: ("nain", "nyne"),
}

_ACCENTS = ("en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")

HELD_OUT_VARIANTS = (
    "Andrea", "Denis", "Hugo", "Michael", "Reed", "UniRobot", "anika", "belinda", "edward2", "f3", "gustave", "klatt4",
    "linda", "m5", "pablo", "robosoft4", "steph2", "victor",
)  # fmt: skip
"""Variants (speakers) whose every clip is kept for tests, in all accents."""

_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """eSpeak NG in this process; the library has one global state, so there is one of these."""

    def __init__(self, loader: ModuleType) -> None:
        self._library = ctypes.CDLL(loader.get_library_path())
        self._library.espeak_Initialize.restype = ctypes.c_int
        data = str(loader.get_data_path()).encode()
        self.sample_rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT))
        if self.sample_rate_hz <= 0:
            raise RuntimeError(f"espeak_Initialize gave {self.sample_rate_hz}: its data at {data.decode()} is unusable")
        self._pieces: list[NDArray[np.int16]] = []
        self._callback = _Callback(self._receive)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    def set_voice(self, name: str) -> bool:
        """Whether the library knows the language; an unknown one leaves the old voice in use. Variants are not checked."""
        return int(self._library.espeak_SetVoiceByName(name.encode())) == 0

    def say(self, text: str, rate: int, pitch: int, pitch_range: int) -> NDArray[np.float32]:
        """Speak `text` (rate in words a minute, pitch and range 0..99); (n,) float32."""
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._check(self._library.espeak_SetParameter(parameter, value, 0), "espeak_SetParameter")
        self._pieces.clear()
        encoded = text.encode() + b"\0"
        self._check(self._library.espeak_Synth(encoded, len(encoded), 0, 0, 0, _UTF8, None, None), "espeak_Synth")
        self._check(self._library.espeak_Synchronize(), "espeak_Synchronize")
        whole = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)
        return whole.astype(np.float32) / 32768.0

    @staticmethod
    def _check(code: int, function: str) -> None:
        if code != 0:
            raise RuntimeError(f"{function} failed with code {code}")


@functools.cache
def load_espeak() -> tuple[Espeak, tuple[str, ...]]:
    """The library, loaded once, and the names of its variants (speakers), sorted."""
    import espeakng_loader

    variants = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return Espeak(espeakng_loader), tuple(sorted(entry.name for entry in variants.iterdir()))


def _speak() -> Iterator[Utterance]:
    espeak, variants = load_espeak()
    generator = np.random.default_rng(1)
    for accent, variant in itertools.product(_ACCENTS, variants):
        held_out = variant in HELD_OUT_VARIANTS
        if not espeak.set_voice(f"{accent}+{variant}"):
            continue
        words: list[tuple[int, str]] = []
        for digit, spelling in enumerate(DIGIT_WORDS):
            respelled = not held_out and generator.random() < 0.3
            words.append((digit, str(generator.choice(_RESPELLED[digit])) if respelled else spelling))
        words += [(OTHER_WORD, str(word)) for word in generator.choice(OTHER_WORDS, 3, replace=False)]
        for word, text in words:
            rate, pitch, pitch_range = generator.integers((110, 20, 20), (231, 81, 91))
            samples = espeak.say(text, int(rate), int(pitch), int(pitch_range))
            yield Utterance(word, variant, samples, espeak.sample_rate_hz)


SYNTHESIZER = Synthesizer("espeak", 7 * 104 * 13, needs_package("espeakng_loader", "espeakng-loader"), _speak)
