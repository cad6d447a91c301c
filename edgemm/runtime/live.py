"""A stream that the caller pushes into: nodes run on the caller's thread, as soon as what they wait for is there.

This is the one place where nodes are scheduled; the threaded stream pushes into it too. Its hot path binds inputs without copying, writes
into buffers that last, and neither logs, validates nor calls anything that nobody asked for. Time is the caller's: capture times
in ns on any monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from edgemm.errors import UnknownNameError
from edgemm.outputs.results import ABSENT, LIVE, STALE, InputState, Result
from edgemm.runtime.slots import NEVER, NodeSlot, PortSlot, Slot

if TYPE_CHECKING:
    from edgemm.runtime.model import Model

_NS_PER_MS = 1_000_000


class Live:
    """One stream through a model. Not thread-safe: one thread pushes.

    Arrays that are pushed are read in place and must stay unchanged until the next push of the same input; what results hold is the
    caller's own.

    Attributes:
        ports, nodes: what each input and each node holds; for profiles, a stream needs neither.
        late: input -> packets refused because something newer had been pushed before.
        recent: (at_ns, started_ns, done_ns) of the newest results.
    """

    def __init__(self, model: Model, *, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clock = clock
        self._labels = model.labels
        self.ports = {name: PortSlot(name, spec, model.adapters[name]) for name, spec in model.graph.inputs.items()}
        self.nodes: dict[str, NodeSlot] = {}
        for node in model.graph.nodes:
            self.nodes[node.name] = NodeSlot(node, model.runners[node.graph], self.ports, self.nodes)
        nodes = tuple(self.nodes.values())
        for port in self.ports.values():
            port.plan = tuple(slot for slot in nodes if slot.period_ns == 0 and slot.depends_on(port))
        self._ticking = tuple(slot for slot in nodes if slot.period_ns)
        self._after_tick = tuple(
            slot for slot in nodes if slot.period_ns or any(slot.depends_on(ticker) for ticker in self._ticking)
        )
        self._answers = [self._answer(name, output.edge) for name, output in model.graph.outputs.items()]
        for slot, _, _ in self._answers:
            slot.answers = True
        self._final = tuple(slot for slot in nodes if slot.answers)
        self._rows = [(name, self._row_slot(name)) for name in self.ports]
        self._sequence = 0
        self.recent: deque[tuple[int, int, int]] = deque(maxlen=4096)

    @property
    def late(self) -> dict[str, int]:
        """Input -> packets refused because something newer had been pushed before."""
        return {name: port.late for name, port in self.ports.items()}

    def push(self, name: str, value: Any, captured_ns: int | None = None) -> Result | None:
        """Take one frame, block of sound or text, and run what it sets off.

        Args:
            name: the input.
            value: what its adapter takes.
            captured_ns: when it was captured (of a sound: its first sample); now, by this stream's clock, if not given.

        Returns:
            The newest result that this made, or None while the policy says not yet.

        Raises:
            UnknownNameError: the model has no such input.
            InputError: the value does not fit.
        """
        port = self.ports.get(name)
        if port is None:
            raise UnknownNameError("input", name, self.ports)
        if captured_ns is None:
            captured_ns = self._clock()
        if captured_ns < port.newest_ns:
            port.late += 1
            return None
        result = self._tick_before(captured_ns) if self._ticking else None
        if port.window is not None:
            samples = port.adapter.samples(value)
            for window, end_ns in port.window.feed(samples, captured_ns):
                port.take(window, end_ns)
                result = self._step(port.plan, end_ns) or result
            port.newest_ns = captured_ns
            return result
        if port.unchanged(value, captured_ns):
            return result
        port.take(port.adapter.convert(value), captured_ns)
        port.remember(value)
        return self._step(port.plan, captured_ns) or result

    def tick(self, now_ns: int | None = None) -> Result:
        """Answer now, whatever has come so far: runs the nodes that give outputs, and those that run at a rate."""
        now_ns = self._clock() if now_ns is None else now_ns
        started_ns = monotonic_ns()
        for slot in self._after_tick or self._final:
            slot.run(now_ns)
        return self.answer(now_ns, started_ns)

    def advance(self, now_ns: int) -> Iterator[Result]:
        """Run every node that is due at its rate up to `now_ns`; yields a result per deadline."""
        while self._ticking:
            deadline_ns = min(slot.due_ns for slot in self._ticking)
            if deadline_ns > now_ns or deadline_ns == NEVER:
                return
            yield self._run_deadline(deadline_ns)

    def start(self, now_ns: int) -> None:
        """Let rates count from `now_ns`, also when no packet has come."""
        for slot in self._ticking:
            slot.schedule(now_ns)

    @property
    def due_ns(self) -> int | None:
        """When the next node is due at its rate; None without one."""
        return min((slot.due_ns for slot in self._ticking if slot.due_ns != NEVER), default=None)

    def end(self, name: str, reason: str = "ended") -> None:
        """Say that an input will deliver nothing more; what it delivered last ages as usual."""
        if name not in self.ports:
            raise UnknownNameError("input", name, self.ports)
        self.ports[name].end_reason = reason

    def reset(self, name: str | None = None) -> None:
        """Forget one input, or everything: state, embeddings and windows."""
        if name is not None and name not in self.ports:
            raise UnknownNameError("input", name, self.ports)
        for port in [self.ports[name]] if name else list(self.ports.values()):
            port.reset()
            for slot in self.nodes.values():
                if slot.depends_on(port):
                    slot.reset()

    def _tick_before(self, captured_ns: int) -> Result | None:
        """In pushed mode time moves with what is pushed: the newest deadline before it is answered first."""
        result = None
        for slot in self._ticking:
            if slot.due_ns == NEVER:
                slot.schedule(captured_ns)
            elif slot.due_ns <= captured_ns:
                slot.skip_to(captured_ns)
                result = self._run_deadline(slot.due_ns)
        return result

    def _run_deadline(self, deadline_ns: int) -> Result:
        started_ns = monotonic_ns()
        for slot in self._after_tick:
            if slot.period_ns:
                if slot.due_ns == deadline_ns:
                    slot.due_ns += slot.period_ns
                    slot.run(deadline_ns)
            elif slot.due():
                slot.run(deadline_ns)
        return self.answer(deadline_ns, started_ns)

    def _step(self, plan: tuple[NodeSlot, ...], now_ns: int) -> Result | None:
        """Run the nodes of `plan` that are due; a result if one of them gives an output."""
        answered = False
        started_ns = 0
        for slot in plan:
            if slot.due():
                started_ns = started_ns or monotonic_ns()
                slot.run(now_ns)
                if slot.answers and slot.version:  # once it could answer, silence is worth telling too
                    answered = True
        return self.answer(now_ns, started_ns) if answered else None

    def answer(self, at_ns: int, started_ns: int) -> Result:
        """A result of what the nodes hold, without running any."""
        outputs = {}
        for slot, name, index in self._answers:
            if slot.captured_ns != NEVER and not slot.skipped and slot.stands(at_ns):
                outputs[name] = slot.current.values[index][0].copy()
        rows = [slot.row(at_ns) for _, slot in self._rows]
        timings = (at_ns, started_ns, monotonic_ns())
        self.recent.append(timings)
        self._sequence += 1
        return Result(outputs, self._labels, rows, self._states, timings, self._sequence - 1)

    def _states(self, rows: list[tuple[int, bool, str]]) -> dict[str, InputState]:
        states = {}
        for (name, slot), (age_ns, hit, reason) in zip(self._rows, rows, strict=True):
            if age_ns == NEVER:
                states[name] = InputState(ABSENT, None, False, reason or self.ports[name].end_reason or "no data")
            else:
                state = STALE if age_ns > slot.stale_after_ns else LIVE
                states[name] = InputState(state, age_ns / _NS_PER_MS, hit, "")
        return states

    def _answer(self, name: str, edge: str) -> tuple[NodeSlot, str, int]:
        owner, _, tensor = edge.partition(".")
        slot = self.nodes[owner]
        return slot, name, slot.node.outputs.index(tensor)

    def _row_slot(self, name: str) -> Slot:
        """Where an input's state is read: the embedding made of it, or the input itself where no encoder reads it."""
        port = self.ports[name]
        for slot in self.nodes.values():
            if slot.reads_only(port) and not slot.answers:
                return slot
        return port
