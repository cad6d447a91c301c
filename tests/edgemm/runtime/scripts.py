"""Random small models of plain runners, and random scripts of what may happen to a stream, in virtual time.

A runner computes whole numbers from everything that it reads, so that whatever was read wrongly shows. It never looks at what presence says
is absent, as every graph promises. What a script pushes is told in plain Python and made an array by `raw`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from edgemm.errors import InputError
from edgemm.inputs.kind import Feed, InputKind, not_this
from edgemm.model.edge import AGE, MASK, Edge, Window
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import ARRIVAL, LATEST, Barrier, Change, Hop, Policy, Reference, Tick, Until
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array

MS = 1_000_000
MISFIT = "misfit"
BURST_NS = 3 * MS  # between two values that come at once


# kinds of input


@dataclass(frozen=True)
class Pair(InputKind):
    """Two tensors from one value, a tuple of arrays: a number, and whether it counts."""

    kind = "pair"

    @property
    def tensors(self):
        return (TensorSpec("number", "float32", (BATCH, 1)), TensorSpec("counts", "bool", (BATCH, 1)))

    def convert(self, raw):
        if not isinstance(raw, tuple):
            raise not_this("a tuple", raw)
        return tuple(part[np.newaxis] for part in raw)


@dataclass(frozen=True)
class Burst(InputKind):
    """Any number of values at once, lent in a buffer that is used again at once, as a ring buffer is."""

    kind = "burst"

    @property
    def tensors(self):
        return (TensorSpec("number", "float32", (BATCH, 1)),)

    def convert(self, raw):
        return (np.array([[raw[-1]]], np.float32),)

    def open_feed(self):
        return BurstFeed(self)


class BurstFeed(Feed):
    borrowed = True

    def __init__(self, kind):
        super().__init__(kind)
        self._lent = np.zeros((1, 1), np.float32)

    def push(self, raw, captured_ns):
        if not isinstance(raw, list):
            raise not_this("a list of numbers", raw)
        return self._each(raw, captured_ns)

    def _each(self, raw, captured_ns):
        self._lent[:] = -777
        for place, number in enumerate(raw):
            self._lent[:] = number
            yield (self._lent,), captured_ns + place * BURST_NS
            self._lent[:] = -777


class Slow(Burst):
    """The same from a feed of its own that lends nothing: what it yields is the reader's."""

    kind = "slow"

    def open_feed(self):
        return SlowFeed(self)


class SlowFeed(Feed):
    def push(self, raw, captured_ns):
        if not isinstance(raw, list):
            raise not_this("a list of numbers", raw)
        return [((np.array([[n]], np.float32),), captured_ns + i * BURST_NS) for i, n in enumerate(raw)]


KINDS = (Tensor((1,)), Pair(), Burst(), Slow())


def plain(kind, numbers):
    """What a script pushes, as plain Python: a number, a pair or a list."""
    if numbers is MISFIT:
        return MISFIT
    if isinstance(kind, Pair):
        return (numbers[0], numbers[0] % 2 == 0)
    return list(numbers) if isinstance(kind, Burst) else numbers[0]


def raw(kind, value):
    """The same as a source delivers it."""
    if value is MISFIT:
        return np.zeros(7)
    if isinstance(kind, Pair):
        return (np.array([value[0]], np.float32), np.array([value[1]]))
    return value if isinstance(kind, Burst) else np.array([value], np.float32)


def arrivals(kind, value, at):
    """What arrives: (tensors `(1, 1)`, time) each; None for what does not fit."""
    if value is MISFIT:
        return None
    if isinstance(kind, Burst):
        return [((np.array([[number]], np.float32),), at + place * BURST_NS) for place, number in enumerate(value)]
    parts = value if isinstance(kind, Pair) else (value,)
    return [(tuple(np.array([[part]], spec.dtype) for part, spec in zip(parts, kind.tensors, strict=True)), at)]


def same(kind, before, now):
    """Whether a value says what the one before said; what a feed of its own makes of values counts as new each time."""
    return not isinstance(kind, Burst) and before is not None and before == now and not isnan(_number(now))


def _number(value):
    return value[0] if isinstance(value, tuple) else value


# models


