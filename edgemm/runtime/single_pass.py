"""One pass of a batch through the nodes: what `infer`, calibration, export, evaluation and the parity ladder share.

A pass alone is stateless: state is zero, windows hold the one value that is given. With a `Memory` the next pass goes on where the
last one ended, row by row, as streams do (`rollout` does that for a whole sequence). A pass has no clock: passes with a memory follow
one another at the pace of what each window reads (`model/periods`), and a loop makes one step per pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from edgemm.errors import InputError
from edgemm.inputs.kind import InputKind
from edgemm.model.edge import AGE, INPUT, MASK, VALUE, Edge
from edgemm.model.graph import ModelGraph, Node
from edgemm.model.periods import periods_ns
from edgemm.model.rules import Until
from edgemm.runtime.feeds import NEVER, NS_PER_MS, may_run, nothing, recognised, write_members
from edgemm.tensors import TensorSpec

Arrays = dict[str, np.ndarray]


class BatchRunner(Protocol):
    """As much of a runner as a pass needs."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What it takes; of a module in torch, its state at least."""
        ...

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in declared order."""
        ...


class Past(NamedTuple):
    """The newest values of an edge, oldest first, for each row of the batch: what an edge with a window reads.

    Attributes:
        values: `(batch, count, …)`, zeros where there was nothing yet.
        mask: bool `(batch, count)`, which of them are there.
        moments: int `(batch, count)`, the moments at which they came.
    """

    values: np.ndarray
    mask: np.ndarray
    moments: np.ndarray

    @classmethod
    def empty(cls, newest: np.ndarray, count: int) -> Past:
        """Of an edge whose newest values are `newest`, none of them taken yet."""
        batch = len(newest)
        values = np.zeros((batch, count, *newest.shape[1:]), newest.dtype)
        return cls(values, np.zeros((batch, count), bool), np.zeros((batch, count), np.int64))

    def with_newest(self, newest: np.ndarray, rows: np.ndarray, moment: int) -> Past:
        """The same after an arrival in some rows; a smaller batch goes on with the first streams."""
        values, mask, moments = (array[: len(newest)].copy() for array in self)
        values[rows] = np.concatenate([values[rows, 1:], newest[rows, np.newaxis]], axis=1)
        mask[rows] = np.concatenate([mask[rows, 1:], np.ones((rows.sum(), 1), bool)], axis=1)
        moments[rows] = np.concatenate([moments[rows, 1:], np.full((rows.sum(), 1), moment)], axis=1)
        return Past(values, mask, moments)

    def part(self, part: str, moment: int, period_ns: int, limit_ns: int) -> np.ndarray:
        """Values, mask or ages in ms at a moment; what is older than the limit, if there is one, is as what never came."""
        ages_ns = (moment - self.moments) * period_ns
        there = self.mask & (ages_ns <= limit_ns) if limit_ns else self.mask
        if part == MASK:
            return there
        if part == AGE:
            return np.where(there, ages_ns / NS_PER_MS, 0.0).astype(np.float32)
        return np.where(
            there.reshape(*there.shape, *[1] * (self.values.ndim - 2)), self.values, self.values.dtype.type(0)
        )


class Memory:
    """What one pass leaves to the next: for each row of the batch what a stream remembers.

    Attributes:
        state: node -> graph input -> array.
        windows: (edge without its window, the window's count) -> its newest values.
        moment: how many passes have begun.
    """

    def __init__(self) -> None:
        self.moment = 0
        self.state: dict[str, Arrays] = {}
        self.windows: dict[tuple[Edge, int], Past] = {}


class SinglePass:
    """Runs every node whose inputs are there, once, in order.

    Args:
        graph: the model.
        runners: graph name -> runner.
        tensors: input -> batch, keyed as `tensor_key` says; absent inputs are left out.
        presence: input name -> bool `(batch,)`, for inputs that only some rows have.
        age_ms: member -> age.
        memory: of the pass before; changed by this one. This one may have fewer rows: the first streams go on.

    Attributes:
        feeds: node -> what its graph was given.
        values: node -> output name -> array `(batch, …)`.
        ran: node -> bool `(batch,)`, where what it needs was there; elsewhere its values mean nothing, and its state stands still.
        usable: source (`input.audio`, `audio`) -> bool `(batch,)`.
    """

    def __init__(
        self,
        graph: ModelGraph,
        runners: Mapping[str, BatchRunner],
        tensors: Mapping[str, np.ndarray],
        *,
        presence: Mapping[str, np.ndarray] | None = None,
        age_ms: Mapping[str, float] | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._graph = graph
        self._runners = runners
        self._inputs = tensors
        self._age_ms = age_ms or {}
        self._memory = memory
        self.batch = len(next(iter(tensors.values()))) if tensors else 1
        self.feeds: dict[str, Arrays] = {}
        self.values: dict[str, Arrays] = {}
        self.ran: Arrays = {}
        self.usable: Arrays = {}
        self._windows: dict[tuple[Edge, int], Past] = {}
        if memory is not None:
            memory.moment += 1
        self._moment = 0 if memory is None else memory.moment
        for key, tensor in tensors.items():
            if len(tensor) != self.batch:
                raise InputError(f"input '{key}' has a batch of {len(tensor)}, the inputs before it {self.batch}")
            name = key.partition(".")[0]
            self.usable[f"{INPUT}.{name}"] = (presence or {}).get(name, np.ones(self.batch, bool))
        for node in graph.nodes:
            self._step(node)

    def outputs(self) -> dict[str, Arrays]:
        """Output -> tensor of its kind -> array `(batch, …)`, without those whose inputs were absent."""
        return {
            name: {tensor: self.values[edge.owner][edge.output] for tensor, edge in output.reads.items()}
            for name, output in self._graph.outputs.items()
            if all(source in self.values for source in output.sources)
        }

    def _step(self, node: Node) -> None:
        concerned = node.members if node.presence else node.sources
        if not may_run(node, [source in self.usable for source in concerned]):
            return
        runner = self._runners[node.graph]
        feeds = self.feeds[node.name] = self._feeds(node, {spec.name: spec for spec in runner.inputs})
        outputs = dict(zip(node.outputs, runner.run(feeds), strict=True))
        self.values[node.name] = outputs
        ran = self.ran[node.name] = self._ran(concerned, node)
        self.usable[node.name] = ran & [recognised(row) for row in outputs[node.usable]] if node.usable else ran
        if self._memory is not None and node.state:
            self._memory.state[node.name] = next_state(node, feeds, outputs, ran)

    def _ran(self, concerned: Sequence[str], node: Node) -> np.ndarray:
        absent = np.zeros(self.batch, bool)
        columns = [self.usable.get(source, absent) for source in concerned]
        return np.array([may_run(node, row) for row in zip(*columns, strict=True)])

    def _feeds(self, node: Node, specs: Mapping[str, TensorSpec]) -> Arrays:
        feeds = {}
        for name, edge in node.reads.items():
            found = self._read(edge)
            feeds[name] = nothing(specs[name], self.batch) if found is None else found
        if node.presence or node.age:
            presence, ages = self._members(node)
            feeds |= {name: rows for name, rows in ((node.presence, presence), (node.age, ages)) if name}
        for name in node.state.values():
            kept = None if self._memory is None else self._memory.state.get(node.name, {}).get(name)
            feeds[name] = nothing(specs[name], self.batch) if kept is None else kept[: self.batch]
        return feeds

    def _members(self, node: Node) -> tuple[np.ndarray, np.ndarray]:
        """Presence and age `(batch, M)`."""
        presence, ages = np.zeros((2, self.batch, len(node.members)), np.float32)
        absent = np.zeros(self.batch, bool)
        for row in range(self.batch):
            ages_ns = [
                int(self._age_ms.get(member, 0.0) * NS_PER_MS) if self.usable.get(member, absent)[row] else NEVER
                for member in node.members
            ]
            write_members(ages_ns, presence[row], ages[row])
        return presence, ages

    def _read(self, edge: Edge) -> np.ndarray | None:
        """What an edge carries, or None where its source is absent."""
        if edge.from_input:
            found = self._inputs.get(f"{edge.output}.{edge.tensor}") if edge.tensor else None
            found = self._inputs.get(edge.output) if found is None else found
        else:
            found = self.values.get(edge.owner, {}).get(edge.output)
        if found is None or edge.window is None:
            return found
        return self._window(edge, found)

    def _window(self, edge: Edge, newest: np.ndarray) -> np.ndarray:
        """The last part of an edge's past: values, mask or ages; a row whose source says nothing now adds nothing."""
        assert edge.window is not None
        count = edge.window.count
        key = edge._replace(window=None, part=VALUE), count
        past = self._windows.get(key)  # several edges may read the same window: it takes a value once per pass
        if past is None:
            before = None if self._memory is None else self._memory.windows.get(key)
            past = (before or Past.empty(newest, count)).with_newest(newest, self.usable[edge.source], self._moment)
            self._windows[key] = past
            if self._memory is not None:
                self._memory.windows[key] = past
        if self._memory is None:  # one value, of now
            return past.part(edge.part, 0, 0, 0)
        return past.part(edge.part, self._moment, self._periods_ns[edge.source], self._limit_ns(edge))

    @cached_property
    def _periods_ns(self) -> Mapping[str, int]:
        return periods_ns(self._graph)

    def _limit_ns(self, edge: Edge) -> int:
        """How old what a window holds may be, as in a stream; 0 for any age."""
        valid_for_ms = next((node.valid_for_ms for node in self._graph.nodes if node.name == edge.source), 0.0)
        limits_ms = edge.window.ms if edge.window else 0.0, valid_for_ms
        return min((int(ms * NS_PER_MS) for ms in limits_ms if ms), default=0)


def next_state(node: Node, feeds: Mapping[str, np.ndarray], outputs: Arrays, ran: np.ndarray) -> Arrays:
    """Graph input -> the state for the next pass: what the node returned where it ran, what it was given elsewhere.

    A loop that has stopped begins anew, with zeros.
    """
    if isinstance(node.trigger, Until):
        going_on = ~outputs[node.trigger.stop].reshape(len(ran), -1).any(axis=1)
        outputs = {
            name: array * going_on.reshape(-1, *[1] * (array.ndim - 1))
            for name, array in outputs.items()
            if name in node.state
        }
    following = {}
    for output, name in node.state.items():
        after = outputs[output]
        rows = ran.reshape(-1, *[1] * (after.ndim - 1))
        following[name] = after if ran.all() else np.where(rows, after, feeds[name])
    return following


def tensor_key(name: str, tensor: str, count: int) -> str:
    """How a batch names one of an input's `count` tensors: by the input alone, or as `text.mask` where it has several."""
    return name if count == 1 else f"{name}.{tensor}"


def specs_by_key(inputs: Mapping[str, InputKind]) -> dict[str, TensorSpec]:
    """Every tensor of a model's inputs, by its key."""
    return {
        tensor_key(name, spec.name, len(kind.tensors)): spec for name, kind in inputs.items() for spec in kind.tensors
    }


def by_key(inputs: Mapping[str, InputKind], arrays: Mapping[str, Sequence[np.ndarray]]) -> Arrays:
    """Batches by key, from input name -> its arrays in order."""
    return {
        tensor_key(name, spec.name, len(parts)): array
        for name, parts in arrays.items()
        for spec, array in zip(inputs[name].tensors, parts, strict=True)
    }
