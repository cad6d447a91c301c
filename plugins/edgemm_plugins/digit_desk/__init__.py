"""Plugin `digit_desk`: the reference task. A camera sees a handwritten digit, a microphone hears a spoken one, text says what to do."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.entries import TaskEntry
from edgemm.hookspecs import hookimpl


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