class Mix:
    """A runner that mixes everything that it is fed: y, valid, stop and h, a counter.

    Attributes:
        broken: set to make every run fail.
    """

    def __init__(self, node, inputs, *, raises=False, nans=False):
        self._node, self.raises, self.nans, self.broken = node, raises, nans, False
        more = [
            (node.presence, len(node.members)),
            (node.age, len(node.members)),
            *((s, 1) for s in node.state.values()),
        ]
        self.inputs = (
            *(_spec(name, edge, inputs) for name, edge in node.reads.items()),
            *(TensorSpec(name, "float32", (BATCH, size)) for name, size in more if name),
        )
        self.outputs = tuple(
            TensorSpec(n, d, (BATCH, 1)) for n, d in zip(OUTPUTS, ("float32", "bool", "bool", "float32"), strict=True)
        )

    def run(self, feeds):
        if self.broken:
            raise RuntimeError("broken")
        rows = [self._row({name: feeds[name][row] for name in feeds}) for row in range(len(feeds[self.inputs[0].name]))]
        return [np.array([[row[place]] for row in rows], spec.dtype) for place, spec in enumerate(self.outputs)]

    def _row(self, feeds):
        node, total = self._node, 0.0
        for place, (name, edge) in enumerate(node.reads.items(), 2):
            if node.presence and not feeds[node.presence][node.members.index(edge.source)]:
                continue
            total += sum(place * weight * float(number) for weight, number in enumerate(feeds[name].ravel(), 1))
        for name in filter(None, (node.presence, node.age)):
            total += sum(weight * float(number) for weight, number in enumerate(feeds[name], 3))
        steps = float(feeds["h_in"][0]) if node.state else 0.0
        y = (total + 5 * steps) % 101
        if self.raises and y % 7 == 6:
            raise ValueError(f"cannot {y:g}")
        y = float("nan") if self.nans and y % 11 == 10 else y
        return y, y % 3 != 0, steps >= 2 or y % 5 == 4, steps + 1


OUTPUTS = ("y", "valid", "stop", "h")


def _spec(name, edge, inputs):
    dtype = "float32"
    if edge.from_input:
        kind = inputs[edge.output]
        dtype = next(spec.dtype for spec in kind.tensors if edge.tensor in ("", spec.name))
    dtype = {MASK: "bool", AGE: "float32"}.get(edge.part, dtype)
    shape = (
        (1,) if edge.window is None else (edge.window.count,) if edge.part in (MASK, AGE) else (edge.window.count, 1)
    )
    return TensorSpec(name, dtype, (BATCH, *shape))


class Model(NamedTuple):
    """A graph, and what its runners are made of."""

    graph: ModelGraph
    faults: dict[str, tuple[bool, bool]]

    def runners(self):
        return {
            node.graph: Mix(node, self.graph.inputs, raises=self.faults[node.name][0], nans=self.faults[node.name][1])
            for node in self.graph.nodes
        }


_TRIGGERS = st.sampled_from(
    [ARRIVAL, ARRIVAL, Hop(2), Change(), Hop(3), Tick(10), Tick(25), Until("stop"), Until("stop", 2), Until("stop", 0, "finish"), Until("stop", 3, "finish")]
)  # fmt: skip
_WINDOWS = st.sampled_from([None, None, None, None, Window(2), Window(3), Window(2, 40.0), Window(3, 300.0)])
_PARTS = st.sampled_from(["value", "value", MASK, AGE])


@st.composite
def models(
    draw, *, triggers=_TRIGGERS, policies=None, kinds=KINDS, faults=True, windows=_WINDOWS, parts=_PARTS, edges=3
):
    """A model of one to three inputs and one to four nodes that read them and each other."""
    inputs = {name: draw(st.sampled_from(kinds)) for name in "abc"[: draw(st.integers(1, 3))]}
    nodes, unread = [], list(inputs)
    for number in range(draw(st.integers(1, 4))):
        nodes.append(_node(draw, f"n{number}", inputs, nodes, triggers, policies, windows, parts, edges))
        unread = [name for name in unread if f"input.{name}" not in nodes[-1].sources]
    for name in unread:
        nodes.append(Node(f"e_{name}", f"e_{name}", {"x0": _input_edge(draw, name, inputs, None)}, OUTPUTS))
    wanted = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=2, unique_by=lambda node: node.name))
    wanted += [nodes[-1]] if nodes[-1] not in wanted and draw(st.booleans()) else []
    outputs = {
        node.name: Output.of(f"{node.name}.{draw(st.sampled_from(['y', 'y', 'h']))}", Array()) for node in wanted
    }
    some = faults if isinstance(faults, st.SearchStrategy) else st.sampled_from([False] * 3 + [bool(faults)])
    return Model(
        ModelGraph("random", inputs, tuple(nodes), outputs), {node.name: (draw(some), draw(some)) for node in nodes}
    )


