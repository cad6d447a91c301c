"""Plugin `outputs`: what models say. Torch-free; loaded where a bundle is opened."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import OutputEntry
from edgemm.host.hookspecs import hookimpl


@hookimpl
def edgemm_outputs() -> Iterator[OutputEntry]:
    """Kinds of output."""
    yield OutputEntry(
        "classes", "edgemm_plugins.outputs.classes:Classes", "one score per class, read as labels with probabilities"
    )
    yield OutputEntry("array", "edgemm_plugins.outputs.array:Array", "the numbers as they are")
