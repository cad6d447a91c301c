"""The one general form of a model: nodes that read edges, and when they run.

    node = graph, reads=[edge], outputs, state={out: in}, runs
    edge = input.<name> | <node>.<output>
    runs = arrival | hop | change | tick(hz)            (until(stop) is reserved)

The easy profile `[inputs] [encoders] [fusion] [heads]` and a wrapped nn.Module both compile to this. The graph is acyclic except
through state. It knows nothing of files, sessions or torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgemm.errors import SpecError, UnknownNameError
from edgemm.inputs.declarations import InputSpec

INPUT = "input"
ROLES = ("encoder", "fusion", "head", "node")
RUNS = ("arrival", "hop", "change", "tick")
POLICIES = ("latest", "barrier", "reference")
_CALL = re.compile(r"\s*([a-z_]+)\s*(?:\((.*)\))?\s*")


@dataclass(frozen=True)
class Runs:
    """When a node runs: when data arrives on an edge, each hop of a windowed input, on change, or at a rate."""

    kind: str = "arrival"
    hz: float = 0.0

    @classmethod
    def parse(cls, text: str, where: str = "runs") -> Runs:
        """Read `arrival`, `hop`, `change` or `tick(HZ)`."""
        kind, arguments = _parse_call(text, where)
        if kind == "until":
            raise SpecError(
                f"{where}: 'until' is reserved for decoder loops, which keep a KV cache as state and emit partial results; "
                "this version runs acyclic graphs only. Use arrival, hop, change or tick(hz)"
            )
        if kind not in RUNS:
            raise UnknownNameError(f"rate in {where}:", kind, [*RUNS[:-1], "tick(hz)"])
        if kind != "tick":
            if arguments:
                raise SpecError(f"{where}: '{kind}' takes no arguments, got '{text}'")
            return cls(kind)
        hz = _number(arguments, 0, where, text)
        if not 0 < hz <= 1000:
            raise SpecError(f"{where}: tick(hz) needs a rate above 0 and up to 1000, got '{text}'")
        return cls("tick", hz)

    def __str__(self) -> str:
        return f"tick({self.hz:g})" if self.kind == "tick" else self.kind


@dataclass(frozen=True)
class Policy:
    """Which values a node with several edges reads together.

    `latest` runs on any arrival and reuses the others; `barrier` waits until every edge has news; `reference(edge, ms)` runs
    when that edge arrives and takes of the others what was captured within ms of it; what was not counts as absent.
    """

    kind: str = "latest"
    edge: str = ""
    tolerance_ms: float = 0.0

    @classmethod
    def parse(cls, text: str, where: str = "policy") -> Policy:
        """Read `latest`, `barrier` or `reference(EDGE, MS)`."""
        kind, arguments = _parse_call(text, where)
        if kind not in POLICIES:
            raise UnknownNameError(f"sync policy in {where}:", kind, ["latest", "barrier", "reference(edge, ms)"])
        if kind != "reference":
            return cls(kind)
        if len(arguments) != 2:
            raise SpecError(f"{where}: write reference(edge, tolerance_ms), got '{text}'")
        return cls(kind, arguments[0], _number(arguments, 1, where, text))

    def __str__(self) -> str:
        return f"reference({self.edge}, {self.tolerance_ms:g})" if self.kind == "reference" else self.kind


@dataclass(frozen=True)
class Node:
    """One use of a graph in a model.

    Attributes:
        name: unique; `input` is reserved.
        graph: name of the exported graph. Two nodes may share one.
        reads: graph input -> edge, in the graph's order.
        outputs: output names, in the graph's order.
        role: encoder, fusion, head or node; for people and reports.
        runs: when it runs.
        policy: which values it reads together, when it reads several edges.
        members: the edges' owners (`image`, `input.audio`) whose presence and age form the columns, in order.
        presence: graph input that takes presence float32 `(batch, M)`, or "".
        age: graph input that takes age in ms float32 `(batch, M)`, or "".
        state: output -> graph input it is fed back to; zeros at a stream's start.
        usable: a bool output that says whether there was anything to encode, or "".
        hold: keep the last usable embedding while newer ones are not usable.
        stale_after_ms: age from which its embedding is reported stale.
        valid_for_ms: age from which its embedding counts as absent; 0 means never.
    """

    name: str
    graph: str
    reads: Mapping[str, str]
    outputs: tuple[str, ...]
    role: str = "node"
    runs: Runs = Runs()
    policy: Policy = Policy()
    members: tuple[str, ...] = ()
    presence: str = ""
    age: str = ""
    state: Mapping[str, str] = field(default_factory=dict)
    usable: str = ""
    hold: bool = False
    stale_after_ms: float = 1000.0
    valid_for_ms: float = 0.0

    def edges(self) -> Iterable[tuple[str, str]]:
        """(owner, output) of each edge that it reads; the owner `input` stands for the model's inputs."""
        for edge in self.reads.values():
            owner, _, output = edge.partition(".")
            yield owner, output

    def owners(self) -> tuple[str, ...]:
        """What it reads, once each: a node's name, or `input.<name>`."""
        found = (f"{INPUT}.{output}" if owner == INPUT else owner for owner, output in self.edges())
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Output:
    """One answer of the model, and how to read it.

    Attributes:
        edge: `<node>.<output>` that carries it.
        labels: a name for each class, when it holds one score per class `(batch, classes)`.
    """

    edge: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelGraph:
    """A whole model: named inputs, nodes in an order that can be run, named outputs.

    Raises:
        SpecError: on construction, for anything that cannot be run; the message names the node and the edge.
    """

    name: str
    inputs: Mapping[str, InputSpec]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, Output]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", _sorted_nodes(self))
        _check_outputs(self)

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def graph_names(self) -> tuple[str, ...]:
        """The graphs to export, once each, in running order."""
        return tuple(dict.fromkeys(node.graph for node in self.nodes))

    def readers(self, input_name: str) -> tuple[Node, ...]:
        """The nodes that read an input of the model."""
        return tuple(node for node in self.nodes if f"{INPUT}.{input_name}" in node.owners())


