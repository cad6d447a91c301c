"""Plugin `heads`: what reads the fused vector."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import HeadEntry
from edgemm.host.marker import hookimpl


@hookimpl
def edgemm_heads() -> Iterator[HeadEntry]:
    """Heads."""
    yield HeadEntry(
        name="heads.classify",
        factory="edgemm_plugins.heads.classify:build",
        config="edgemm_plugins.heads.classify:Config",
        summary="one score per label",
        requires=("torch",),
        extra="export",
    )
