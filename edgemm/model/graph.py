"""The one general form of a model: nodes that read edges, and when they run.

    node = graph, reads = {graph input: edge}, outputs, state = {output: graph input}, trigger, policy

The easy profile `[inputs] [encoders] [fusion] [heads]` and a wrapped nn.Module both compile to this. The graph is acyclic except
through state. It knows nothing of files, sessions or torch.
"""

# No `annotations` from `__future__`: every start reads these types for the strict reader, and kept as text each would be compiled.
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from edgemm.errors import SpecError, UnknownNameError
from edgemm.inputs.kind import InputKind
from edgemm.limits import LONGEST_MS, MODEL_PARTS
from edgemm.model.edge import INPUT, Edge, Window
from edgemm.model.rules import ARRIVAL, LATEST, Policy, Reference, Trigger, Until
from edgemm.outputs.kind import OutputKind

ROLES = ("encoder", "fusion", "head", "node")


class Node(NamedTuple):
    """One use of a graph in a model.

    Attributes:
        name: unique; `input` is reserved.
        graph: name of the exported graph. Two nodes may share one.
        reads: graph input -> edge, in the graph's order. The first is what the node is about: its age is the output's age.
        outputs: output names, in the graph's order.
        role: encoder, fusion, head or node; for people and reports.
        trigger: when it runs.
        policy: which values it reads together, when it reads several edges.
        members: the sources (`image`, `input.audio`) whose presence and age form the columns, in order.
        presence: graph input that takes presence float32 `(batch, M)`, or "".
        age: graph input that takes age in ms float32 `(batch, M)`, or "".
        state: output -> graph input it is fed back to; zeros at a stream's start.
        usable: a bool output that says whether there was anything to encode, or "".
        hold: keep the last usable outputs while newer ones are not usable (zero-order hold).
        stale_after_ms: age from which its outputs are reported stale.
        valid_for_ms: age from which they count as absent; 0 means never.
    """

    name: str
    graph: str
    reads: Mapping[str, Edge]
    outputs: tuple[str, ...]
    role: str = "node"
    trigger: Trigger = ARRIVAL
    policy: Policy = LATEST
    members: tuple[str, ...] = ()
    presence: str = ""
    age: str = ""
    state: Mapping[str, str] = {}
    usable: str = ""
    hold: bool = False
    stale_after_ms: float = 1000.0
    valid_for_ms: float = 0.0

    @property
    def sources(self) -> tuple[str, ...]:
        """What it reads, once each: a node's name, or `input.<name>`."""
        return tuple(dict.fromkeys(edge.source for edge in self.reads.values()))

    @property
    def windows(self) -> tuple[tuple[str, Window | None], ...]:
        """What it reads, once each, with how much of the past: sources and windows of them, in order."""
        return tuple(dict.fromkeys((edge.source, edge.window) for edge in self.reads.values()))

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs, in order: what it reads, presence and age if it takes them, state."""
        return (*self.reads, *(name for name in (self.presence, self.age) if name), *self.state.values())


class Output(NamedTuple):
    """One answer of the model, and how to read it.

    Attributes:
        kind: how its tensors become what a program reads.
        reads: tensor of the kind -> edge that carries it; a kind with one tensor takes any name.
    """

    kind: OutputKind
    reads: Mapping[str, Edge]

    @classmethod
    def of(cls, edge: str | Edge, kind: OutputKind) -> "Output":
        """An output of one tensor."""
        return cls(kind, {kind.tensors[0]: edge if isinstance(edge, Edge) else Edge.parse(edge, "output")})

    @property
    def sources(self) -> tuple[str, ...]:
        """The nodes that it reads, once each."""
        return tuple(dict.fromkeys(edge.source for edge in self.reads.values()))


@dataclass(frozen=True)
class ModelGraph:
    """A whole model: named inputs, nodes in an order that can be run, named outputs.

    Raises:
        SpecError: on construction, for anything that cannot be run; the message names the node and the edge.
    """

    name: str
    inputs: Mapping[str, InputKind]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, Output]

    def __post_init__(self) -> None:
        for what, parts in (("inputs", self.inputs), ("nodes", self.nodes), ("outputs", self.outputs)):
            if len(parts) > MODEL_PARTS:
                raise SpecError(f"model '{self.name:.80}' has {len(parts)} {what}; at most {MODEL_PARTS} are run")
        object.__setattr__(self, "nodes", _sorted_nodes(self))
        _check_outputs(self)

    def node(self, name: str) -> Node:
        """The node of that name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @property
    def graph_names(self) -> tuple[str, ...]:
        """The graphs to export, once each, in running order."""
        return tuple(dict.fromkeys(node.graph for node in self.nodes))

    def readers(self, input_name: str) -> tuple[Node, ...]:
        """The nodes that read an input of the model."""
        return tuple(node for node in self.nodes if f"{INPUT}.{input_name}" in node.sources)

    def upstream(self) -> dict[str, frozenset[str]]:
        """Node -> the sources (`input.audio`, `audio`) whose news can reach it, directly or through others."""
        found: dict[str, frozenset[str]] = {}
        for node in self.nodes:
            found[node.name] = frozenset(node.sources).union(*(found.get(source, ()) for source in node.sources))
        return found

    def tensor_index(self, edge: Edge) -> int:
        """Which of its source's tensors an edge carries: of a node's outputs, or of an input's tensors."""
        if not edge.from_input:
            return self.node(edge.owner).outputs.index(edge.output)
        names = [spec.name for spec in self.inputs[edge.output].tensors]
        return names.index(edge.tensor) if edge.tensor else 0


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
    place = {name: index for index, name in enumerate(by_name)}
    readers: dict[str, list[str]] = {name: [] for name in by_name}
    missing = {name: {e.owner for e in node.reads.values() if not e.from_input} for name, node in by_name.items()}
    for name, owners in missing.items():
        for owner in owners:
            readers[owner].append(name)
    ordered: list[str] = []
    ready = [name for name, owners in missing.items() if not owners]
    while ready:  # all that can run beside each other, in the order in which they were given
        ordered += ready
        for name in ready:
            for reader in readers[name]:
                missing[reader].discard(name)
        following = {reader for name in ready for reader in readers[name] if not missing[reader]}
        ready = sorted(following, key=place.__getitem__)
    if len(ordered) < len(by_name):
        names = " -> ".join(name for name, owners in missing.items() if owners)
        raise SpecError(f"the nodes form a cycle ({names}); only state may feed back: state = {{output = input}}")
    return tuple(by_name[name] for name in ordered)


