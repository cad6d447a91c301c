"""Plugin `fusion`: fusion strategies."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import FusionEntry
from edgemm.host.marker import hookimpl


@hookimpl
def edgemm_fusions() -> Iterator[FusionEntry]:
    """Fusion strategies; each takes any non-empty subset of the inputs."""
    yield FusionEntry(
        name="fusion.concat",
        factory="edgemm_plugins.fusion.concat:build",
        config="edgemm_plugins.fusion.concat:Config",
        summary="pooled tokens side by side with presence bits, then an MLP",
        requires=("torch",),
        extra="export",
    )
    yield FusionEntry(
        name="fusion.joint",
        factory="edgemm_plugins.fusion.joint:build",
        config="edgemm_plugins.fusion.joint:Config",
        summary="self-attention over the tokens of all inputs, with type, age and presence",
        requires=("torch",),
        extra="export",
    )
