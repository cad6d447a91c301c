"""Calibration samples: aligned rows as the graphs read them, in a file that numpy reads and that does not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgemm_digit_desk.calibration_samples import draw_calibration, write_calibration
from edgemm_digit_desk.task import DigitDesk


def test_rows_are_aligned_and_close_to_what_was_drawn(desk: DigitDesk) -> None:
    arrays = draw_calibration(desk, rows=12, seed=1)
    assert {name: (array.shape[0], array.dtype.name) for name, array in arrays.items()} == {
        "image": (12, "uint8"),
        "audio": (12, "int16"),
        "text": (12, "uint8"),
    }
    assert len(np.unique(arrays["image"])) <= 22
    loud = np.abs(arrays["audio"].astype(int)).max(1)
    assert sum(peak > 1000 for peak in loud) >= 3  # words are there


def test_the_file_depends_on_its_content_alone(desk: DigitDesk, tmp_path: Path) -> None:
    arrays = draw_calibration(desk, rows=4, seed=1)
    write_calibration(tmp_path / "a.npz", arrays)
    write_calibration(tmp_path / "b.npz", draw_calibration(desk, rows=4, seed=1))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.partial")) == []
    with np.load(tmp_path / "a.npz", allow_pickle=False) as loaded:
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array)


def test_another_seed_draws_other_rows(desk: DigitDesk) -> None:
    first, second = (draw_calibration(desk, rows=4, seed=seed) for seed in (1, 2))
    assert not np.array_equal(first["image"], second["image"])
