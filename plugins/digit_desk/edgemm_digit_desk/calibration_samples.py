"""The calibration samples that ship with the digit desk: aligned rows of all inputs, drawn as in training.

They share no image, voice or wording with any test. Images keep 22 levels of brightness and sounds six bits of their own peak, so
that they are small; ranges of activations, which calibration is for, do not feel it. Knows nothing of quantization.

    python -m edgemm_digit_desk.calibration_samples --data DATA_FOLDER --out calibration.npz
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgemm_digit_desk.task import INPUTS, DigitDesk, build

__all__ = ["draw_calibration", "write_calibration"]

ROWS = 128
SEED = 128
IMAGE_STEP = 12
SOUND_LEVELS = 48  # on either side of zero, at least half as many


def draw_calibration(task: DigitDesk, rows: int = ROWS, seed: int = SEED) -> dict[str, NDArray[Any]]:
    """Draw `rows` training examples: image uint8 (rows, 96, 96, 3), audio int16 (rows, 8000), text uint8 (rows, bytes)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: task.sampler(name).batch(rows, generator)[0].numpy() for name in INPUTS}
    sound = np.round(drawn["audio"] * 32767)
    peak = np.abs(sound).max(axis=1, keepdims=True).clip(1)
    step = 2 ** np.ceil(np.log2(peak / SOUND_LEVELS)).clip(0)  # a power of two leaves whole bits empty
    return {
        "image": np.minimum(drawn["image"] // IMAGE_STEP * IMAGE_STEP + IMAGE_STEP // 2, 255).astype(np.uint8),
        "audio": np.clip(np.round(sound / step) * step, -32767, 32767).astype(np.int16),
        "text": drawn["text"].astype(np.uint8),
    }


def write_calibration(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz as `numpy.savez_compressed` does, but always the same bytes."""
    aside = path.with_suffix(".partial")
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, so that the file depends on its content alone
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    aside.replace(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Draw the calibration samples of the digit desk.")
    parser.add_argument("--data", type=Path, required=True, help="folder of digits and speech, filled when empty")
    parser.add_argument("--out", type=Path, default=Path("calibration.npz"))
    arguments = parser.parse_args()
    task = build(arguments.data)
    task.prepare()
    write_calibration(arguments.out, draw_calibration(task))


if __name__ == "__main__":
    main()
