"""Words that are tones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgemm_digit_desk.sound.clips import Clips, join_pieces


@pytest.fixture(scope="session")
def tone_clips() -> Callable[..., Clips]:
    """Makes clips of every word (digits and the other word), `each` times per synthesizer: tones of 200 Hz times (word + 1)."""

    def make(synthesizers: Sequence[str] = ("espeak", "kokoro"), each: int = 2) -> Clips:
        words = np.array([word for _ in synthesizers for word in range(11) for _ in range(each)])
        time = np.arange(3000) / 8000
        pieces = [np.round(20_000 * np.sin(2 * np.pi * 200 * (word + 1) * time)).astype(np.int16) for word in words]
        names = np.repeat(np.array(synthesizers), 11 * each)
        return join_pieces(pieces, words, np.full(len(words), "voice"), names)

    return make
