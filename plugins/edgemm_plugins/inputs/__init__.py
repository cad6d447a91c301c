"""Plugin `inputs`: what models take. Torch-free; loaded where a bundle is opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgemm.host.marker import hookimpl

if TYPE_CHECKING:
    from edgemm.host.entries import InputEntry


@hookimpl
def edgemm_inputs() -> Iterator[InputEntry]:
    """Kinds of input."""
    from edgemm.host.entries import InputEntry  # not where a bundle is opened, which needs a kind and no list of them

    yield InputEntry(
        "image", "edgemm_plugins.inputs.image:Image", "frames of any size, made the model's: crop, letterbox or stretch"
    )
    yield InputEntry("audio", "edgemm_plugins.inputs.audio:Audio", "sound as a window that moves on by a hop")
    yield InputEntry("text", "edgemm_plugins.inputs.text:Text", "a line of text as UTF-8 bytes")
    yield InputEntry(
        "tokens", "edgemm_plugins.inputs.tokens:Tokens", "text as the ids of a tokenizer, with a mask (edgemm[tokens])"
    )
    yield InputEntry("clip", "edgemm_plugins.inputs.clip:Clip", "the newest frames of a camera, every so many of them")
    yield InputEntry("motion", "edgemm_plugins.inputs.motion:Motion", "a sampled sensor as a window: an IMU, a current")
    yield InputEntry("tensor", "edgemm_plugins.inputs.tensor:Tensor", "any sensor's array of a fixed shape")
