"""What a node does when it is due, in one stream: run its graph once. `loops` has the node that runs it again and again.

A step reads cells and writes one. It knows its trigger and policy, which say whether it is due, but not what else is: that is the
schedule's. What it may read is decided in `feeds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edgemm.errors import EdgeMMError
from edgemm.inputs.kind import Feed
from edgemm.model.edge import AGE, MASK, Edge, Window
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Until
from edgemm.runners.values import HostValue, Value, bind, few_numbers, is_finite, is_sum_finite
from edgemm.runtime.cells import NEVER, Cell, InputCell, WindowCell
from edgemm.runtime.feeds import all_usable, recognised, write_members

FIRST_RETRY_NS, LAST_RETRY_NS = 100_000_000, 10_000_000_000
Sources = Mapping[tuple[str, Window | None], Cell]
Link = tuple[str, Cell, int]  # graph input, what it reads of, which of its values
_Swapped = tuple[
    Cell, list[tuple[Value, ...]], list[tuple[str, int]]
]  # a cell, its values when last bound, what reads them


class NotFiniteError(EdgeMMError):
    """A node computed NaN or infinity where the model answers."""


class Once:
    """One node of one stream: when it is due its graph runs once.

    Attributes:
        node: what it is a step of.
        cell: what it holds; others read it.
        cells: what it reads, once each.
        marks: the version of each that its last run has seen.
        rules: asked about cells and marks, whether it runs now; `due` adds that a quarantine must be over.
        skipped: whether the last attempt did not run, because what it reads was not there.
        answers: places of its outputs that the model's outputs read; NaN there is a failure.
        failures: attempts that failed in a row.
        retry_ns: when it is tried again after a failure; `NEVER` while it works.
        error: why the last attempt failed; "" once one has succeeded.
    """

    loops = False
    running = False

    def __init__(self, node: Node, graph: ModelGraph, runner: Any, sources: Sources) -> None:
        self.node = node
        self.trigger = node.trigger
        self.period_ns = node.trigger.period_ns
        self.due_ns = NEVER
        self.answers: tuple[int, ...] = ()
        self.skipped = True
        self.failures = 0
        self.error = ""
        self.retry_ns = NEVER
        self.cells = tuple(sources[key] for key in node.windows)
        self.marks = [0] * len(self.cells)
        self._policy = node.policy.bound([source for source, _ in node.windows])
        self.rules = self._policy.due(node.trigger)
        self._hold = node.hold
        self._by_changes = node.trigger.by_changes
        self._takes_presence = bool(node.presence)
        self._windows = tuple(cell for cell in self.cells if isinstance(cell, WindowCell))
        self._only = self.cells[0] if len(self.cells) == 1 and not self._windows and not node.members else None
        self._by_name: dict[str, Cell] = {}
        for (source, _), cell in zip(node.windows, self.cells, strict=True):
            self._by_name.setdefault(source, cell)
        self._members = tuple(self._by_name[member] for member in node.members)
        self._bound = bind(runner)
        self._links = [
            (name, sources[edge.source, edge.window], _place(edge, graph)) for name, edge in node.reads.items()
        ]
        for _, cell, place in self._links:
            if isinstance(cell, WindowCell):
                cell.read(place)
        self._fixed_links, self._moving_links = _sorted_links(self._links)
        self._linked: list[object] = [None] * len(self._moving_links)
        self._presence = np.zeros((1, len(self._members)), np.float32)
        self._age = np.zeros((1, len(self._members)), np.float32)
        # through a memoryview a number is written in half the time that an array takes
        self._presence_row, self._age_row = memoryview(self._presence[0]), memoryview(self._age[0])
        if node.presence:
            self._bound.feed(node.presence, self._presence)
        if node.age:
            self._bound.feed(node.age, self._age)
        self._make_outputs(graph)
        self.cell = Cell(self._visible, node.stale_after_ms, node.valid_for_ms)
        self.cell.made_of = self.stands
        self._usable = node.outputs.index(node.usable) if node.usable else -1
        self._numbers = few_numbers(self._visible, self._spare, self._state_now.values(), self._state_next.values())

    def _make_outputs(self, graph: ModelGraph) -> None:
        """Outputs that must outlive the next run are double-buffered; state is kept apart from what others see.

        A holding node writes where nobody reads (`_spare`) and swaps only what was usable. State is double-buffered always: a run reads the
        one and writes the other. Who reads a buffer that never changes has bound it once.
        """
        node, new_outputs = self.node, self._bound.new_outputs
        self._visible = self._spare = new_outputs()
        self._state = [(node.outputs.index(output), name) for output, name in node.state.items()]
        self._state_now = {place: self._visible[place] for place, _ in self._state}
        self._state_next: dict[int, Value] = {}
        if self._state:
            others = new_outputs()
            self._state_next = {place: others[place] for place, _ in self._state}
        self._held_state: tuple[int, ...] = ()
        if node.hold:
            # what is held must survive further steps of the state: where somebody reads it, a copy of its own on the host
            self._held_state = tuple(place for place in self._state_now if _is_read(graph, node, place))
            self._visible, self._spare = (
                tuple(
                    HostValue(v.array.copy()) if place in self._held_state else v
                    for place, v in enumerate(new_outputs())
                )
                for _ in range(2)
            )

    def due(self, now_ns: int) -> bool:
        """Whether the rules say that it runs now, or its quarantine is over: then it is tried again without news."""
        if self.retry_ns != NEVER:
            return now_ns >= self.retry_ns
        return self.rules(self.cells, self.marks)

    @property
    def speaks(self) -> bool:
        """Whether a run of it makes a result: once it could answer, silence is worth telling too."""
        return bool(self.answers) and bool(self.cell.version)

    def schedule(self, now_ns: int) -> None:
        """Set the first deadline after `now_ns`: whole periods of the clock."""
        if self.due_ns == NEVER:
            self.due_ns = (now_ns // self.period_ns + 1) * self.period_ns

    def skip_to(self, now_ns: int) -> None:
        """Leave out deadlines, so that the next is the last one up to `now_ns`."""
        self.due_ns += (now_ns - self.due_ns) // self.period_ns * self.period_ns

    def stands(self, now_ns: int) -> bool:
        """Whether something of what its answer was computed from may still be used."""
        for member in self._members:
            if member.age_ns(now_ns) != NEVER:
                return True
        return not self._members and all(cell.stands(now_ns) for cell in self.cells)

    def run(self, now_ns: int) -> None:
        """Run the graph on what its cells hold; `skipped` afterwards if they hold nothing usable.

        Raises:
            Exception: whatever the runner raises; the schedule then calls `fail`.
        """
        captured_ns = self.prepare(now_ns)
        if captured_ns == NEVER:
            return
        self._bind()
        outputs = self.next_outputs() if self._state else self._spare
        self._bound.run(outputs)
        self.finish(outputs, captured_ns)

    def run_graph(self) -> tuple[Value, ...]:
        """Run the graph on what the cells hold, whatever it is; the values that it wrote."""
        self._bind()
        outputs = self.next_outputs()
        self._bound.run(outputs)
        return outputs

    def wait(self) -> None:
        """Block until what was run is done, on whatever device: for who measures it."""
        self._bound.wait()

    def reads(self) -> Iterator[tuple[str, np.ndarray]]:
        """Graph input -> host array `(1, …)`, of everything that the next run reads."""
        for name, cell, place in self._links:
            yield name, cell.values[place].array
        if self.node.presence:
            yield self.node.presence, self._presence
        if self.node.age:
            yield self.node.age, self._age
        for place, name in self._state:
            yield name, self._state_now[place].array

    def prepare(self, now_ns: int) -> int:
        """Remember what is seen, align what is read; the capture time of the answer to come, or NEVER if it cannot run."""
        only = self._only
        if only is not None:  # most nodes are encoders, which read one thing: the hot path
            self.marks[0] = only.changes if self._by_changes else only.version
        else:
            self._mark_all()
            for window in self._windows:
                window.align(now_ns)
        if now_ns < self.retry_ns:  # quarantined after a failure
            self.skipped = True
            return NEVER
        if only is not None and not only.valid_for_ns:
            captured_ns = only.captured_ns
        elif self._takes_presence:
            captured_ns = now_ns if self._align(now_ns) else NEVER
        else:
            captured_ns = self._oldest_first(now_ns)
        if captured_ns == NEVER:
            self.skipped = True
            if not self._hold:  # what it was made of is gone: so is what it made
                self.cell.withdraw("what it reads is absent")
            return NEVER
        self.skipped = False
        return captured_ns

    def finish(self, outputs: tuple[Value, ...], captured_ns: int) -> None:
        """Take what a run wrote into `outputs`: state advances, and what is usable is published."""
        if self.answers:
            self._expect_finite(outputs)
        if self._state:
            self._state_now, self._state_next = self._state_next, self._state_now
        if self.failures:
            self.failures, self.error, self.retry_ns = 0, "", NEVER
        cell = self.cell
        if self._usable >= 0 and not recognised(outputs[self._usable].array):
            if self._hold:
                cell.reason = "nothing recognised"
                return
            cell.withdraw("nothing recognised", news=True)
            cell.values = outputs
            return
        if self._hold:
            self._publish_held(outputs)
        else:
            cell.values = outputs
        cell.reason = ""
        cell.captured_ns = captured_ns  # as `publish`, without the call
        cell.version += 1
        cell.changes += 1
        if cell.watchers:
            cell.tell(captured_ns)

    def said_again(self, captured_ns: int) -> None:
        """The first thing that it reads has come again, unchanged: so its answer is as new, if it was made of just that."""
        if self.marks[0] == self.cells[0].changes and not self.skipped and not self.cell.reason:
            self.cell.refresh(captured_ns)

    def fail(self, now_ns: int, error: Exception) -> None:
        """Quarantine: absent with the reason, and tried again only after a while, which doubles with each failure in a row."""
        self.failures += 1
        self.error = f"{type(error).__name__}: {error}"
        self.retry_ns = now_ns + min(LAST_RETRY_NS, FIRST_RETRY_NS << min(self.failures - 1, 16))
        self.skipped = True
        self.cell.withdraw(f"failed: {self.error}", news=True)
        for cell in self.cells:
            if isinstance(cell, InputCell):
                cell.own()  # it is tried again without news, whenever that is

    def reset(self) -> None:
        """Forget outputs, state and failures: what comes from now on is news. What it reads is cleared before, if that is to be forgotten too."""
        self.cell.clear()
        self._mark_all()
        self.skipped = True
        self.failures, self.error, self.retry_ns = 0, "", NEVER
        for values in (self._visible, self._spare):
            clear_values(values)
        for states in (self._state_now, self._state_next):
            clear_values(tuple(states.values()))

    def _mark_all(self) -> None:
        """Remember what is seen now, to tell news from it."""
        self.marks = [cell.changes if self._by_changes else cell.version for cell in self.cells]

    def _oldest_first(self, now_ns: int) -> int:
        """Of a node without presence, capture time of the answer to come: that of the first thing it reads, or NEVER if it cannot run."""
        cells = self.cells
        if not all_usable(cells, now_ns):
            return NEVER
        if self._policy.selective and not all(self._policy.admits(cell, cells) for cell in cells):
            return NEVER
        if self._members:
            self._align(now_ns)
        return cells[0].captured_ns

    def _align(self, now_ns: int) -> bool:
        """Fill presence and age; whether anybody is present."""
        ages_ns = [member.age_ns(now_ns) for member in self._members]
        if self._policy.selective:
            admits = self._policy.admits
            for index, member in enumerate(self._members):
                if not admits(member, self.cells):
                    ages_ns[index] = NEVER
        return write_members(ages_ns, self._presence_row, self._age_row)

    def _bind(self) -> None:
        """Rebind what lies elsewhere than at this node's last run."""
        linked = self._linked
        for cell, values, links in self._fixed_links:
            if cell.values is not values[0]:  # what its node swaps: its outputs as a whole
                for name, place in links:
                    self._bound.link(name, cell.values[place])
                values[0] = cell.values  # last: a link that fails is made again
        for index, (name, cell, place) in enumerate(self._moving_links):
            value = cell.values[place]
            if value.fixed:
                if value is not linked[index]:
                    self._bound.link(name, value)
                    linked[index] = value
            else:
                array = value.array
                if array is not linked[index]:
                    self._bound.feed(name, array)
                    linked[index] = array
        if self._state:
            for place, name in self._state:
                self._bound.link(name, self._state_now[place])

    def next_outputs(self) -> tuple[Value, ...]:
        """Where the next run writes: the spare buffer of a holding node, and the state that is not read by this run."""
        if not self._state:
            return self._spare
        return tuple(self._state_next.get(index, value) for index, value in enumerate(self._spare))

    def _publish_held(self, outputs: tuple[Value, ...]) -> None:
        """Make what was written visible, and what was visible the spare."""
        for place in self._held_state:
            np.copyto(self._spare[place].array, outputs[place].array)
        self._visible, self._spare = self._spare, self._visible
        self.cell.values = self._visible

    def _expect_finite(self, outputs: tuple[Value, ...]) -> None:
        for place in self.answers:
            value = outputs[place]
            numbers = self._numbers.get(id(value)) if value.fixed else None
            if not (is_finite(value.array) if numbers is None else is_sum_finite(numbers)):
                name = self.node.outputs[place]
                raise NotFiniteError(f"output '{name}' of node '{self.node.name}' is not finite (NaN or infinity)")


