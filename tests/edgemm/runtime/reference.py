"""What a stream must say: the documented semantics of the schedule once more, as plainly as they can be said.

Written from the docstrings of `rules`, `feeds`, `cells`, `steps` and `schedule`, not from their code: everything that ever arrived is kept,
nothing is bound, reused or planned ahead, and after whatever happens every node is asked whether it is due. It has the methods of `Live`, on
values as `scripts.arrivals` makes them, and is run beside it.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from scripts import arrivals, same

from edgemm.errors import InputError
from edgemm.model.edge import AGE, MASK
from edgemm.model.rules import Barrier, Change, Hop, Reference, Tick, Until

MS = 1_000_000


class Held:
    """What is held of an input or of a node. `at` is its capture time, None while it is not usable; arrivals and losses are news."""

    def __init__(self, valid_for_ms=0.0, stale_after_ms=1000.0):
        self.values, self.at, self.why, self.made_of = None, None, "", None
        self.news = self.changes = self.told = 0
        self.valid_for_ns, self.stale_after_ns = int(valid_for_ms * MS), int(stale_after_ms * MS)
        self.watched_by = []

    def age(self, now):
        if self.at is None or (self.made_of is not None and not self.made_of(now)):
            return None
        age = max(0, now - self.at)
        return None if self.valid_for_ns and age > self.valid_for_ns else age

    def take(self, values, at, *, changed=True):
        self.values, self.at, self.why = values, at, ""
        self.news, self.changes = self.news + 1, self.changes + changed
        for past in self.watched_by:
            past.entries.append((at, values))
            past.take(None, at)

    def lose(self, why, *, news=False):
        if news or self.at is not None:
            self.news, self.changes = self.news + 1, self.changes + 1
        self.at, self.why = None, why


class Past(Held):
    """A window on an edge: the newest arrivals of its source."""

    def __init__(self, source, window):
        limits = [ms for ms in (window.ms, source.valid_for_ns / MS) if ms]
        super().__init__(min(limits, default=0.0))
        self.count, self.entries = window.count, []
        source.watched_by.append(self)

    def read(self, place, part, zero, now):
        """Oldest first; what is not there, or too old, is zero."""
        limit = self.valid_for_ns
        self.entries = [(at, v) for at, v in self.entries[-self.count :] if not limit or now - at <= limit]
        missing = self.count - len(self.entries)
        if part == MASK:
            rows = [False] * missing + [True] * len(self.entries)
        elif part == AGE:
            rows = [0.0] * missing + [max(0, now - at) / MS for at, _ in self.entries]
        else:
            rows = [zero[0]] * missing + [values[place][0] for _, values in self.entries]
        return np.array([rows])


class NotFiniteError(Exception):
    """An answer that is none."""


class Doing:
    """What a node does."""

    def __init__(self, node):
        self.node, self.held = node, Held(node.valid_for_ms, node.stale_after_ms)
        self.seen, self.ran = Counter(), False
        self.failures, self.retry, self.error = 0, None, ""
        self.state = self.before = {name: np.zeros((1, 1), np.float32) for name in node.state.values()}
        self.running, self.steps, self.turn, self.feeds, self.captured = False, 0, 0, None, None


class ReferenceLive:
    """One stream."""

    def __init__(self, graph, runners):
        self.graph, self.runners = graph, runners
        self.sequence, self.turn, self.late = 0, 0, Counter(dict.fromkeys(graph.inputs, 0))
        self.deadline = {}
        self.graph_names = {node.name for node in graph.nodes}
        self.inputs, self.doing = {name: Held() for name in graph.inputs}, {}
        self._forget(self.inputs)
        self.answering = {edge.owner for output in graph.outputs.values() for edge in output.reads.values()}

    # what may happen

    def push(self, name, value, at):
        if at < self.newest[name]:
            self.late[name] += 1
            return None
        arriving = arrivals(self.graph.inputs[name], value, at)
        if arriving is None:
            raise InputError("does not fit")
        results = self._deadlines(at, newest_only=True)
        self.newest[name], self.ended[name] = at, ""
        repeated = self.inputs[name].at is not None and same(self.graph.inputs[name], self.said[name], value)
        self.said[name] = value
        for values, arrived in arriving:
            held = self.inputs[name]
            held.take(values, arrived, changed=not repeated)
            if repeated:
                self._said_again(f"input.{name}", arrived)
            results.append(self._run_due(arrived))
        return next((result for result in reversed(results) if result), None)

    def advance(self, now):
        return self._deadlines(now)

    def tick(self, now):
        for doing in self.doing.values():
            timed, loop = isinstance(doing.node.trigger, Tick), isinstance(doing.node.trigger, Until)
            if timed or (doing.node.name in self.answering and not loop) or self._due(doing, now):
                self._attempt(doing, now)
        return self._answer(now)

    def resume(self, now):
        loops = [doing for doing in self.doing.values() if doing.running]
        if not loops:
            return None
        loop = min(loops, key=lambda doing: doing.turn)
        self.turn += 1
        loop.turn = self.turn
        loop.steps += 1
        outputs = self._run(loop, loop.feeds, loop.captured, now)
        trigger = loop.node.trigger
        over = outputs is None or outputs[trigger.stop].any() or (trigger.limit and loop.steps >= trigger.limit)
        loop.running = not over
        result = self._run_due(now, besides=loop) or (self._answer(now) if loop.node.name in self.answering else None)
        if not loop.running and self._due(loop, now):  # news has waited until it was done
            for doing in (loop, *(doing for doing in self.doing.values() if doing is not loop)):
                if self._due(doing, now):
                    self._attempt(doing, now)
        return result

    def start(self, now):
        for doing in self.doing.values():
            if isinstance(doing.node.trigger, Tick):
                period = doing.node.trigger.period_ns
                self.deadline.setdefault(doing.node.name, (now // period + 1) * period)

    def end(self, name, reason):
        self.ended[name] = reason

    def reset(self, name=None):
        self._forget(self.graph.inputs if name is None else [name])
        if name is None:
            self.deadline = {}

    @property
    def failing(self):
        return {name: doing.error for name, doing in self.doing.items() if doing.failures}

    @property
    def running(self):
        return tuple(name for name, doing in self.doing.items() if doing.running)

    @property
    def due_ns(self):
        return min(self.deadline.values(), default=None)

    # what follows from it

    def _forget(self, names):
        """What depends on these inputs starts as on the first day."""
        if set(names) == set(self.graph.inputs):
            self.newest, self.ended, self.said = {}, {}, {}
        for name in names:
            self.inputs[name].__init__()
            self.newest[name], self.ended[name], self.said[name] = -(2**62), "", None
        gone = {f"input.{name}" for name in names}
        for node in self.graph.nodes:
            if gone.intersection(node.sources):
                gone.add(node.name)
                self.doing[node.name] = Doing(node)
                of_inputs = all(key[0] not in self.graph_names and key[1] is None for key in node.windows)
                if not node.hold and not of_inputs:  # what is held stands by itself, and inputs do not expire
                    self.doing[node.name].held.made_of = lambda now, doing=self.doing[node.name]: self._stands(
                        doing, now
                    )
        self.cells = getattr(self, "cells", {})
        self.cells |= {(f"input.{name}", None): held for name, held in self.inputs.items()}
        self.cells |= {(name, None): doing.held for name, doing in self.doing.items()}
        for key in {key for node in self.graph.nodes for key in node.windows}:
            if key[1] is not None and key[0] in gone:
                self.cells[key] = Past(self.cells[key[0], None], key[1])
        for node in self.graph.nodes:
            if node.name in gone:
                self._see(self.doing[node.name])

    def _deadlines(self, now, *, newest_only=False):
        """Answer deadlines up to now, in order; of each node only the newest where time jumps with what is pushed."""
        if newest_only:
            self.start(now)
            for name, deadline in self.deadline.items():
                period = self.graph.node(name).trigger.period_ns
                self.deadline[name] = max(deadline, now // period * period)
        results = []
        while self.deadline and (deadline := min(self.deadline.values())) <= now:
            for name, doing in self.doing.items():
                if name not in self.deadline:
                    if self._due(doing, deadline):
                        self._attempt(doing, deadline)
                elif self.deadline[name] == deadline:
                    self.deadline[name] += doing.node.trigger.period_ns
                    self._attempt(doing, deadline)
            results.append(self._answer(deadline))
        return results

    def _run_due(self, now, besides=None):
        answered = False
        for doing in self.doing.values():
            if doing is not besides and not isinstance(doing.node.trigger, Tick) and self._due(doing, now):
                self._attempt(doing, now)
                answered |= doing.node.name in self.answering and not doing.running and doing.held.news > 0
        return self._answer(now) if answered else None

    def _due(self, doing, now):
        node = doing.node
        if isinstance(node.trigger, Tick):
            return False
        if doing.retry is not None:
            return now >= doing.retry
        return not (doing.running and node.trigger.on_news == "finish") and self._has_news(doing)

    def _has_news(self, doing):
        node = doing.node
        news = [self._news(node.trigger, doing, key) for key in node.windows]
        if isinstance(node.policy, Reference):
            return news[self._reference_place(node)]
        return all(news) if isinstance(node.policy, Barrier) else any(news)

    def _news(self, trigger, doing, key):
        cell = self.cells[key]
        if isinstance(trigger, Change):
            return cell.changes > doing.seen[key]
        return cell.news - doing.seen[key] >= (trigger.count if isinstance(trigger, Hop) else 1)

    def _reference_place(self, node):
        return [source.removeprefix("input.") for source, _ in node.windows].index(
            node.policy.edge.removeprefix("input.")
        )

    def _attempt(self, doing, now):
        """Run a node if what it reads is there."""
        node, cells = doing.node, [self.cells[key] for key in doing.node.windows]
        self._see(doing)
        doing.ran = False
        usable = [cell.age(now) is not None and self._near(node, cell, cells) for cell in cells]
        ages = self._member_ages(node, usable, cells, now)
        feeds = self._feeds(doing, ages, now)
        if doing.retry is not None and now < doing.retry:
            return
        if not (any(age is not None for age in ages) if node.presence else all(usable)):
            doing.running = False
            if not node.hold:
                doing.held.lose("what it reads is absent")
            return
        doing.ran = True
        captured = now if node.presence else cells[0].at
        if isinstance(node.trigger, Until):
            doing.state = {name: np.zeros_like(array) for name, array in doing.state.items()}
            doing.running, doing.steps, doing.feeds, doing.captured = True, 0, feeds, captured
        else:
            self._run(doing, feeds, captured, now)

    def _see(self, doing):
        """What is news from now on."""
        for key in doing.node.windows:
            doing.seen[key] = (
                self.cells[key].changes if isinstance(doing.node.trigger, Change) else self.cells[key].news
            )

    def _near(self, node, cell, cells):
        """Whether the policy reads a cell together with the others."""
        if not isinstance(node.policy, Reference):
            return True
        reference = cells[self._reference_place(node)]
        tolerance = int(node.policy.tolerance_ms * MS)
        return reference.at is None or cell.at is None or abs(cell.at - reference.at) <= tolerance

    def _member_ages(self, node, usable, cells, now):
        first = {}
        for (source, _), cell, usable_now in zip(node.windows, cells, usable, strict=True):
            first.setdefault(source, cell.age(now) if usable_now else None)
        return [first[member] for member in node.members]

    def _feeds(self, doing, ages, now):
        node, feeds = doing.node, {}
        for spec in self.runners[node.graph].inputs[: len(node.reads)]:
            edge = node.reads[spec.name]
            cell, zero = self.cells[edge.source, edge.window], np.zeros((1, *spec.shape[1:]), spec.dtype)
            place = self.graph.tensor_index(edge)
            if edge.window is not None:
                feeds[spec.name] = cell.read(place, edge.part, zero[:, 0], now).astype(spec.dtype)
            else:
                feeds[spec.name] = zero if cell.values is None else cell.values[place]
        if node.presence:
            feeds[node.presence] = np.array([[age is not None for age in ages]], np.float32)
        if node.age:
            feeds[node.age] = np.array([[(age or 0) / MS for age in ages]], np.float32)
        return feeds

    def _run(self, doing, feeds, captured, now):
        """Run a node's graph; its outputs by name, or None where it failed."""
        node = doing.node
        try:
            made = self.runners[node.graph].run({**feeds, **doing.state})
            outputs = dict(zip(node.outputs, made, strict=True))
            for output in self.graph.outputs.values():
                for edge in output.reads.values():
                    if edge.owner == node.name and not np.isfinite(outputs[edge.output]).all():
                        what = f"output '{edge.output}' of node '{node.name}'"
                        raise NotFiniteError(f"{what} is not finite (NaN or infinity)")
        except Exception as error:
            doing.error = f"{type(error).__name__}: {error}"
            doing.failures += 1
            doing.retry = now + min(10_000, 100 * 2 ** (doing.failures - 1)) * MS
            doing.ran = doing.running = False
            doing.held.lose(f"failed: {doing.error}", news=True)
            if isinstance(error, NotFiniteError):
                self._clear_of_nan(doing)
            return None
        doing.failures, doing.retry, doing.error, doing.before = 0, None, "", doing.state
        doing.state = {name: outputs[output] for output, name in node.state.items()}
        if not node.usable or outputs[node.usable].any():
            doing.held.take(made, captured)
        elif node.hold:
            doing.held.why = "nothing recognised"
        else:
            doing.held.lose("nothing recognised", news=True)
        return outputs

    def _clear_of_nan(self, doing):
        """What it read that is not finite is absent, from where it came; a state that is NaN is the one before, or zeros where that was too."""
        for state in (doing.state, doing.before, {name: np.zeros_like(array) for name, array in doing.state.items()}):
            if not any(np.isnan(array).any() for array in state.values()):
                doing.state = state
                break
        for source, window in doing.node.windows:
            held = self.cells[source, window]
            name = source.removeprefix("input.")
            lent = name != source and self.graph.inputs[name].open_feed().borrowed
            if (
                window is None
                and not lent
                and held.at is not None
                and not all(np.isfinite(v).all() for v in held.values)
            ):
                held.at, held.why = None, "not finite (NaN or infinity)"
                if source in self.doing:
                    self._clear_of_nan(self.doing[source])

    def _said_again(self, source, at):
        """Who runs on change is not run again, but what it made of the first thing that it reads is as new as that."""
        for doing in self.doing.values():
            key, held = (doing.node.windows[0], doing.held)
            made_of_it = key == (source, None) and doing.seen[key] == self.cells[key].changes and doing.ran
            if isinstance(doing.node.trigger, Change) and made_of_it and held.at is not None and not held.why:
                held.at = at

    def _stands(self, doing, now):
        node = doing.node
        if getattr(node.trigger, "on_news", "") == "finish" and (doing.running or self._has_news(doing)):
            return True  # it says what it read at its start
        if node.members:
            first = {source: self.cells[source, window] for source, window in reversed(node.windows)}
            return any(first[member].age(now) is not None for member in node.members)
        return all(self.cells[key].age(now) is not None for key in node.windows)

    def _answer(self, now):
        outputs, partial = {}, []
        for name, output in self.graph.outputs.items():
            makers = [self.doing[source] for source in output.sources]
            if all(doing.ran and doing.held.age(now) is not None and self._stands(doing, now) for doing in makers):
                outputs[name] = {
                    tensor: self.doing[edge.owner].held.values[self.graph.tensor_index(edge)][0].tolist()
                    for tensor, edge in output.reads.items()
                }
            if any(self.doing[source].running for source in self._behind(output.sources)):
                partial.append(name)
        self.sequence += 1
        inputs = {name: self._input_state(name, now) for name in self.inputs}
        return (now, self.sequence - 1, tuple(partial), outputs, inputs)

    def _behind(self, sources):
        """The nodes that these are made of, themselves too."""
        for source in sources:
            if source in self.doing:
                yield from (source, *self._behind(self.doing[source].node.sources))

    def _input_state(self, name, now):
        """(state, age in ms, cached, why it is absent), as the embedding made of it says where there is one."""
        held = self.inputs[name]
        for doing in self.doing.values():
            encodes = doing.node.windows[0] == (f"input.{name}", None) and not doing.node.members
            if encodes and doing.node.name not in self.answering:
                held = doing.held
                break
        age, cached, held.told = held.age(now), held.told == held.news, held.news
        if age is None:
            return (
                "absent",
                None,
                False,
                held.why or self.ended[name] or ("expired" if held.at is not None else "no data"),
            )
        return ("stale" if age > held.stale_after_ns else "live", age / MS, cached, "")
