"""The oldest versions are read off pyproject.toml; `make oldest` installs them."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("floors.py")
floors = runpy.run_path(str(SCRIPT))["floors"]


def test_everything_that_is_required_has_one_oldest_version():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    names = [line.partition("==")[0] for line in done.stdout.splitlines()]
    assert {"numpy", "onnxruntime", "onnx", "pluggy", "pydantic", "av", "torch"} <= set(names)
    assert len(names) == len(set(names))


def test_a_floor_is_the_version_and_what_is_pinned_stays():
    asked = ["numpy>=1.24.2", "tomli>=2.0; python_version < '3.11'", "torch>=2.9", "numpy>=1.24.2", "edgemm[media]"]
    assert floors(asked, ["# why", "torch==2.13.0"]) == ["numpy==1.24.2", "tomli==2.0", "torch==2.13.0"]


@pytest.mark.parametrize("asked", [["numpy"], ["numpy==1.24"], ["numpy>=1.24,<2"], ["numpy>=1.24", "numpy>=1.26"]])
def test_what_has_no_one_floor_is_refused(asked):
    with pytest.raises(ValueError, match="numpy"):
        floors(asked, [])
