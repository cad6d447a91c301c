"""Wheels, built once, and scratch environments to install them into."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _run(*command, check=True, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "EDGEMM_"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd="/", env=clean | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def run():
    """Runs a command outside the checkout, untouched by this process's settings; must succeed unless `check` is False."""
    return _run


@pytest.fixture(scope="session")
def build_wheel():
    """Builds the wheel of a source tree with the tools of this environment: no network."""

    def build(source: Path, out: Path) -> Path:
        _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source)
        (wheel,) = out.glob("*.whl")
        return wheel

    return build


@pytest.fixture(scope="session")
def wheel(tmp_path_factory, build_wheel) -> Path:
    """EdgeMM's own wheel."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def bare(tmp_path_factory, wheel) -> Path:
    """The Python of a fresh environment with the wheel and its core dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    _run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", wheel)
    return python
