"""EdgeMM: from a trained multimodal PyTorch model to a live stream on an edge GPU, and on any CPU.

Importing this package loads nothing heavy: every public name is resolved on first use.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
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
    "Inbox": "edgemm.inbox",
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
    "evaluate": "edgemm.modeling.answering",
    "export": "edgemm.export.exporting",
    "hookimpl": "edgemm.hookspecs",
    "load": "edgemm.modeling.checkpoint",
    "open": "edgemm.runtime.opening",
    "profile": "edgemm.profiling.profiling",
    "stream": "edgemm.runtime.streaming",
    "train": "edgemm.modeling.train",
    "verify": "edgemm.runtime.verifying",
    "wrap": "edgemm.modeling.wrapping",
}

__all__ = [
    "AdapterEntry",
    "Audio",
    "CommandEntry",
    "DeviceEntry",
    "EdgeMMError",
    "EncoderEntry",
    "ExporterEntry",
    "FusionEntry",
    "HeadEntry",
    "Image",
    "Inbox",
    "ObserverEntry",
    "Packet",
    "QuantizerEntry",
    "RunnerEntry",
    "SinkEntry",
    "Sound",
    "SourceEntry",
    "TaskEntry",
    "Tensor",
    "Text",
    "__version__",
    "build",
    "doctor",
    "evaluate",
    "export",
    "hookimpl",
    "load",
    "open",
    "profile",
    "stream",
    "train",
    "verify",
    "wrap",
]

if TYPE_CHECKING:
    from edgemm.adapters.audio import Sound
    from edgemm.doctor import doctor
    from edgemm.entries import (
        AdapterEntry,
        CommandEntry,
        DeviceEntry,
        EncoderEntry,
        ExporterEntry,
        FusionEntry,
        HeadEntry,
        ObserverEntry,
        QuantizerEntry,
        RunnerEntry,
        SinkEntry,
        SourceEntry,
        TaskEntry,
    )
    from edgemm.errors import EdgeMMError
    from edgemm.export.building import build
    from edgemm.export.exporting import export
    from edgemm.hookspecs import hookimpl
    from edgemm.inbox import Inbox
    from edgemm.inputs import Audio, Image, Tensor, Text
    from edgemm.interfaces import Packet
    from edgemm.modeling.answering import evaluate
    from edgemm.modeling.checkpoint import load
    from edgemm.modeling.train import train
    from edgemm.modeling.wrapping import wrap
    from edgemm.profiling.profiling import profile
    from edgemm.runtime.opening import open  # noqa: A004
    from edgemm.runtime.streaming import stream
    from edgemm.runtime.verifying import verify


class _Package(ModuleType):
    """Keeps a public name from being hidden by the module of the same name: `edgemm.export` is the function, also when something
    imported the package `edgemm.export` first."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _LAZY and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(_module_of(name), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'edgemm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


def _module_of(name: str) -> ModuleType:
    try:
        return importlib.import_module(_LAZY[name])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == __name__:
            raise
        from edgemm.errors import MissingDependencyError
        from edgemm.optional import missing_message

        extra = "train" if name == "train" else "export"
        raise MissingDependencyError(missing_message(f"edgemm.{name}", error.name, extra)) from error
