"""What the trainer and the evaluation need to know about a task: its data, its truth, and its test sets.

A task is brought by a plugin (hook `edgemm_tasks`). It says what each input's examples are (samplers), how the answer
follows from the classes of the inputs (`posterior`), and on what a model is tested. It does not know the model: its
tensors are those that the kinds of input make and that the model's graphs read. This module imports neither torch nor data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgemm.host.entries import TaskEntry
from edgemm.progress import Progress

if TYPE_CHECKING:
    import torch

    from edgemm.host.plugin_host import PluginHost

__all__ = [
    "FusionTraining",
    "Labels",
    "Presence",
    "Rows",
    "Sampler",
    "SkippedSet",
    "Task",
    "TestSet",
    "Training",
    "arrays_of",
    "data_folder",
    "load_task",
]

Labels = Mapping[str, NDArray[np.int64]]
"""Per input, the class of every row (rows,). An input's last class means "nothing here"."""

Rows: TypeAlias = "NDArray[Any] | tuple[NDArray[Any], ...]"
"""What one input has, raw (rows, …) as the graph reads it; of an input of several tensors an array for each, in their order."""

Presence = Mapping[str, NDArray[np.bool_]]
"""Per input, whether each row (rows,) has it."""


class Training(Protocol):
    """How an encoder is trained alone: AdamW over one learning-rate cycle."""

    @property
    def steps(self) -> int:
        """Number of batches."""
        ...

    @property
    def batch(self) -> int:
        """Examples in one batch."""
        ...

    @property
    def learning_rate(self) -> float:
        """The cycle's highest rate."""
        ...

    @property
    def weight_decay(self) -> float:
        """AdamW's decoupled decay."""
        ...

    @property
    def label_smoothing(self) -> float:
        """Share of each target that is spread evenly over all classes."""
        ...


class Sampler(Protocol):
    """Draws training examples of one input, reproducibly from a torch generator."""

    @property
    def classes(self) -> int:
        """Number of classes; the last one means "nothing here"."""
        ...

    @property
    def training(self) -> Training:
        """How long, and how, an encoder is trained on these batches."""
        ...

    def batch(self, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return raw inputs (size, …) as the graph reads them, and targets (size, classes), rows that sum to 1."""
        ...


@dataclass(frozen=True)
class FusionTraining:
    """How fusion and head are trained on the cached tokens of frozen encoders.

    Attributes:
        steps, batch, learning_rate, weight_decay: as for an encoder.
        dropout: probability that an input is left out of an example; at least one input always stays.
        samples: per input, how many encoded examples are cached.
        oldest_ms: per input, the greatest age of an embedding in training.
    """

    samples: Mapping[str, int]
    oldest_ms: Mapping[str, float]
    steps: int = 1500
    batch: int = 192
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    dropout: float = 0.25


@dataclass(frozen=True)
class TestSet:
    """Rows of inputs that were never trained on, with their truth.

    Attributes:
        name: a key for JSON, such as `varied`.
        title: what is special about it, for a table.
        inputs: per input, its rows.
        labels: per input, the class of each row; for an `ignored` input, what it would have been.
        groups: the line of the table that each row belongs to; empty for no table.
        minimum: the accuracy to reach, with all inputs present; None to only report it.
        ignored: an input that carries nothing here (silence, noise) and has to be answered as if it were absent.
    """

    __test__ = False  # the name starts like a test; pytest shall not collect it

    name: str
    title: str
    inputs: Mapping[str, Rows]
    labels: Labels
    groups: tuple[str, ...] = ()
    minimum: float | None = None
    ignored: str | None = None

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(arrays_of(next(iter(self.inputs.values())))[0])


@dataclass(frozen=True)
class SkippedSet:
    """A test set that could not be made on this machine, and why."""

    title: str
    reason: str


class Task(Protocol):
    """A task's data and truth."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The labels of the answer, in the order of the head's logits."""
        ...

    @property
    def fusion_training(self) -> FusionTraining:
        """How fusion and head are trained."""
        ...

    def prepare(self, progress: Progress) -> list[str]:
        """Fetch or make the data that is not there yet; return what could not be had and is done without, and why."""
        ...

    def sampler(self, input_name: str) -> Sampler:
        """Training examples of an input."""
        ...

    def augment(self, input_name: str) -> torch.nn.Module | None:
        """A module for the encoder's `augment` slot while it is trained, or None."""
        ...

    def posterior(self, labels: Labels, presence: Presence) -> NDArray[np.float32]:
        """Return the exact probability (rows, answers) of each answer given the classes of the present inputs alone.

        A row whose class says "nothing here" counts as absent. With everything present it is the truth, one-hot unless
        the inputs leave the answer open.
        """
        ...

    def combinations(self) -> Labels:
        """All equally likely combinations of the inputs' classes, from which ceilings follow exactly."""
        ...

    def test_sets(self, count: int, seed: int) -> Iterable[TestSet | SkippedSet]:
        """Make the test sets, about `count` rows each; the first is the one on which subsets are measured."""
        ...


def arrays_of(rows: Rows) -> tuple[NDArray[Any], ...]:
    """The arrays of one input's rows, one for each of its tensors."""
    return rows if isinstance(rows, tuple) else (rows,)


def data_folder(task: str, data: str | Path | None = None) -> Path:
    """Where a task keeps its data: `data`, or `$EDGEMM_DATA`, or the user's cache."""
    if data is not None:
        return Path(data)
    if chosen := os.environ.get("EDGEMM_DATA"):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edgemm" / task


def load_task(name: str, data: str | Path | None, host: PluginHost) -> Task:
    """Make a registered task.

    Raises:
        UnknownNameError: lists the tasks that plugins registered.
    """
    registered = host.find(TaskEntry, name)
    task: Task = host.resolve(registered, registered.entry.factory)(data_folder(name, data))
    return task
