"""EdgeMM: from a trained multimodal PyTorch model to a live stream on an edge GPU, and on any CPU.

Importing this package loads nothing heavy: every public name is resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_LAZY = {
    "AdapterEntry": "edgemm.entries",
    "Audio": "edgemm.inputs",
    "CommandEntry": "edgemm.entries",
    "DeviceEntry": "edgemm.entries",
    "EdgeMMError": "edgemm.errors",
    "EncoderEntry": "edgemm.entries",
    "ExporterEntry": "edgemm.entries",
    "FusionEntry": "edgemm.entries",
    "HeadEntry": "edgemm.entries",
    "Image": "edgemm.inputs",
    "ObserverEntry": "edgemm.entries",
    "Packet": "edgemm.interfaces",
    "QuantizerEntry": "edgemm.entries",
    "RunnerEntry": "edgemm.entries",
    "SinkEntry": "edgemm.entries",
    "Sound": "edgemm.adapters.audio",
    "SourceEntry": "edgemm.entries",
    "TaskEntry": "edgemm.entries",
    "Tensor": "edgemm.inputs",
    "Text": "edgemm.inputs",
    "build": "edgemm.export.building",
    "doctor": "edgemm.doctor",
    "evaluate": "edgemm.modeling.evaluating",
    "export": "edgemm.export.exporting",
    "hookimpl": "edgemm.hookspecs",
    "load": "edgemm.modeling.checkpoint",
    "open": "edgemm.runtime.opening",
    "profile": "edgemm.profiling.profiling",
    "stream": "edgemm.runtime.streaming",
    "train": "edgemm.modeling.training",
    "wrap": "edgemm.modeling.wrapping",
}

__all__ = sorted([*_LAZY, "__version__"])  # noqa: PLE0605 (pinned by a test)

if TYPE_CHECKING:
    from edgemm.adapters.audio import Sound as Sound
    from edgemm.entries import (
        AdapterEntry as AdapterEntry,
    )


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'edgemm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
