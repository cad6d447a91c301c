"""What a model says, and how much of its input stood behind it. Knows nothing of how it was computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

LIVE, STALE, ABSENT = "live", "stale", "absent"


class InputState(NamedTuple):
    """How one input stood behind a result.

    Attributes:
        state: `live`, `stale` (older than the input's `stale_after_ms`) or `absent` (nothing usable).
        age_ms: age of what was used, from its capture to the result's time; None when absent.
        hit: whether a cached embedding served, because nothing new had come since the result before.
        reason: why it is absent (`no data`, `nothing recognised`, `expired`, `ended`, …); "" otherwise.
    """

    state: str
    age_ms: float | None
    hit: bool
    reason: str


@dataclass(frozen=True)
class Answer:
    """One output.

    Attributes:
        scores: the output as the model computed it, without the batch axis; the caller's own array.
        labels: a name for each score, when the output holds one per class.
    """

    scores: np.ndarray
    labels: tuple[str, ...] = ()

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
        """Name of the highest score; its index as text where there are no labels."""
        return self.labels[self.index] if self.labels else str(self.index)

    @property
    def score(self) -> float:
        """Probability of the highest score, 0 to 1."""
        return float(self.probabilities[self.index])

    def top(self, count: int) -> list[tuple[str, float]]:
        """The `count` likeliest labels with their probabilities, best first."""
        order = np.argsort(self.scores)[::-1][:count]
        return [(self.labels[i] if self.labels else str(i), float(self.probabilities[i])) for i in order]


class Result:
    """Outputs, the state of every input, and timings. Built lazily: reading costs, making does not.

    Attributes:
        at_ns: the time that it speaks of, on the stream's clock.
        sequence: counts the results of a stream.
        timings: when it was computed.
    """

    __slots__ = ("_inputs", "_labels", "_outputs", "_rows", "_views", "at_ns", "sequence", "timings")

    def __init__(
        self,
        outputs: dict[str, np.ndarray],
        labels: Mapping[str, tuple[str, ...]],
        rows: Any,
        views: Callable[[Any], dict[str, InputState]],
        timings: tuple[int, int, int],
        sequence: int,
    ) -> None:
        self._outputs: dict[str, Any] = outputs
        self._labels = labels
        self._rows = rows
        self._views = views
        self._inputs: dict[str, InputState] | None = None
        self.at_ns = timings[0]
        self.timings = timings
        self.sequence = sequence

    @property
    def outputs(self) -> dict[str, Answer]:
        """Name -> answer; empty when every input was absent."""
        for name, value in self._outputs.items():
            if type(value) is not Answer:
                self._outputs[name] = Answer(value, self._labels.get(name, ()))
        return self._outputs

    @property
    def inputs(self) -> dict[str, InputState]:
        """Name -> how that input stood behind this result."""
        if self._inputs is None:
            self._inputs = self._views(self._rows)
            self._rows = None
        return self._inputs

    @property
    def compute_ms(self) -> float:
        """From the start of the last node to the result."""
        return (self.timings[2] - self.timings[1]) / 1e6

    def to_json(self) -> dict[str, Any]:
        """A record for JSON lines: time in s, answers with their three best, inputs."""
        return {
            "t": round(self.at_ns / 1e9, 3),
            "sequence": self.sequence,
            "outputs": {
                name: {
                    "label": answer.label,
                    "score": round(answer.score, 4),
                    "top": [[label, round(score, 4)] for label, score in answer.top(3)],
                }
                if answer.labels
                else {"values": np.round(answer.scores, 5).tolist()}
                for name, answer in self.outputs.items()
            },
            "inputs": {
                name: {
                    "state": state.state,
                    "age_ms": None if state.age_ms is None else round(state.age_ms, 1),
                    "cached": state.hit,
                    **({"reason": state.reason} if state.reason else {}),
                }
                for name, state in self.inputs.items()
            },
            "compute_ms": round(self.compute_ms, 3),
        }

    def __repr__(self) -> str:
        answers = ", ".join(f"{name}={answer.label} ({answer.score:.2f})" for name, answer in self.outputs.items())
        states = ", ".join(f"{name} {state.state}" for name, state in self.inputs.items())
        return f"Result({answers or 'no prediction'}; {states})"
