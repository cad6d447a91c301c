"""What a measurement was made on: the machine, its load and the versions. Loads nothing but the standard library, numpy and onnxruntime."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
import onnxruntime as ort

from edgemm.machine.probe import this_machine
from edgemm.version import __version__


def machine_facts() -> dict[str, Any]:
    """`cpu` and `gpus` (their names), `cores`, `load` (of the last minute; None where it is not told), `system`, `versions`."""
    machine = this_machine()
    return {
        "cpu": machine.cpu,
        "gpus": [gpu.name for gpu in machine.gpus],
        "cores": machine.cores,
        "load": _load(),
        "system": platform.platform(terse=True),
        "versions": {
            "edgemm": __version__,
            "onnxruntime": ort.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None
