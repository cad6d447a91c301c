"""What a node does when it is due, in one stream: run its graph once. `loops` has the node that runs it again and again.

A step reads cells and writes one. It knows its trigger and policy, which say whether it is due, and what becomes of a run: published, withdrawn
or a failure. Not what else is due, which is the schedule's; nor where values lie, which is its binding's. What it may read is decided in `feeds`.
"""

from __future__ import annotations

from typing import Any

from edgemm.errors import NOT_FINITE, NotFiniteError, OverdueError
from edgemm.inputs.kind import Feed
from edgemm.model.edge import Window
from edgemm.model.graph import ModelGraph, Node
from edgemm.model.rules import Until
from edgemm.runners.values import Value, all_finite, few_numbers, is_finite, is_sum_finite
from edgemm.runtime.binding import Binding, Sources
from edgemm.runtime.cells import NEVER, Cell, InputCell, WindowCell
from edgemm.runtime.feeds import all_usable, recognised, write_members

FIRST_RETRY_NS, LAST_RETRY_NS = 100_000_000, 10_000_000_000
OVERDUE_RETRY_NS = 600_000_000_000


class Once:
    """One node of one stream: when it is due its graph runs once.

    Attributes:
        node: what it is a step of.
        binding: its graph, bound.
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

    def __init__(self, node: Node, graph: ModelGraph, runner: Any, sources: Sources) -> None:
        self.node = node
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
        self._stateful = bool(node.state)
        self._windows = tuple(cell for cell in self.cells if isinstance(cell, WindowCell))
        self._only = self.cells[0] if len(self.cells) == 1 and not self._windows and not node.members else None
        self._by_name: dict[str, Cell] = {}
        for (source, _), cell in zip(node.windows, self.cells, strict=True):
            self._by_name.setdefault(source, cell)
        self._members = tuple(self._by_name[member] for member in node.members)
        self.binding = Binding(node, graph, runner, sources)
        buffers = self._buffers = self.binding.buffers
        self.cell = Cell(buffers.shown, node.stale_after_ms, node.valid_for_ms)
        # inputs do not expire, nor does what is made of them alone; and what is held stands by itself
        if not node.hold and not all(isinstance(cell, InputCell) for cell in self.cells):
            self.cell.made_of = self.stands
        self.cell.maker = self
        self._usable = node.outputs.index(node.usable) if node.usable else -1
        self._numbers = few_numbers(buffers)

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
        if self._members:
            for member in self._members:  # noqa: SIM110 - the hot path: no generator
                if member.age_ns(now_ns) != NEVER:
                    return True
            return False
        for cell in self.cells:  # noqa: SIM110 - likewise
            if cell.age_ns(now_ns) == NEVER:
                return False
        return True

    def run(self, now_ns: int) -> None:
        """Run the graph on what its cells hold; `skipped` afterwards if they hold nothing usable.

        Raises:
            Exception: whatever the runner raises; the schedule then calls `fail`.
        """
        captured_ns = self.prepare(now_ns)
        if captured_ns == NEVER:
            return
        self.finish(self.binding.run(), captured_ns)

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
        if self._stateful:
            self._buffers.advance()
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
        cell.values = self._buffers.hold(outputs) if self._hold else outputs
        cell.reason = ""
        cell.captured_ns = captured_ns
        cell.version += 1
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
        wait_ns = min(LAST_RETRY_NS, FIRST_RETRY_NS << min(self.failures - 1, 16))
        if isinstance(error, OverdueError):  # each attempt holds up the others for as long as a run may take
            wait_ns = OVERDUE_RETRY_NS
        self.retry_ns = now_ns + wait_ns
        self.skipped = True
        self.cell.withdraw(f"failed: {self.error}", news=True)
        if isinstance(error, NotFiniteError):
            self.clear_of_nan()
        for cell in self.cells:
            if isinstance(cell, InputCell):
                cell.own()  # it is tried again without news, whenever that is

    def clear_of_nan(self) -> None:
        """It computed NaN: what it read that is not finite is withdrawn, from where it came, and no state stays so for good.

        Only what answers read is looked at in each run, so NaN is found late; but it is found in the same pass, when the state from before is still there.
        """
        self.binding.buffers.restore_state()
        for cell in self.cells:
            # what a feed only lends may be overwritten by now, and a window loses what is old by itself
            lent = isinstance(cell, WindowCell) or (isinstance(cell, InputCell) and cell.feed.borrowed)
            if cell.captured_ns != NEVER and not lent and not all_finite(cell.values):
                cell.disown(NOT_FINITE)
                if cell.maker is not None:
                    cell.maker.clear_of_nan()

    def reset(self) -> None:
        """Forget outputs, state and failures: what comes from now on is news. What it reads is cleared before, if that is to be forgotten too."""
        self.cell.clear()
        self._mark_all()
        self.skipped = True
        self.failures, self.error, self.retry_ns = 0, "", NEVER
        self._buffers.clear()

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
        return write_members(ages_ns, self.binding.presence, self.binding.age)

    def _expect_finite(self, outputs: tuple[Value, ...]) -> None:
        for place in self.answers:
            value = outputs[place]
            numbers = self._numbers.get(id(value)) if value.fixed else None
            if not (is_finite(value.array) if numbers is None else is_sum_finite(numbers)):
                name = self.node.outputs[place]
                raise NotFiniteError(f"output '{name}' of node '{self.node.name}' is {NOT_FINITE}")


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
