"""Plugin `vision`: image encoders."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import EncoderEntry
from edgemm.host.marker import hookimpl


@hookimpl
def edgemm_encoders() -> Iterator[EncoderEntry]:
    """Image encoders."""
    yield EncoderEntry(
        name="vision.cnn",
        modality="image",
        factory="edgemm_plugins.vision.cnn:build",
        config="edgemm_plugins.vision.cnn:Config",
        summary="small CNN with contrast normalisation, for frames of any size",
        requires=("torch",),
        extra="export",
    )
