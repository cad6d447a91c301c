"""One score per class, read as a label with its probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from edgemm.errors import SpecError
from edgemm.outputs.kind import OutputKind
from edgemm.tensors import TensorSpec


@dataclass(frozen=True)
class Classification:
    """What a model says of classes.

    Attributes:
        scores: as the model computed them (logits), float `(classes,)`; the caller's own array.
        labels: a name for each score.
    """

    scores: np.ndarray
    labels: tuple[str, ...]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the scores, float64."""
        shifted = np.exp(self.scores - np.max(self.scores), dtype=np.float64)
        probabilities: np.ndarray = shifted / shifted.sum()
        return probabilities

    @property
    def index(self) -> int:
        """Index of the highest score."""
        return int(np.argmax(self.scores))

    @property
    def label(self) -> str:
        """Name of the highest score."""
        return self.labels[self.index]

    @property
    def score(self) -> float:
        """Probability of the highest score, 0 to 1."""
        return float(self.probabilities[self.index])

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` likeliest labels with their probabilities, best first."""
        order = np.argsort(self.scores)[::-1][:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in order]


@dataclass(frozen=True)
class Classes(OutputKind):
    """One score (logit) per class, float `(batch, classes)`.

    Attributes:
        labels: a name for each class, in the order of the scores.
    """

    kind: ClassVar[str] = "classes"
    tensors: ClassVar[tuple[str, ...]] = ("scores",)
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.labels or not all(isinstance(label, str) for label in self.labels):
            raise SpecError(f"classes output: labels must be a list of names, got {self.labels!r}")
        object.__setattr__(self, "labels", tuple(self.labels))

    def check(self, specs: Mapping[str, TensorSpec]) -> str:
        """Every class needs a name, and every name a class."""
        shape = specs["scores"].shape
        if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != len(self.labels)):
            return f"it has {len(self.labels)} labels, but its scores are {specs['scores']}"
        return "" if specs["scores"].dtype.startswith("float") else f"scores must be floats, they are {specs['scores']}"

    def read(self, tensors: Mapping[str, np.ndarray]) -> Classification:
        """Scores with their names."""
        return Classification(tensors["scores"], self.labels)

    def show(self, value: Classification) -> str:
        """The likeliest label and its probability."""
        return f"{value.label} ({value.score:.2f})"

    def to_json(self, value: Classification) -> Any:
        """The likeliest label, its probability, and the three best."""
        return {
            "label": value.label,
            "score": round(value.score, 4),
            "top": [[label, round(score, 4)] for label, score in value.top(3)],
        }

    def agreement(self, reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> np.ndarray:
        """Row by row, whether the highest score is the same class's."""
        agree: np.ndarray = reference["scores"].argmax(axis=1) == other["scores"].argmax(axis=1)
        return agree
