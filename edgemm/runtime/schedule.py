"""When nodes run: the schedule of one stream, on the thread of whoever pushes into it.

This is the one place where nodes are scheduled; the threaded stream pushes into it too. Its hot path binds inputs without copying, writes
into buffers that last, and neither logs, validates nor calls anything that nobody asked for. Time is the caller's: capture times
in ns on any monotonic clock. What a node does is its step's; who is present is said in `feeds`.

    push      a value arrives: deadlines before it are answered first, then what it sets off runs, in the graph's order
    advance   time passes: nodes that run at a rate, deadline by deadline
    resume    a loop goes on by one step; perception comes first, so whoever drives a stream calls this when nothing is due
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from edgemm.errors import UnknownNameError
from edgemm.model.edge import INPUT, Window
from edgemm.outputs.results import ABSENT, LIVE, STALE, InputState, Result
from edgemm.runtime.cells import NEVER, NS_PER_MS, Cell, InputCell, WindowCell
from edgemm.runtime.loops import Loop, step_for
from edgemm.runtime.steps import Once, make_windows

if TYPE_CHECKING:
    from edgemm.model.graph import ModelGraph
    from edgemm.outputs.kind import OutputKind
    from edgemm.runners.values import Value

_Answer = tuple[str, tuple[tuple[str, Once, int], ...]]
_Row = tuple[int, bool, str]


class Live:
    """One stream through a model. Not thread-safe: one thread pushes.

    Arrays that are pushed are read in place and must stay unchanged until the next push of the same input; what results hold is the
    caller's own. A node that fails is quarantined: it is absent with the reason, tried again later, and the others go on.

    Args:
        graph: the model.
        runners: graph name -> runner; several streams may share them.
        clock: what time it is where the caller gives none.
        on_failure: called with a node's name and its error when it fails; must return at once.

    Attributes:
        inputs, steps: what each input holds and what each node does; for profiles, a stream needs neither.
    """

    def __init__(
        self,
        graph: ModelGraph,
        runners: Mapping[str, Any],
        *,
        clock: Callable[[], int] = monotonic_ns,
        on_failure: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self._clock = clock
        self._on_failure = on_failure
        self.inputs = {name: InputCell(name, kind) for name, kind in graph.inputs.items()}
        self.steps: dict[str, Once] = {}
        self._make_steps(graph, runners)
        steps = tuple(self.steps.values())
        upstream = self._upstream = graph.upstream()
        untimed = self._untimed = tuple(step for step in steps if not step.period_ns)
        self._ticking = tuple(step for step in steps if step.period_ns)

        def after(source: str) -> tuple[Once, ...]:
            return tuple(step for step in untimed if source in upstream[step.node.name])

        self._plans = {name: after(f"{INPUT}.{name}") for name in self.inputs}
        self._after = {step: after(step.node.name) for step in steps if step.loops}
        ticking = {step.node.name for step in self._ticking}
        self._with_ticks = tuple(s for s in steps if s.period_ns or ticking & upstream[s.node.name])
        # inputs that need nothing but to be taken
        self._direct = {} if self._ticking else {name: cell for name, cell in self.inputs.items() if cell.direct}
        self._loops = tuple(step for step in steps if isinstance(step, Loop))
        self._failing: list[Once] = []
        self._answers = self._answers_of(graph)
        # an output may still grow while any loop that it is made of runs, however far behind
        self._growing = [(name, self._loops_behind([step for _, step, _ in reads])) for name, reads in self._answers]
        self._kinds: dict[str, OutputKind] = {name: output.kind for name, output in graph.outputs.items()}
        self._rows = [self._row_cell(name) for name in self.inputs]
        self._sequence = 0
        self._halted = False

    @property
    def late(self) -> dict[str, int]:
        """Input -> values refused because something newer had been pushed before."""
        return {name: cell.late for name, cell in self.inputs.items()}

    @property
    def answered(self) -> int:
        """How many results this stream has made."""
        return self._sequence

    @property
    def failing(self) -> dict[str, str]:
        """Node -> why it is quarantined."""
        return {step.node.name: step.error for step in self._failing}

    @property
    def running(self) -> tuple[str, ...]:
        """The loops that have more to do."""
        return tuple(step.node.name for step in self._loops if step.running)

    def push(self, name: str, value: Any, captured_ns: int | None = None) -> Result | None:
        """Take one frame, block of sound or text, and run what it sets off.

        Args:
            name: the input.
            value: what the input's kind takes.
            captured_ns: when it was captured (of a sound: its first sample); now, by this stream's clock, if not given.

        Returns:
            The newest result that this made, or None while the policy says not yet.

        Raises:
            UnknownNameError: the model has no such input.
            InputError: the value does not fit; the stream goes on as if it had not come.
        """
        cell = self._direct.get(name)
        if cell is not None and captured_ns is not None and captured_ns >= cell.newest_ns:  # the hot path
            cell.accept(value, captured_ns)
            return self._run_due(self._untimed if self._failing else self._plans[name], captured_ns)
        arrivals, result = self.arrive(name, value, captured_ns)
        for at_ns in arrivals:
            result = self._run_due(self.plan(name), at_ns) or result
        return result

    def arrive(self, name: str, value: Any, captured_ns: int | None) -> tuple[Iterable[int], Result | None]:
        """The first half of a push: answer deadlines before it, and let the input take the value.

        Returns:
            The times of what arrives in the input (each is held until the next is asked for), and the deadlines' newest result.
        """
        cell = self.inputs.get(name)
        if cell is None:
            raise UnknownNameError("input", name, self.inputs)
        if captured_ns is None:
            captured_ns = self._clock()
        if captured_ns < cell.newest_ns:
            cell.late += 1
            return (), None
        if name in self._direct:
            cell.accept(value, captured_ns)
            return (captured_ns,), None
        answered: list[Result] = []
        arrivals = cell.arrivals(value, captured_ns, lambda at_ns: answered.extend(self._tick_before(at_ns)))
        return arrivals, answered[-1] if answered else None

    def tick(self, now_ns: int | None = None) -> Result:
        """Answer now, whatever has come so far.

        Runs the nodes that give outputs, due or not, those that run at a rate, and what that sets off; of loops no step. Deadlines stay
        where they are.
        """
        now_ns = self._clock() if now_ns is None else now_ns
        started_ns = monotonic_ns()
        for step in self.steps.values():
            if step.period_ns or (step.answers and not step.loops) or step.due(now_ns):
                self.run(step, now_ns)
        return self.answer(now_ns, started_ns)

    def advance(self, now_ns: int) -> Iterator[Result]:
        """Run every node that is due at its rate up to `now_ns`; yields a result per deadline."""
        while self._ticking:
            deadline_ns = min(step.due_ns for step in self._ticking)
            if deadline_ns > now_ns or deadline_ns == NEVER:
                return
            yield self._run_deadline(deadline_ns)

    def skip(self, now_ns: int) -> int:
        """Leave out missed deadlines: of each node's up to `now_ns` all but the newest. Returns how many."""
        left_out = 0
        for step in self._ticking:
            if NEVER != step.due_ns <= now_ns:
                due_ns = step.due_ns
                step.skip_to(now_ns)
                left_out += (step.due_ns - due_ns) // step.period_ns
        return left_out

    def halt(self) -> None:
        """Run no node any more, whatever is pushed or due. From any thread, also in the middle of a long push or run, which then ends soon."""
        self._halted = True
        for step in self.steps.values():
            step.binding.interrupt()
        self._plans = dict.fromkeys(self._plans, ())
        self._untimed = self._ticking = self._loops = ()

    def resume(self, now_ns: int | None = None) -> Result | None:
        """One step of the loop that has waited longest, and of what reads it; a result if an output changed.

        Returns None at once where no loop is running (see `running`).
        """
        loop = min((loop for loop in self._loops if loop.running), key=lambda loop: loop.resumed, default=None)
        if loop is None:
            return None
        now_ns = self._clock() if now_ns is None else now_ns
        started_ns = monotonic_ns()
        loop.resumed = started_ns
        try:
            loop.resume()
        except Exception as error:  # a runner's: the loop is over, the stream is not
            self._quarantine(loop, now_ns, error)
        else:
            self._release(loop)
        plan = tuple(step for step in self._untimed if step is not loop) if self._failing else self._after[loop]
        result = self._run_due(plan, now_ns, started_ns)
        if result is None and loop.answers:
            result = self.answer(now_ns, started_ns)
        if not loop.running and loop.due(now_ns):  # news has waited until it was done
            for step in (loop, *plan):
                if step.due(now_ns):  # after the loop, what reads it: perhaps there is nothing left to start from
                    self.run(step, now_ns)
        return result

    def start(self, now_ns: int) -> None:
        """Let rates count from `now_ns`, also when no packet has come."""
        for step in self._ticking:
            step.schedule(now_ns)

    @property
    def due_ns(self) -> int | None:
        """When the next node is due at its rate; None without one."""
        return min((step.due_ns for step in self._ticking if step.due_ns != NEVER), default=None)

    def end(self, name: str, reason: str = "ended") -> None:
        """Say that an input will deliver nothing more; what it delivered last ages as usual."""
        if name not in self.inputs:
            raise UnknownNameError("input", name, self.inputs)
        self.inputs[name].ended = reason

    def reset(self, name: str | None = None) -> None:
        """Forget one input and what was made of it, or everything: state, embeddings, windows and failures.

        What is forgotten behaves as in a new stream: it runs with the next news. Without a name time may begin anew too, so rates count from
        the next push or `start`. Results are counted on, and so is what was late.
        """
        if name is not None and name not in self.inputs:
            raise UnknownNameError("input", name, self.inputs)
        names = list(self.inputs) if name is None else [name]
        sources = {f"{INPUT}.{each}" for each in names}
        steps = [step for step in self.steps.values() if sources & self._upstream[step.node.name]]
        cleared: set[Cell] = {*(self.inputs[each] for each in names), *(step.cell for step in steps)}
        cleared |= {window for window in self._windows if window.source in cleared}
        for cell in cleared:
            cell.clear()
        for step in steps:
            step.reset()
        if name is None:
            for step in self._ticking:
                step.due_ns = NEVER
        self._failing = [step for step in self._failing if step.failures]

    def answer(self, at_ns: int, started_ns: int) -> Result:
        """A result of what the nodes hold, without running any."""
        tensors = {}
        partial: tuple[str, ...] = ()
        for name, reads in self._answers:
            read = {}
            for tensor, step, place in reads:
                cell = step.cell
                if cell.captured_ns == NEVER or step.skipped or not step.stands(at_ns):
                    break
                if cell.valid_for_ns and cell.age_ns(at_ns) == NEVER:
                    break
                read[tensor] = cell.values[place].row()
            else:
                tensors[name] = read
        if self._loops:
            partial = tuple(name for name, loops in self._growing if any(loop.running for loop in loops))
        rows = [cell.report(at_ns) for cell in self._rows]
        sequence = self._sequence
        self._sequence = sequence + 1
        timings = (at_ns, started_ns, monotonic_ns())
        return Result(tensors, self._kinds, rows, self._states, timings, sequence, partial)

    def plan(self, name: str) -> tuple[Once, ...]:
        """The steps that news of an input can set off, in running order; while a node fails, all that may be tried again."""
        return self._untimed if self._failing else self._plans[name]

    def run(self, step: Once, now_ns: int) -> None:
        """Run a step; where it fails, it is quarantined and the others go on."""
        try:
            step.run(now_ns)
        except Exception as error:  # a runner's, whatever it is
            self._quarantine(step, now_ns, error)
        else:
            if self._failing:
                self._release(step)

    def settle(self, step: Once, outputs: tuple[Value, ...], now_ns: int, captured_ns: int) -> None:
        """Take the outputs of a step that was run elsewhere, as a row of a batch."""
        try:
            step.finish(outputs, captured_ns)
        except Exception as error:  # what it wrote is no answer
            self._quarantine(step, now_ns, error)
        else:
            self._release(step)

    def _make_steps(self, graph: ModelGraph, runners: Mapping[str, Any]) -> None:
        cells: dict[tuple[str, Window | None], Cell] = {(f"{INPUT}.{name}", None): c for name, c in self.inputs.items()}
        for node in graph.nodes:
            make_windows(node, cells)
            step = self.steps[node.name] = step_for(node, graph, runners[node.graph], cells)
            cells[node.name, None] = step.cell
            first = step.cells[0]
            if node.trigger.by_changes and isinstance(first, InputCell):
                first.refreshed.append(step.said_again)
        self._windows = tuple(cell for cell in cells.values() if isinstance(cell, WindowCell))

    def _answers_of(self, graph: ModelGraph) -> list[_Answer]:
        answers = []
        for name, output in graph.outputs.items():
            reads = []
            for tensor, edge in output.reads.items():
                step, place = self.steps[edge.owner], graph.tensor_index(edge)
                step.answers = tuple(dict.fromkeys((*step.answers, place)))
                for cell in step.cells:
                    if isinstance(cell, InputCell):
                        cell.own()  # `tick` runs it whenever it is asked
                reads.append((tensor, step, place))
            answers.append((name, tuple(reads)))
        return answers

    def _loops_behind(self, steps: Sequence[Once]) -> tuple[Loop, ...]:
        sources = {step.node.name for step in steps}.union(*(self._upstream[step.node.name] for step in steps))
        return tuple(loop for loop in self._loops if loop.node.name in sources)

    def _tick_before(self, captured_ns: int) -> Iterator[Result]:
        """In pushed mode time moves with what is pushed: of each node the newest deadline up to it is answered first, in order of time."""
        for step in self._ticking:
            if step.due_ns == NEVER:
                step.schedule(captured_ns)
            elif step.due_ns <= captured_ns:
                step.skip_to(captured_ns)
        return self.advance(captured_ns)

    def _run_deadline(self, deadline_ns: int) -> Result:
        started_ns = monotonic_ns()
        for step in self.steps.values() if self._failing else self._with_ticks:
            if step.period_ns:
                if step.due_ns == deadline_ns:
                    step.due_ns += step.period_ns
                    self.run(step, deadline_ns)
            elif step.due(deadline_ns):
                self.run(step, deadline_ns)
        return self.answer(deadline_ns, started_ns)

    def _run_due(self, plan: tuple[Once, ...], now_ns: int, started_ns: int = 0) -> Result | None:
        """Run the steps of `plan` that are due; a result if one of them gives an output."""
        answered, failing = False, bool(self._failing)
        for step in plan:
            if step.due(now_ns) if failing else step.rules(step.cells, step.marks):
                started_ns = started_ns or monotonic_ns()
                try:  # as in `run`, without the call
                    step.run(now_ns)
                except Exception as error:
                    self._quarantine(step, now_ns, error)
                else:
                    if failing:
                        self._release(step)
                if step.answers and step.speaks:
                    answered = True
        return self.answer(now_ns, started_ns) if answered else None

    def _quarantine(self, step: Once, now_ns: int, error: Exception) -> None:
        if self._halted:  # it was interrupted: nobody's failure
            return
        step.fail(now_ns, error)
        if step not in self._failing:
            self._failing.append(step)
        if self._on_failure is not None:
            self._on_failure(step.node.name, error)

    def _release(self, step: Once) -> None:
        if not step.failures and step in self._failing:
            self._failing.remove(step)

    def _states(self, rows: list[_Row]) -> dict[str, InputState]:
        states = {}
        for name, cell, (age_ns, hit, reason) in zip(self.inputs, self._rows, rows, strict=True):
            if age_ns == NEVER:
                states[name] = InputState(ABSENT, None, False, reason)
            else:
                state = STALE if age_ns > cell.stale_after_ns else LIVE
                states[name] = InputState(state, age_ns / NS_PER_MS, hit, "")
        return states

    def _row_cell(self, name: str) -> Cell:
        """Where an input's state is read: the embedding made of it, or the input itself where no encoder reads it."""
        source = self.inputs[name]
        encoders = (s for s in self.steps.values() if s.cells[0] is source and not s.node.members and not s.answers)
        encoder = next(encoders, None)
        cell = source if encoder is None else encoder.cell
        cell.tells_of = source
        return cell