def _node(draw, name, inputs, nodes, triggers, policies, windows, parts, edges):
    reads = {}
    for place in range(draw(st.integers(1, edges))):
        source = draw(st.sampled_from([*inputs, *nodes]))
        window = draw(windows)
        if isinstance(source, str):
            edge = _input_edge(draw, source, inputs, window)
        else:
            edge = Edge(source.name, draw(st.sampled_from(["y", "h", "y"])), "", window)
        reads[f"x{place}"] = edge if window is None else Edge(edge.owner, edge.output, edge.tensor, window, draw(parts))
    sources = tuple(dict.fromkeys(edge.source for edge in reads.values()))
    takes = draw(st.sampled_from(["", "", "pa", "p", "a"]))
    trigger = draw(triggers)
    if isinstance(trigger, Change) and not any(edge.from_input for edge in reads.values()):
        trigger = ARRIVAL
    some = st.booleans()
    return Node(
        name, name, reads, OUTPUTS, trigger=trigger,
        policy=draw(policies if policies is not None else _policies(sources)),
        members=sources if takes else (), presence="p" if "p" in takes else "", age="g" if "a" in takes else "",
        state={"h": "h_in"} if draw(some) else {}, usable="valid" if draw(some) else "", hold=draw(some),
        stale_after_ms=draw(st.sampled_from([1000.0, 30.0])), valid_for_ms=draw(st.sampled_from([0.0, 0.0, 60.0, 250.0])),
    )  # fmt: skip


def _input_edge(draw, name, inputs, window):
    tensors = inputs[name].tensors
    return Edge("input", name, draw(st.sampled_from(tensors)).name if len(tensors) > 1 else "", window)


def _policies(sources):
    known: list[Policy] = [LATEST]
    if len(sources) > 1:
        known += [LATEST, Barrier(), *(Reference(source, ms) for source in sources[:2] for ms in (0, 25))]
    return st.sampled_from(known)


# scripts


class Event(NamedTuple):
    """One thing that happens."""

    do: str
    name: str
    value: object
    at: int


EVENTS = ("push", "resume", "advance", "tick", "end", "reset", "reset all", "start", "break", "mend")
_DO = ["push"] * 12 + ["resume"] * 4 + ["advance"] * 2 + ["tick", "end", "reset", "reset all", "break", "mend", "mend"]
_WAITS_MS = [5, 10, 0, 1, 20, 40, 100, 300, 2000]
_OFFSETS_MS = [0] * 8 + [-1, -10, -50, -300, 5, 200, 12000]
_NUMBERS = [1, 1, 2, 3, 4, 5, 0, float("nan"), MISFIT]


@st.composite
def scripts(draw, graph, *, do=_DO, length=30, waits_ms=_WAITS_MS, numbers=_NUMBERS):
    """What happens to a stream, in order; times in ns on its clock, which begins at 1 s or with the first packet."""
    events, now_ms = [Event("start", "", None, 1000 * MS)] if draw(st.booleans()) else [], 1000
    names, nodes = st.sampled_from(list(graph.inputs)), st.sampled_from([node.graph for node in graph.nodes])
    happening = st.tuples(st.sampled_from(do), st.sampled_from(waits_ms))
    for what, wait_ms in draw(st.lists(happening, min_size=1, max_size=length)):
        now_ms += wait_ms
        at = now_ms * MS
        if what == "push":
            name, some = draw(names), draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=3))
            some = MISFIT if some[0] is MISFIT else [n for n in some if n is not MISFIT]
            at = max(0, (now_ms + draw(st.sampled_from(_OFFSETS_MS))) * MS)
            events.append(Event("push", name, plain(graph.inputs[name], some), at))
        elif what in ("break", "mend"):
            events.append(Event(what, draw(nodes), None, at))
        else:
            events.append(Event(what, draw(names) if what in ("end", "reset") else "", None, at))
    return events


def play(subject, events, runners, kinds):
    """What a stream, or the reference, says to a script: for each event its results, and what can be seen from outside."""
    for event in events:
        yield event, _said(subject, event, runners, kinds), _seen(subject)


def _said(subject, event, runners, kinds):
    do, name, value, at = event
    if do in ("break", "mend"):
        runners[name].broken = do == "break"
        return None
    if do == "push":
        try:
            return shown(subject.push(name, value if kinds is None else raw(kinds[name], value), at))
        except InputError:
            return "misfit"
    if do == "advance":
        return [shown(result) for result in subject.advance(at)]
    if do == "end":
        return subject.end(name, f"ended at {at}")
    if do in ("reset", "reset all"):
        return subject.reset(name or None)
    return shown({"tick": subject.tick, "resume": subject.resume, "start": subject.start}[do](at))


def shown(result):
    """Everything that a result says, in a form that compares; the reference makes it so at once."""
    if result is None or isinstance(result, tuple):
        return result
    tensors = {
        name: {key: array.tolist() for key, array in tensors.items()} for name, tensors in result.tensors.items()
    }
    states = {name: tuple(state) for name, state in result.inputs.items()}
    return (result.at_ns, result.sequence, result.partial, tensors, states)


def _seen(subject):
    return (dict(subject.late), dict(subject.failing), subject.running, subject.due_ns)
