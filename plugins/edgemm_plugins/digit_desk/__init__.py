"""Plugin `digit_desk`: the reference task. A camera sees a handwritten digit, a microphone hears a spoken one, text says what to do."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import CommandEntry, TaskEntry
from edgemm.host.hookspecs import hookimpl


@hookimpl
def edgemm_tasks() -> Iterator[TaskEntry]:
    """The task that `edgemm train` and `edgemm evaluate` work on."""
    yield TaskEntry(
        name="digit_desk",
        factory="edgemm_plugins.digit_desk.task:build",
        summary="handwritten digit + spoken digit + instruction -> 0 to 18",
        requires=("torch",),
        extra="train",
    )


@hookimpl
def edgemm_commands() -> Iterator[CommandEntry]:
    """The demonstration of the whole main job."""
    yield CommandEntry(
        name="demo",
        factory="edgemm_plugins.digit_desk.demo",
        summary="export the shipped model, stream its sample clip, write a report",
        requires=("torch", "av", "rich"),
        extra="media,export",
    )
