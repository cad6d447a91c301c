"""Plugin `outputs`: what models say. Torch-free; loaded where a bundle is opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgemm.host.marker import hookimpl

if TYPE_CHECKING:
    from edgemm.host.entries import OutputEntry


@hookimpl
def edgemm_outputs() -> Iterator[OutputEntry]:
    """Kinds of output."""
    from edgemm.host.entries import OutputEntry  # not where a bundle is opened, which needs a kind and no list of them

    yield OutputEntry(
        "classes", "edgemm_plugins.outputs.classes:Classes", "one score per class, read as labels with probabilities"
    )
    yield OutputEntry("values", "edgemm_plugins.outputs.values:Values", "numbers with names and units")
    yield OutputEntry(
        "boxes", "edgemm_plugins.outputs.boxes:Boxes", "boxes with scores and classes, as detectors say them"
    )
    yield OutputEntry("array", "edgemm_plugins.outputs.array:Array", "the numbers as they are")