def _is_read(graph: ModelGraph, node: Node, place: int) -> bool:
    """Whether another node or an answer reads an output of a node."""
    readers: list[Node | Output] = [*graph.nodes, *graph.outputs.values()]
    return any(
        edge.owner == node.name and edge.output == node.outputs[place] for one in readers for edge in one.reads.values()
    )


def _sorted_links(links: list[Link]) -> tuple[list[_Swapped], list[Link]]:
    """Links to cells whose values are fixed, a list per cell, so that one look says whether any of them moved; and the others."""
    swapped: dict[int, _Swapped] = {}
    moving = []
    for name, cell, place in links:
        if all(value.fixed for value in cell.values):
            swapped.setdefault(id(cell), (cell, [()], []))[2].append((name, place))
        else:
            moving.append((name, cell, place))
    return list(swapped.values()), moving


def make_windows(node: Node, cells: dict[tuple[str, Window | None], Cell]) -> None:
    """Make the windows that a node reads, where no other node has, and tell inputs how they are read."""
    for source, window in node.windows:
        if window is not None and (source, window) not in cells:
            cells[source, window] = WindowCell(cells[source, None], window)
    # a feed may lend its buffer only to who reads it within the push
    late_reader = len(node.windows) > 1 or bool(node.trigger.period_ns) or isinstance(node.trigger, Until)
    for source, window in node.windows:
        cell = cells[source, None]
        if window is not None:
            continue
        if isinstance(cell, InputCell):
            if late_reader:
                cell.own()
            cell.compare = cell.compare or (node.trigger.by_changes and type(cell.feed) is Feed)


def _place(edge: Edge, graph: ModelGraph) -> int:
    """Which of a cell's values an edge reads; a window's mask and ages come after its tensors."""
    if edge.part in (MASK, AGE):
        return -2 if edge.part == MASK else -1
    return graph.tensor_index(edge)


def clear_values(values: tuple[Value, ...]) -> None:
    """Fill values with zeros, where they lie."""
    for value in values:
        value.clear()
