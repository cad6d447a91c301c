"""EdgeMM's reference model: a camera sees a handwritten digit, a microphone hears a spoken one, a text says what to do with them.

Only records are made here: the modules that they name are imported when they are used.
"""

from __future__ import annotations

from collections.abc import Iterator

import edgemm


@edgemm.hookimpl
def edgemm_tasks() -> Iterator[edgemm.TaskEntry]:
    """The task that `edgemm train` and `edgemm evaluate` work on."""
    yield edgemm.TaskEntry(
        name="digit_desk",
        factory="edgemm_digit_desk.task:build",
        summary="handwritten digit + spoken digit + instruction -> 0 to 18",
        requires=("torch",),
        extra="export",
    )


@edgemm.hookimpl
def edgemm_commands() -> Iterator[edgemm.CommandEntry]:
    """The demonstration of the whole main job."""
    yield edgemm.CommandEntry(
        name="demo",
        factory="edgemm_digit_desk.demo",
        summary="export the shipped model, stream its sample clip, write a report",
        requires=("torch", "av", "rich"),
        extra="media,export",
    )
