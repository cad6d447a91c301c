"""Sinks: JSON lines and the live terminal view. Listing them imports no terminal library."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import Option, SinkEntry
from edgemm.host.marker import hookimpl

_HERE = "edgemm_plugins.sinks"


@hookimpl
def edgemm_sinks() -> Iterator[SinkEntry]:
    """The sinks that come with EdgeMM."""
    yield SinkEntry(
        name="json_lines",
        factory=f"{_HERE}.json_lines:build",
        summary="one JSON object per result",
        options=(
            Option("path", "", "a new file to write to, instead of standard output"),
            Option("limit_mb", 1024, "at this size, in MiB, the file becomes PATH.1, and a new one is begun"),
        ),
    )
    yield SinkEntry(
        name="terminal",
        factory=f"{_HERE}.terminal:build",
        summary="the live view; plain lines where there is no terminal",
        requires=("rich",),
        extra="media",
        options=(Option("title", "", "shown on top, instead of the model's name"),),
    )