def _sorted_nodes(model: ModelGraph) -> tuple[Node, ...]:
    by_name: dict[str, Node] = {}
    for node in model.nodes:
        if node.name in by_name:
            raise SpecError(f"two nodes are named '{node.name}'")
        if node.name == INPUT:
            raise SpecError("a node cannot be named 'input': edges 'input.<name>' are the model's inputs")
        by_name[node.name] = node
    for node in model.nodes:
        _check_node(model, by_name, node)
    ordered: dict[str, Node] = {}
    waiting = list(model.nodes)
    while waiting:
        ready = [n for n in waiting if all(o == INPUT or o in ordered for o, _ in n.edges())]
        if not ready:
            names = " -> ".join(node.name for node in waiting)
            raise SpecError(f"the nodes form a cycle ({names}); only state may feed back: state = {{output = input}}")
        ordered.update((node.name, node) for node in ready)
        waiting = [node for node in waiting if node.name not in ordered]
    return tuple(ordered.values())


def _check_node(model: ModelGraph, by_name: Mapping[str, Node], node: Node) -> None:
    where = f"node '{node.name}'"
    if node.role not in ROLES:
        raise UnknownNameError(f"role of {where}:", node.role, ROLES)
    if not node.reads or not node.outputs:
        raise SpecError(f"{where} must read at least one edge and have at least one output")
    for owner, output in node.edges():
        if owner == INPUT:
            if output not in model.inputs:
                raise UnknownNameError(f"input read by {where}:", output, model.inputs)
        elif owner not in by_name:
            raise UnknownNameError(f"node read by {where}:", owner, by_name)
        elif output not in by_name[owner].outputs:
            raise UnknownNameError(f"output of '{owner}' read by {where}:", output, by_name[owner].outputs)
    owners = node.owners()
    for member in node.members:
        if member not in owners:
            raise UnknownNameError(f"member of {where}:", member, owners)
    if (node.presence or node.age) and not node.members:
        raise SpecError(f"{where} takes presence or age, so it must name its members")
    for name in (*node.state, *([node.usable] if node.usable else [])):
        if name not in node.outputs:
            raise UnknownNameError(f"output of {where}:", name, node.outputs)
    if node.policy.kind == "reference" and node.policy.edge not in {o.removeprefix(f"{INPUT}.") for o in owners}:
        raise UnknownNameError(f"reference of {where}:", node.policy.edge, [o.removeprefix("input.") for o in owners])
    _check_runs(model, node, where)


def _check_runs(model: ModelGraph, node: Node, where: str) -> None:
    inputs = [model.inputs[output] for owner, output in node.edges() if owner == INPUT]
    if node.runs.kind == "hop" and not any(hasattr(spec, "hop_samples") for spec in inputs):
        raise SpecError(f"{where} runs each hop, but reads no audio input; use arrival, change or tick(hz)")
    if node.runs.kind == "change" and not inputs:
        raise SpecError(f"{where} runs on change, but reads no input of the model")


def _check_outputs(model: ModelGraph) -> None:
    if not model.inputs:
        raise SpecError(f"model '{model.name}' has no inputs")
    if not model.outputs:
        raise SpecError(f"model '{model.name}' has no outputs")
    by_name = {node.name: node for node in model.nodes}
    for name, output in model.outputs.items():
        owner, _, tensor = output.edge.partition(".")
        if owner not in by_name:
            raise UnknownNameError(f"node of output '{name}':", owner, by_name)
        if tensor not in by_name[owner].outputs:
            raise UnknownNameError(f"tensor of output '{name}':", tensor, by_name[owner].outputs)
    for name in model.inputs:
        if not model.readers(name):
            raise SpecError(f"no node reads input '{name}'")


def _parse_call(text: Any, where: str) -> tuple[str, list[str]]:
    match = _CALL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise SpecError(f"{where}: cannot read {text!r}")
    return match[1], [part.strip() for part in match[2].split(",")] if match[2] else []


def _number(arguments: list[str], index: int, where: str, text: str) -> float:
    try:
        return float(arguments[index])
    except (IndexError, ValueError):
        raise SpecError(f"{where}: expected a number in '{text}'") from None
