"""What a measurement was made on: processor, cores, load and versions. Loads nothing but the standard library and onnxruntime."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edgemm.version import __version__


def machine_facts() -> dict[str, Any]:
    """`cpu` (its name), `cores`, `load` (of the last minute; None where it is not told), `system`, `versions`."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "load": _load(),
        "system": platform.platform(terse=True),
        "versions": {
            "edgemm": __version__,
            "onnxruntime": ort.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def cpu_name() -> str:
    """The processor's name as Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None
