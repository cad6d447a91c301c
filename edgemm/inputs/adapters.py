"""Adapters: the torch-free step from what a source delivers to the tensor that a graph reads.

The same code serves training, calibration and running, so that they cannot drift apart. What can be in the graph (normalisation,
log-mel) is in the graph; what cannot (resizing, windowing, bytes) is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemm.inputs.audio import AudioAdapter, Sound
from edgemm.inputs.declarations import Audio, Image, InputSpec, Text
from edgemm.inputs.image import ImageAdapter
from edgemm.inputs.tensor import TensorAdapter
from edgemm.inputs.text import TextAdapter

if TYPE_CHECKING:
    from edgemm.host.interfaces import Adapter

__all__ = ["AudioAdapter", "ImageAdapter", "Sound", "TensorAdapter", "TextAdapter", "make_adapter"]


def make_adapter(name: str, spec: InputSpec) -> Adapter:
    """The adapter of input `name`; a plugin's only when the input asks for one by name.

    Raises:
        UnknownNameError: the input names an adapter that nobody registered.
    """
    if isinstance(spec, Image):
        return ImageAdapter(name, spec)
    if isinstance(spec, Audio):
        return AudioAdapter(name, spec)
    if isinstance(spec, Text):
        return TextAdapter(name, spec)
    if spec.adapter == "tensor":
        return TensorAdapter(name, spec)
    from edgemm.host.entries import AdapterEntry
    from edgemm.host.plugin_host import default_host

    made: Adapter = default_host().load(AdapterEntry, spec.adapter)(**spec.options)
    return made
