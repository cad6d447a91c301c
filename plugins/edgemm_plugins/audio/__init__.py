"""Plugin `audio`: sound encoders."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import EncoderEntry
from edgemm.host.marker import hookimpl


@hookimpl
def edgemm_encoders() -> Iterator[EncoderEntry]:
    """Sound encoders."""
    yield EncoderEntry(
        name="audio.logmel_cnn",
        modality="audio",
        factory="edgemm_plugins.audio.logmel_cnn:build",
        config="edgemm_plugins.audio.logmel_cnn:Config",
        summary="log-mel front end inside the graph, small CNN, attention over time",
        requires=("torch",),
        extra="export",
    )
