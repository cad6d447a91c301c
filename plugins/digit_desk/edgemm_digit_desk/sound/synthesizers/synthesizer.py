"""What a synthesizer is, and what it says. Knows none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import util

import numpy as np
import onnxruntime
from numpy.typing import NDArray

__all__ = ["Synthesizer", "Utterance", "needs_package", "single_threaded_session"]


@dataclass(frozen=True)
class Utterance:
    """One spoken word as a synthesizer gave it.

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
class Synthesizer:
    """How to find out that it is here, how to get it, how many words it says.

    Attributes:
        name: also the name of its file of clips.
        utterances: number of words that `speak` yields at most.
        missing: returns None when it can run, else what to install.
        speak: yields the utterances, the same words of the same voices in the same order in every fresh process. Their samples are the same
            too, but for the breath of some of eSpeak NG's voices, which it seeds by the clock.
    """

    name: str
    utterances: int
    missing: Callable[[], str | None]
    speak: Callable[[], Iterator[Utterance]]


def needs_package(module: str, package: str) -> Callable[[], str | None]:
    """Make the `missing` of a synthesizer that is a Python package."""
    return lambda: None if util.find_spec(module) else f"pip install {package}"


def single_threaded_session(path: str) -> onnxruntime.InferenceSession:
    """Open a neural voice on one thread: sums in another order would give other samples."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
