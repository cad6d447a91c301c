"""A node's graph, bound to the cells that it reads and the buffers that it writes (IO binding), in one stream.

It knows where values lie and which of them move, double buffering, and where state is between two runs. It does not know when a node runs,
whether it may, nor what becomes of what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from edgemm.model.edge import AGE, MASK, Edge, Window
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runners.values import Bound, HostValue, Value, bind
from edgemm.runtime.cells import Cell, InputCell, WindowCell

Sources: TypeAlias = Mapping[tuple[str, Window | None], Cell]


class Binding:
    """One graph of one stream: what it reads, rebound where that has moved, and the buffers that it writes in turn.

    Attributes:
        presence, age: rows to write before a run, of a node that takes them; a memoryview takes a number in half the time that an array does.
        buffers: what it writes.
    """

    def __init__(self, node: Node, graph: ModelGraph, runner: Any, sources: Sources) -> None:
        self._node = node
        self._bound: Bound = bind(runner)
        self._links = [
            (name, sources[edge.source, edge.window], _place(edge, graph)) for name, edge in node.reads.items()
        ]
        for _, cell, place in self._links:
            if isinstance(cell, WindowCell):
                cell.read(place)
        self._fed: list[_Fed] = []
        self._linked: dict[Cell, _Linked] = {}
        for name, cell, place in self._links:
            if isinstance(cell, (InputCell, WindowCell)):
                self._fed.append(_Fed(name, cell.values[place]))
            else:
                self._linked.setdefault(cell, _Linked(cell)).places.append((name, place))
        self._copies: dict[str, np.ndarray] = {}
        self._presence, self._age = np.zeros((2, 1, len(node.members)), np.float32)
        self.presence, self.age = memoryview(self._presence[0]), memoryview(self._age[0])
        if node.presence:
            self._bound.feed(node.presence, self._presence)
        if node.age:
            self._bound.feed(node.age, self._age)
        self.buffers = Buffers(node, self._bound, _read_of(graph, node))
        self._stateful = bool(node.state)

    def run(self) -> tuple[Value, ...]:
        """Run the graph on what the cells hold, whatever it is; the values that it wrote.

        Raises:
            Exception: whatever the runner raises.
        """
        self.link()
        if self._stateful:
            return self.run_again()
        outputs = self.buffers.spare
        self._bound.run(outputs)
        return outputs

    def run_again(self) -> tuple[Value, ...]:
        """The same where nothing but state has moved since the last run."""
        for name, value in self.buffers.state_now():
            self._bound.link(name, value)
        outputs = self.buffers.next()
        self._bound.run(outputs)
        return outputs

    def interrupt(self) -> None:
        """Let what runs fail soon, and whatever would run from now on, where its runner can do that. From any thread."""
        interrupt = getattr(self._bound, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def wait(self) -> None:
        """Block until what was run is done, on whatever device: for who measures it."""
        self._bound.wait()

    @property
    def copied_bytes(self) -> Mapping[str, int]:
        """What had to be copied between memories so far, as `Bound` has it."""
        return self._bound.copied_bytes

    def reads(self) -> Iterator[tuple[str, np.ndarray]]:
        """Graph input -> host array `(1, …)`, of everything that the next run reads."""
        for name, cell, place in self._links:
            yield name, cell.values[place].array
        if self._node.presence:
            yield self._node.presence, self._presence
        if self._node.age:
            yield self._node.age, self._age
        for name, value in self.buffers.state_now():
            yield name, value.array

    def link(self) -> None:
        """Rebind what lies elsewhere than at the last run."""
        for fed in self._fed:
            array = fed.value.array
            if array is not fed.bound:
                self._bound.feed(fed.name, array)
                fed.bound = array  # last: what fails is bound again
        for linked in self._linked.values():
            values = linked.cell.values
            if values is not linked.bound:
                for name, place in linked.places:
                    self._bound.link(name, values[place])
                linked.bound = values

    def feed_copies(self) -> None:
        """Read what the cells hold now, whatever becomes of them until this is called again. Not to be mixed with `link`."""
        for name, cell, place in self._links:
            self._copies[name] = cell.values[place].array.copy()
            self._bound.feed(name, self._copies[name])


class Buffers:
    """Where a node writes: outputs that must outlive the next run are double-buffered, and state is kept apart from what others see.

    A holding node writes where nobody reads (`spare`) and swaps only what was usable. State is double-buffered always: a run reads the
    one and writes the other. Who reads a buffer that never changes has bound it once.

    Attributes:
        shown: what others see.
        spare: what the next run of a node without state writes: the same, unless it holds.
        state: (place among the outputs, graph input that reads it at the next run).
    """

    def __init__(self, node: Node, bound: Bound, read: frozenset[int]) -> None:
        new_outputs = bound.new_outputs
        self.shown = self.spare = new_outputs()
        self.state = [(node.outputs.index(output), name) for output, name in node.state.items()]
        self._now = {place: self.shown[place] for place, _ in self.state}
        self._next: dict[int, Value] = {}
        if self.state:
            others = new_outputs()
            self._next = {place: others[place] for place, _ in self.state}
        self._held_state: tuple[int, ...] = ()
        if node.hold:
            # what is held must survive further steps of the state: where somebody reads it, a copy of its own on the host
            self._held_state = tuple(place for place in self._now if place in read)
            self.shown, self.spare = (
                tuple(
                    HostValue(v.array.copy()) if place in self._held_state else v
                    for place, v in enumerate(new_outputs())
                )
                for _ in range(2)
            )

    def __iter__(self) -> Iterator[Value]:
        yield from (*self.shown, *self.spare, *self._now.values(), *self._next.values())

    def next(self) -> tuple[Value, ...]:
        """What the next run writes: the spare buffer, and the state that it does not read."""
        return (
            tuple(self._next.get(place, value) for place, value in enumerate(self.spare)) if self.state else self.spare
        )

    def state_now(self) -> Iterator[tuple[str, Value]]:
        """Graph input -> the state that the next run reads."""
        for place, name in self.state:
            yield name, self._now[place]

    def advance(self) -> None:
        """The state that was written is the one to be read."""
        self._now, self._next = self._next, self._now

    def hold(self, outputs: tuple[Value, ...]) -> tuple[Value, ...]:
        """What others see from now on: what a run of a holding node wrote; what they saw is spare."""
        for place in self._held_state:
            np.copyto(self.spare[place].array, outputs[place].array)
        self.shown, self.spare = self.spare, self.shown
        return self.shown

    def restore_state(self) -> None:
        """A state that is NaN is that from before the last run again, or zeros where that was NaN too: it would be so for ever."""
        if _any_nan(self._now.values()):
            self.advance()
            if _any_nan(self._now.values()):
                _clear(self._now.values())

    def restart(self, seen: Iterable[Value]) -> None:
        """State begins at zero, in a buffer that nobody sees: what was said last stays as it is until the first step."""
        if any(value is state for value in seen for state in self._now.values()):
            self.advance()
        _clear(self._now.values())

    def clear(self) -> None:
        """Zeros everywhere."""
        _clear(self)


def _place(edge: Edge, graph: ModelGraph) -> int:
    """Which of a cell's values an edge reads; a window's mask and ages come after its tensors."""
    if edge.part in (MASK, AGE):
        return -2 if edge.part == MASK else -1
    return graph.tensor_index(edge)


class _Fed:
    """A graph input that reads an input of the model or a window, whose array moves."""

    __slots__ = ("bound", "name", "value")

    def __init__(self, name: str, value: Value) -> None:
        self.name = name
        self.value = value
        self.bound: object = None  # the array, when last bound


class _Linked:
    """Graph inputs that read one other node, which may swap its outputs as a whole."""

    __slots__ = ("bound", "cell", "places")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.places: list[tuple[str, int]] = []
        self.bound: tuple[Value, ...] = ()  # its values, when last bound


def _read_of(graph: ModelGraph, node: Node) -> frozenset[int]:
    """The outputs of a node that other nodes or answers read."""
    readers: list[Node | Output] = [*graph.nodes, *graph.outputs.values()]
    read = {edge.output for one in readers for edge in one.reads.values() if edge.owner == node.name}
    return frozenset(place for place, output in enumerate(node.outputs) if output in read)


def _any_nan(values: Iterable[Value]) -> bool:
    """Infinity may be meant: a search for the nearest starts there."""
    return any(bool(np.isnan(value.array).any()) for value in values)


def _clear(values: Iterable[Value]) -> None:
    for value in values:
        value.clear()
