"""The embedding store of one stream: for each input and each node, what it holds now, since when, and whether it may be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgemm.host.interfaces import Runner
from edgemm.inputs.audio import SlidingWindow
from edgemm.inputs.declarations import Audio, InputSpec
from edgemm.model.graph import INPUT, Node
from edgemm.runners.binding import Buffer, repeated

NEVER = -1
_NS_PER_MS = 1_000_000


class Slot:
    """Something that other nodes read.

    Attributes:
        captured_ns: capture time of what it holds; `NEVER` while that is not usable.
        version: grows whenever what it holds changes.
        reason: why it is not usable.
    """

    __slots__ = ("captured_ns", "reason", "reported", "stale_after_ns", "valid_for_ns", "version")

    def __init__(self, stale_after_ms: float, valid_for_ms: float) -> None:
        self.captured_ns = NEVER
        self.version = 0
        self.reported = 0
        self.reason = ""
        self.stale_after_ns = int(stale_after_ms * _NS_PER_MS)
        self.valid_for_ns = int(valid_for_ms * _NS_PER_MS)

    def age_ns(self, now_ns: int) -> int:
        """Age of what may be used at `now_ns`, or `NEVER`."""
        captured_ns = self.captured_ns
        if captured_ns == NEVER:
            return NEVER
        age_ns = now_ns - captured_ns
        if age_ns <= 0:
            return 0
        if self.valid_for_ns and age_ns > self.valid_for_ns:
            return NEVER
        return age_ns

    def stands(self, now_ns: int) -> bool:
        """Whether something of what it was computed from may still be used; an input was not computed."""
        return True

    def row(self, now_ns: int) -> tuple[int, bool, str]:
        """(age or NEVER, whether it served a result before, why it is absent)."""
        age_ns = self.age_ns(now_ns)
        hit = self.version == self.reported
        self.reported = self.version
        if age_ns == NEVER:
            return NEVER, False, self.reason or ("expired" if self.captured_ns != NEVER else "")
        return age_ns, hit, ""


class PortSlot(Slot):
    """One input of the model: its adapter, and the newest tensor."""

    __slots__ = (
        "_value", "adapter", "array", "end_reason", "keeps", "late", "name", "newest_ns", "on_change", "plan", "refreshed", "window",
    )  # fmt: skip

    def __init__(self, name: str, spec: InputSpec, adapter: Any) -> None:
        super().__init__(1000.0, 0.0)
        self.name = name
        self.adapter = adapter
        self.window = SlidingWindow(spec) if isinstance(spec, Audio) else None
        self.array: np.ndarray | None = None
        self.newest_ns = -(2**62)
        self.late = 0
        self.end_reason = ""
        self.on_change = False
        self.keeps = False
        self.refreshed: list[NodeSlot] = []
        self.plan: tuple[NodeSlot, ...] = ()
        self._value: Any = None

    def take(self, array: np.ndarray, captured_ns: int) -> None:
        """Hold a new tensor."""
        if self.keeps:  # a window is a view that moves on; whoever reads it later needs it to stay
            if self.array is None:
                self.array = array.copy()
            else:
                np.copyto(self.array, array)
        else:
            self.array = array
        self.captured_ns = self.newest_ns = captured_ns
        self.version += 1

    def unchanged(self, value: Any, captured_ns: int) -> bool:
        """Whether a value says again what is held, where only changes matter; its age starts anew then."""
        if not self.on_change:
            return False
        same = self.array is not None and _same(value, self._value)
        if same:
            self.captured_ns = self.newest_ns = captured_ns
            for slot in self.refreshed:
                slot.refresh(captured_ns)
        return same

    def remember(self, value: Any) -> None:
        """What was converted last, to compare the next with; a copy, because its owner may change an array in place."""
        if self.on_change:
            self._value = value.copy() if isinstance(value, np.ndarray) else value

    def tensor(self) -> np.ndarray:
        """The newest tensor; zeros while there is none, for nodes that mask what is absent."""
        if self.array is None:
            spec = self.adapter.tensor
            return np.zeros(spec.with_batch(1), spec.dtype)
        return self.array

    def reset(self) -> None:
        """Forget everything."""
        self.version += 1
        self.captured_ns, self.newest_ns, self.end_reason = NEVER, -(2**62), ""
        self.array = self._value = None
        if self.window is not None:
            self.window.restart()


class NodeSlot(Slot):
    """One node of the model: its graph, bound to what it reads, and its newest outputs."""

    __slots__ = (
        "_age", "_barrier", "_bound", "_graph", "_links", "_members", "_presence", "_present", "_reference", "_seen", "_spare",
        "_state", "_tolerance_ns", "_usable",
        "answers", "current", "due_ns", "node", "owners", "period_ns", "skipped",
    )  # fmt: skip

    def __init__(
        self, node: Node, runner: Runner, ports: Mapping[str, PortSlot], nodes: Mapping[str, NodeSlot]
    ) -> None:
        super().__init__(node.stale_after_ms, node.valid_for_ms)
        self.node = node
        self.period_ns = round(1e9 / node.runs.hz) if node.runs.kind == "tick" else 0
        self.due_ns = NEVER
        self.answers = False
        self.skipped = True
        self._graph = repeated(runner)
        self.current = self._graph.new_buffer()
        # Only what must outlive the next run, to be fed back or held, is written elsewhere than over itself; who reads a
        # buffer that never changes binds it once.
        self._spare = self._graph.new_buffer() if node.state or node.hold else self.current
        self.owners: tuple[Slot, ...] = tuple(_slot(owner, ports, nodes) for owner in node.owners())
        self._seen = [0] * len(self.owners)
        self._links = [_link(name, edge, ports, nodes) for name, edge in node.reads.items()]
        self._bound: list[object] = [None] * len(self._links)
        self._barrier = node.policy.kind == "barrier"
        self._reference = _reference_index(node)
        self._tolerance_ns = int(node.policy.tolerance_ms * _NS_PER_MS)
        self._members = tuple(_slot(owner, ports, nodes) for owner in node.members)
        self._presence = np.zeros((1, len(self._members)), np.float32)
        self._age = np.zeros((1, len(self._members)), np.float32)
        self._present = [False] * len(self._members)
        if node.presence:
            self._graph.feed(node.presence, self._presence)
        if node.age:
            self._graph.feed(node.age, self._age)
        self._state = [(name, node.outputs.index(output)) for output, name in node.state.items()]
        self._usable = node.outputs.index(node.usable) if node.usable else -1
        for owner in self.owners:
            if isinstance(owner, PortSlot):
                owner.keeps = owner.keeps or (owner.window is not None and len(self.owners) > 1)
                if node.runs.kind == "change":
                    owner.on_change = True
                    owner.refreshed.append(self)

    def depends_on(self, other: Slot) -> bool:
        """Whether news of `other` can reach this node."""
        return any(owner is other or (isinstance(owner, NodeSlot) and owner.depends_on(other)) for owner in self.owners)

    def reads_only(self, port: PortSlot) -> bool:
        """Whether this node makes an embedding of that input, first of all."""
        return bool(self.owners) and self.owners[0] is port and not self._members

    def due(self) -> bool:
        """Whether the sync policy says that it runs now."""
        seen = self._seen
        if self._reference >= 0:
            return self.owners[self._reference].version != seen[self._reference]
        news = 0
        for index, owner in enumerate(self.owners):
            if owner.version != seen[index]:
                if not self._barrier:
                    return True
                news += 1
        return news == len(seen)

    def schedule(self, now_ns: int) -> None:
        """First deadline after `now_ns`: whole periods of the clock."""
        if self.due_ns == NEVER:
            self.due_ns = (now_ns // self.period_ns + 1) * self.period_ns

    def skip_to(self, now_ns: int) -> None:
        """Leave out deadlines, so that the next is the last one up to `now_ns`."""
        self.due_ns += (now_ns - self.due_ns) // self.period_ns * self.period_ns

    def refresh(self, captured_ns: int) -> None:
        """What it holds was captured again, unchanged."""
        if self.captured_ns != NEVER:
            self.captured_ns = captured_ns

    def reset(self) -> None:
        """Forget outputs and state."""
        self.version += 1
        self.captured_ns, self.reason, self.skipped = NEVER, "", True
        for buffer in (self.current, self._spare):
            for value in buffer.values:
                value.fill(0)

    def stands(self, now_ns: int) -> bool:
        """Whether something of what it was computed from may still be used."""
        if self._members:
            return any(member.age_ns(now_ns) != NEVER for member in self._members)
        return all(owner.age_ns(now_ns) != NEVER and owner.stands(now_ns) for owner in self.owners)

    def run(self, now_ns: int) -> None:
        """Run the graph on what its owners hold; `skipped` afterwards if they hold nothing usable."""
        self._seen = [owner.version for owner in self.owners]
        captured_ns = self._align(now_ns) if self._members else self._oldest(now_ns)
        self.skipped = captured_ns == NEVER
        if self.skipped:
            if self.captured_ns != NEVER and not self.node.hold:  # what it was made of is gone: so is what it made
                self.captured_ns, self.reason = NEVER, "what it reads is absent"
                self.version += 1
            return
        self._bind()
        buffer = self._spare
        if buffer is self.current:
            self.captured_ns = NEVER  # not usable until the run has succeeded
        for name, output in self._state:
            self._graph.link(name, self.current, output)
        self._graph.run(buffer)
        if self._usable >= 0 and not _any(buffer.values[self._usable]):
            self._keep_or_drop(buffer)
            return
        self.captured_ns = captured_ns
        self.reason = ""
        self._swap(buffer)

    def _swap(self, written: Buffer) -> None:
        self._spare, self.current = self.current, written
        self.version += 1

    def _keep_or_drop(self, buffer: Buffer) -> None:
        """Nothing was recognised: a holding node keeps what it had, another one has nothing now."""
        self.reason = "nothing recognised"
        if self.node.hold and not self._state:
            return
        self.captured_ns = NEVER
        self._swap(buffer)

    def _oldest(self, now_ns: int) -> int:
        """Capture time of the outputs to come, or NEVER if the node cannot run: it needs everything that it reads."""
        for owner in self.owners:
            if owner.age_ns(now_ns) == NEVER:
                return NEVER
        return self.owners[0].captured_ns

    def _align(self, now_ns: int) -> int:
        """Fill presence and age; returns the capture time of the outputs to come, or NEVER if the node cannot run."""
        if not self.node.presence and self._oldest(now_ns) == NEVER:
            return NEVER
        reference_ns = self.owners[self._reference].captured_ns if self._reference >= 0 else NEVER
        ages, presents = self._age[0], self._present
        for index, member in enumerate(self._members):
            age_ns = member.age_ns(now_ns)
            if reference_ns != NEVER and abs(member.captured_ns - reference_ns) > self._tolerance_ns:
                age_ns = NEVER
            present = age_ns != NEVER
            ages[index] = age_ns / _NS_PER_MS if present else 0.0
            if present is not presents[index]:
                presents[index] = present
                self._presence[0, index] = present
        return now_ns if True in presents else NEVER

    def _bind(self) -> None:
        """Rebind what is elsewhere than at this node's last run."""
        bound = self._bound
        for index, (name, owner, output) in enumerate(self._links):
            source = owner.current.values if output >= 0 else owner.tensor()
            if source is not bound[index]:
                bound[index] = source
                if output >= 0:
                    self._graph.link(name, owner.current, output)
                else:
                    self._graph.feed(name, source)


def _any(flags: np.ndarray) -> bool:
    """`flags.any()`, eight times as fast for the few bools that tokens have."""
    return b"\x01" in flags.tobytes()


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(value, other)
    return bool(value == other)


def _reference_index(node: Node) -> int:
    """Position of the edge that the reference policy waits for; -1 for other policies."""
    if node.policy.kind != "reference":
        return -1
    return [owner.removeprefix(f"{INPUT}.") for owner in node.owners()].index(node.policy.edge)


def _slot(owner: str, ports: Mapping[str, PortSlot], nodes: Mapping[str, NodeSlot]) -> Slot:
    return ports[owner.removeprefix(f"{INPUT}.")] if owner.startswith(f"{INPUT}.") else nodes[owner]


def _link(name: str, edge: str, ports: Mapping[str, PortSlot], nodes: Mapping[str, NodeSlot]) -> tuple[str, Any, int]:
    owner, _, tensor = edge.partition(".")
    if owner == INPUT:
        return name, ports[tensor], -1
    return name, nodes[owner], nodes[owner].node.outputs.index(tensor)
