"""What a model says, and how much of its input stood behind it. Knows nothing of how it was computed, nor of what its outputs mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from edgemm.errors import NoAnswerError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from edgemm.outputs.kind import OutputKind

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


class Timings(NamedTuple):
    """When a result was computed, ns.

    Attributes:
        at_ns: the time that it speaks of, on the stream's clock.
        started_ns, done_ns: when its first node began and when it was ready, on `time.monotonic_ns()`.
    """

    at_ns: int
    started_ns: int
    done_ns: int


class Result:
    """Outputs, the state of every input, and timings. Built lazily: reading costs, making does not.

        if result.ok:
            print(result["answer"].label)

    `result["answer"]` is what that output says, `result.get("answer")` the same or None, `"answer" in result` whether it says anything. The first results of a
    stream may say nothing yet: an output whose inputs were absent is not there.

    Attributes:
        at_ns: the time that it speaks of, on the stream's clock.
        sequence: counts the results of a stream.
        partial: outputs that are still growing: a loop has more to say.
    """

    __slots__ = (
        "_inputs",
        "_kinds",
        "_outputs",
        "_rows",
        "_tensors",
        "_timings",
        "_views",
        "at_ns",
        "partial",
        "sequence",
    )

    def __init__(
        self,
        tensors: dict[str, dict[str, np.ndarray]],
        kinds: Mapping[str, OutputKind],
        rows: Any,
        views: Callable[[Any], dict[str, InputState]],
        timings: tuple[int, int, int],
        sequence: int,
        partial: tuple[str, ...] = (),
    ) -> None:
        self._tensors = tensors
        self._kinds = kinds
        self._rows = rows
        self._views = views
        self._inputs: dict[str, InputState] | None = None
        self._outputs: dict[str, Any] | None = None
        self.at_ns = timings[0]
        self._timings = timings
        self.sequence = sequence
        self.partial = partial

    def __getitem__(self, name: str) -> Any:
        """What an output says, as its kind reads it.

        Raises:
            UnknownNameError: the model has no such output.
            NoAnswerError: it says nothing, because inputs were absent; the message says which, and why.
        """
        if name in self._tensors:
            return self.outputs[name]
        if name not in self._kinds:
            raise UnknownNameError("output", name, self._kinds)
        states = ", ".join(
            f"{each} is {state.state}{f' ({state.reason})' if state.reason else ''}"
            for each, state in self.inputs.items()
        )
        raise NoAnswerError(
            f"output '{name}' says nothing: {states}. Ask result.ok before, or result.get('{name}'), which is None then"
        )

    def get(self, name: str, default: Any = None) -> Any:
        """What an output says, or `default` where it says nothing.

        Raises:
            UnknownNameError: the model has no such output.
        """
        return self[name] if name in self or name not in self._kinds else default

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        """The outputs that say something."""
        return iter(self._tensors)

    @property
    def ok(self) -> bool:
        """Whether every output says something."""
        return len(self._tensors) == len(self._kinds)

    @property
    def outputs(self) -> dict[str, Any]:
        """Name -> what the output's kind reads of it; an output whose inputs were absent is not there."""
        if self._outputs is None:
            self._outputs = {name: self._kinds[name].read(tensors) for name, tensors in self._tensors.items()}
        return self._outputs

    @property
    def timings(self) -> Timings:
        """When it was computed."""
        return Timings(*self._timings)

    @property
    def tensors(self) -> dict[str, dict[str, np.ndarray]]:
        """Output -> tensor -> array without the batch axis, as the model computed it; the caller's own."""
        return self._tensors

    @property
    def inputs(self) -> dict[str, InputState]:
        """Name -> how that input stood behind this result."""
        if self._inputs is None:
            self._inputs = self._views(self._rows)
            self._rows = None
        return self._inputs

    @property
    def final(self) -> bool:
        """Whether every output has said all that it has to say."""
        return not self.partial

    @property
    def compute_ms(self) -> float:
        """From the start of the first node to the result."""
        return (self._timings[2] - self._timings[1]) / 1e6

    def show(self, name: str) -> str:
        """One line of text for an output."""
        return self._kinds[name].show(self.outputs[name])

    def to_json(self) -> dict[str, Any]:
        """A record for JSON lines: time in s, outputs as their kinds write them, inputs."""
        return {
            "t": round(self.at_ns / 1e9, 3),
            "sequence": self.sequence,
            "outputs": {name: self._kinds[name].to_json(value) for name, value in self.outputs.items()},
            **({"partial": list(self.partial)} if self.partial else {}),
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
        answers = ", ".join(f"{name}={self.show(name)}" for name in self.outputs)
        states = ", ".join(f"{name} {state.state}" for name, state in self.inputs.items())
        return f"Result({answers or 'no prediction'}; {states})"
