"""EdgeMM: from a trained multimodal PyTorch model to a live stream on an edge GPU, and on any CPU.

Importing this package loads nothing heavy: every public name is resolved on first use. It does one thing, for this process and those that it starts:
it tells ONNX Runtime, which reads it when it is imported, to record and send nothing.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgemm.version import __version__

# else a device's id below the user's cache folder, and reports to a host
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_LAZY = {
    "Array": "edgemm_plugins.outputs.array",
    "Audio": "edgemm_plugins.inputs.audio",
    "Batch": "edgemm.runtime.batch",
    "Boxes": "edgemm_plugins.outputs.boxes",
    "Classes": "edgemm_plugins.outputs.classes",
    "Clip": "edgemm_plugins.inputs.clip",
    "CommandEntry": "edgemm.host.entries",
    "DeviceEntry": "edgemm.host.entries",
    "EdgeMMError": "edgemm.errors",
    "EncoderEntry": "edgemm.host.entries",
    "ExporterEntry": "edgemm.host.entries",
    "FusionEntry": "edgemm.host.entries",
    "HeadEntry": "edgemm.host.entries",
    "Image": "edgemm_plugins.inputs.image",
    "Inbox": "edgemm.streaming.inbox",
    "InputEntry": "edgemm.host.entries",
    "InputKind": "edgemm.inputs.kind",
    "Live": "edgemm.runtime.schedule",
    "Model": "edgemm.runtime.model",
    "Motion": "edgemm_plugins.inputs.motion",
    "ObserverEntry": "edgemm.host.entries",
    "Option": "edgemm.host.entries",
    "OutputEntry": "edgemm.host.entries",
    "OutputKind": "edgemm.outputs.kind",
    "Packet": "edgemm.host.interfaces",
    "QuantizerEntry": "edgemm.host.entries",
    "Result": "edgemm.outputs.results",
    "RunnerEntry": "edgemm.host.entries",
    "SinkEntry": "edgemm.host.entries",
    "Sound": "edgemm_plugins.inputs.audio",
    "SourceEntry": "edgemm.host.entries",
    "SourceUri": "edgemm.streaming.sources",
    "Stream": "edgemm.streaming.stream",
    "TaskEntry": "edgemm.host.entries",
    "Tensor": "edgemm_plugins.inputs.tensor",
    "Text": "edgemm_plugins.inputs.text",
    "Tokens": "edgemm_plugins.inputs.tokens",
    "Trust": "edgemm.bundle.trust",
    "Values": "edgemm_plugins.outputs.values",
    "build": "edgemm.exporting.build",
    "doctor": "edgemm.machine.doctor",
    "evaluate": "edgemm.training.evaluate",
    "export": "edgemm.exporting.export",
    "hookimpl": "edgemm.host.marker",
    "load": "edgemm.modeling.checkpoint",
    "open": "edgemm.runtime.model",
    "profile": "edgemm.profiling.profile",
    "sign": "edgemm.bundle.signing",
    "stream": "edgemm.streaming.stream",
    "train": "edgemm.training.train",
    "verify": "edgemm.checking.verify",
    "wrap": "edgemm.modeling.wrap",
}

__all__ = [
    "Array",
    "Audio",
    "Batch",
    "Boxes",
    "Classes",
    "Clip",
    "CommandEntry",
    "DeviceEntry",
    "EdgeMMError",
    "EncoderEntry",
    "ExporterEntry",
    "FusionEntry",
    "HeadEntry",
    "Image",
    "Inbox",
    "InputEntry",
    "InputKind",
    "Live",
    "Model",
    "Motion",
    "ObserverEntry",
    "Option",
    "OutputEntry",
    "OutputKind",
    "Packet",
    "QuantizerEntry",
    "Result",
    "RunnerEntry",
    "SinkEntry",
    "Sound",
    "SourceEntry",
    "SourceUri",
    "Stream",
    "TaskEntry",
    "Tensor",
    "Text",
    "Tokens",
    "Trust",
    "Values",
    "__version__",
    "build",
    "doctor",
    "evaluate",
    "export",
    "hookimpl",
    "load",
    "open",
    "profile",
    "sign",
    "stream",
    "train",
    "verify",
    "wrap",
]

if TYPE_CHECKING:
    from edgemm.bundle.signing import sign
    from edgemm.bundle.trust import Trust
    from edgemm.checking.verify import verify
    from edgemm.errors import EdgeMMError
    from edgemm.exporting.build import build
    from edgemm.exporting.export import export
    from edgemm.host.entries import (
        CommandEntry,
        DeviceEntry,
        EncoderEntry,
        ExporterEntry,
        FusionEntry,
        HeadEntry,
        InputEntry,
        ObserverEntry,
        Option,
        OutputEntry,
        QuantizerEntry,
        RunnerEntry,
        SinkEntry,
        SourceEntry,
        TaskEntry,
    )
    from edgemm.host.interfaces import Packet
    from edgemm.host.marker import hookimpl
    from edgemm.inputs.kind import InputKind
    from edgemm.machine.doctor import doctor
    from edgemm.modeling.checkpoint import load
    from edgemm.modeling.wrap import wrap
    from edgemm.outputs.kind import OutputKind
    from edgemm.outputs.results import Result
    from edgemm.profiling.profile import profile
    from edgemm.runtime.batch import Batch
    from edgemm.runtime.model import Model, open  # noqa: A004
    from edgemm.runtime.schedule import Live
    from edgemm.streaming.inbox import Inbox
    from edgemm.streaming.sources import SourceUri
    from edgemm.streaming.stream import Stream, stream
    from edgemm.training.evaluate import evaluate
    from edgemm.training.train import train
    from edgemm_plugins.inputs.audio import Audio, Sound
    from edgemm_plugins.inputs.clip import Clip
    from edgemm_plugins.inputs.image import Image
    from edgemm_plugins.inputs.motion import Motion
    from edgemm_plugins.inputs.tensor import Tensor
    from edgemm_plugins.inputs.text import Text
    from edgemm_plugins.inputs.tokens import Tokens
    from edgemm_plugins.outputs.array import Array
    from edgemm_plugins.outputs.boxes import Boxes
    from edgemm_plugins.outputs.classes import Classes
    from edgemm_plugins.outputs.values import Values


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
        from edgemm.host.optional import missing_message

        extra = "train" if name == "train" else "export"
        raise MissingDependencyError(missing_message(f"edgemm.{name}", error.name, extra)) from error