def _check_node(model: ModelGraph, by_name: Mapping[str, Node], node: Node) -> None:
    where = f"node '{node.name}'"
    if node.role not in ROLES:
        raise UnknownNameError(f"role of {where}:", node.role, ROLES)
    if not node.reads or not node.outputs:
        raise SpecError(f"{where} must read at least one edge and have at least one output")
    for edge in node.reads.values():
        _check_edge(model, by_name, edge, where)
    sources = node.sources
    known = set(sources)
    for member in node.members:
        if member not in known:
            raise UnknownNameError(f"member of {where}:", member, sources)
    if (node.presence or node.age) and not node.members:
        raise SpecError(f"{where} takes presence or age, so it must name its members")
    if node.presence and set(node.members) != known:
        missing = ", ".join(source for source in sources if source not in node.members)
        raise SpecError(
            f"{where} takes presence, so all that it reads must be its members, or nothing tells it when they are absent: {missing}"
        )
    for name in (*node.state, *([node.usable] if node.usable else [])):
        if name not in node.outputs:
            raise UnknownNameError(f"output of {where}:", name, node.outputs)
    for name in node.state.values():
        if name in node.reads:
            raise SpecError(
                f"{where}: graph input '{name}' is fed by state, so it cannot read '{node.reads[name]}' too"
            )
    for key, value in (("stale_after_ms", node.stale_after_ms), ("valid_for_ms", node.valid_for_ms)):
        if not 0 <= value <= LONGEST_MS:
            raise SpecError(f"{where}: {key} must be from 0 to {LONGEST_MS:g}, got {value!r}")
    _check_rules(node, where)


def _check_edge(model: ModelGraph, by_name: Mapping[str, Node], edge: Edge, where: str) -> None:
    if edge.from_input:
        if edge.output not in model.inputs:
            raise UnknownNameError(f"input read by {where}:", edge.output, model.inputs)
        names = [spec.name for spec in model.inputs[edge.output].tensors]
        if edge.tensor and edge.tensor not in names:
            raise UnknownNameError(f"tensor of input '{edge.output}' read by {where}:", edge.tensor, names)
        if not edge.tensor and len(names) > 1:
            raise SpecError(f"{where}: input '{edge.output}' has several tensors; read one, as '{edge}.{names[0]}'")
    elif edge.owner not in by_name:
        raise UnknownNameError(f"node read by {where}:", edge.owner, by_name)
    elif edge.output not in by_name[edge.owner].outputs:
        raise UnknownNameError(f"output of '{edge.owner}' read by {where}:", edge.output, by_name[edge.owner].outputs)


def _check_rules(node: Node, where: str) -> None:
    if isinstance(node.policy, Reference):
        names = [source.removeprefix(f"{INPUT}.") for source in node.sources]
        if node.policy.edge.removeprefix(f"{INPUT}.") not in names:
            raise UnknownNameError(f"reference of {where}:", node.policy.edge, names)
    if node.trigger.name == "change" and not any(edge.from_input for edge in node.reads.values()):
        raise SpecError(f"{where} runs on change, but reads no input of the model")
    if isinstance(node.trigger, Until) and node.trigger.stop not in node.outputs:
        raise UnknownNameError(f"output that stops {where}:", node.trigger.stop, node.outputs)


def _check_outputs(model: ModelGraph) -> None:
    if not model.inputs:
        raise SpecError(f"model '{model.name}' has no inputs")
    if not model.outputs:
        raise SpecError(f"model '{model.name}' has no outputs")
    by_name = {node.name: node for node in model.nodes}
    for name, output in model.outputs.items():
        if set(output.reads) != set(output.kind.tensors):
            raise SpecError(
                f"output '{name}' is of kind '{output.kind.kind}', which reads {', '.join(output.kind.tensors)}; "
                f"it was given {', '.join(output.reads) or 'nothing'}"
            )
        for edge in output.reads.values():
            if edge.owner not in by_name:
                raise UnknownNameError(f"node of output '{name}':", edge.owner, by_name)
            if edge.output not in by_name[edge.owner].outputs:
                raise UnknownNameError(f"tensor of output '{name}':", edge.output, by_name[edge.owner].outputs)
            if edge.window is not None:
                raise SpecError(f"output '{name}' reads '{edge}': an answer is what a node says now, not a window")
    read = {source for node in model.nodes for source in node.sources}
    for name, kind in model.inputs.items():
        if f"{INPUT}.{name}" not in read:
            raise SpecError(f"no node reads input '{name}'")
        if not 0 <= kind.period_ms <= LONGEST_MS:
            raise SpecError(
                f"input '{name}': one value comes every {kind.period_ms:g} ms; at most {LONGEST_MS:g} are waited for"
            )
