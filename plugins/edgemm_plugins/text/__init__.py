"""Plugin `text`: text encoders."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import EncoderEntry
from edgemm.host.marker import hookimpl


@hookimpl
def edgemm_encoders() -> Iterator[EncoderEntry]:
    """Text encoders."""
    yield EncoderEntry(
        name="text.char_cnn",
        modality="text",
        factory="edgemm_plugins.text.char_cnn:build",
        config="edgemm_plugins.text.char_cnn:Config",
        summary="CNN over UTF-8 bytes: any language, no vocabulary file",
        requires=("torch",),
        extra="export",
    )
