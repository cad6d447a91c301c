"""A user's own nn.Module as an EdgeMM model: one node, or split into encoders and the rest where that can be proven right.

It knows how a network is called (`whole`) and how it is taken apart (`split`), not what it computes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from edgemm.errors import SpecError, UnknownNameError
from edgemm.host.named import class_of_kind
from edgemm.inputs.kind import InputKind
from edgemm.model.edge import Edge
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Policy, Trigger
from edgemm.modeling.split import Split, split_network
from edgemm.modeling.state import next_name
from edgemm.modeling.whole import Prepare, Whole, reads_of
from edgemm.outputs.kind import OutputKind
from edgemm.tensors import BATCH, TensorSpec

Labels = Sequence[str] | Mapping[str, Sequence[str]]
_WHOLE = "net"


@dataclass(frozen=True)
class WrappedModel:
    """A user's module with a node graph around it; made by `wrap`.

    Attributes:
        graph: nodes and edges.
        modules_by_graph: graph name -> module with the graph's tensors as arguments.
        state_by_graph: graph name -> its state inputs.
    """

    graph: ModelGraph
    modules_by_graph: Mapping[str, nn.Module]
    state_by_graph: Mapping[str, Sequence[TensorSpec]] = field(default_factory=dict)


def wrap(
    net: nn.Module,
    inputs: Mapping[str, InputKind],
    *,
    split: Mapping[str, nn.Module] | None = None,
    labels: Labels = (),
    outputs: Mapping[str, OutputKind] | None = None,
    state: Mapping[str, Sequence[int]] | None = None,
    prepare: Mapping[str, Prepare | None] | None = None,
    trigger: str = "arrival",
    policy: str = "latest",
    name: str = "",
) -> WrappedModel:
    """Make an EdgeMM model of a copy of your own network, in evaluation mode, ready for `edgemm.export`; yours is not touched.

    Args:
        net: called as `net(image=…, audio=…)` if its forward has arguments of the inputs' names, else in their order; an input of several
            tensors is called by `text_ids`, `text_mask` where it has such arguments, else as a tuple. If it has arguments
            `presence` `(B, M)` or `age_ms` `(B, M)`, it gets them, and answers with inputs missing; else it answers once all are there.
        inputs: input name -> `edgemm.Image(96, 96)`, `edgemm.Audio(16_000)`, `edgemm.Text()`, `edgemm.Tensor(...)`, or a plugin's kind.
        split: input name -> the submodule of `net` that encodes it and nothing else. Each becomes a graph of its own that runs when its
            input arrives and whose output is cached; inputs may share one. Without it the network is one graph.
        labels: names of the classes of the only output, or by output.
        outputs: output name -> how it is read, such as `edgemm.Classes(labels)`; a kind of several tensors reads outputs of those
            names. Others are not the model's. By default each is read as classes where it has labels, else as an array.
        state: argument of `net` -> its shape without the batch axis: what it returned at the step before, zeros at a stream's start.
            `net` returns the next state by the same name in a dict, or after its outputs in a tuple, in this order.
        prepare: input name -> what is done to the raw tensors before `net` sees them; what the kind says if not given (frames become
            float NCHW in [0, 1], bytes of text int64). None hands over the raw tensor.
        trigger: when the last graph runs: `arrival`, `tick(HZ)`, `hop(COUNT)` or `until(OUTPUT)`.
        policy: which values it reads together: `latest`, `barrier` or `reference(INPUT, MS)`.
        name: the model's name; the class name of `net` if not given.

    Raises:
        SpecError: the arguments do not fit the network, or the split would change what it computes; the message says why.
    """
    _check_kinds(net, inputs)
    parts = {key.removeprefix("encoder."): part for key, part in (split or {}).items()}
    for key in (*parts, *(prepare or {})):
        if key not in inputs:
            raise UnknownNameError("input in split or prepare:", key, inputs)
    paths = {id(part): path for path, part in net.named_modules()}
    for key, part in parts.items():
        if id(part) not in paths:
            raise SpecError(f"split: what is given for '{key}' is not a submodule of {type(net).__name__}")
    # what is exported is the network as it is now, whatever its owner does with it later
    net = copy.deepcopy(net).eval()
    parts = {key: net.get_submodule(paths[id(part)]) for key, part in parts.items()}
    whole = Whole(net, inputs, prepare or {}, state or {}).eval()
    examples = whole.call_once()
    made = split_network(whole, parts) if parts else _unsplit(whole)
    last = _last_node(whole, made, examples)
    last = last._replace(trigger=Trigger.parse(trigger), policy=Policy.parse(policy))
    answers = {key: tensor for key, tensor in examples.items() if key in last.outputs and key not in last.state}
    read = _outputs(last, answers, labels, outputs)
    graph = ModelGraph(name or type(net).__name__.lower(), dict(inputs), (*made.nodes, last), read)
    return WrappedModel(graph, made.modules, _state_specs(whole, made))


def _check_kinds(net: object, inputs: Mapping[str, object]) -> None:
    """The two slips that are made most: a function for a network, a shape for a kind of input."""
    if not isinstance(net, nn.Module):
        raise SpecError(
            f"expected a torch.nn.Module, got {type(net).__name__}; give a function a Module whose forward calls it"
        )
    for key, kind in inputs.items():
        if not isinstance(kind, InputKind):
            raise SpecError(
                f"input '{key}': expected a kind of input such as edgemm.Image(96, 96) or edgemm.Tensor((4,)), got {kind!r:.60}"
            )


def _state_specs(whole: Whole, made: Split) -> dict[str, tuple[TensorSpec, ...]]:
    return {
        graph: tuple(TensorSpec(name, "float32", (BATCH, *whole.state[name])) for name in names)
        for graph, names in made.states.items()
        if names
    }


def _unsplit(whole: Whole) -> Split:
    return Split((), {_WHOLE: whole}, reads_of(whole.inputs), {_WHOLE: tuple(whole.state)})


def _last_node(whole: Whole, made: Split, examples: Mapping[str, Tensor]) -> Node:
    """The node that answers: the whole network, or the rest of it."""
    name = list(made.modules)[-1]
    elsewhere = {next_name(state) for state in whole.state if state not in made.states[name]}
    node = Node(
        name,
        name,
        made.reads,
        tuple(output for output in examples if output not in elsewhere),
        role="fusion" if made.nodes else "node",
        state={next_name(state): state for state in made.states[name]},
    )
    presence, age = ("presence" in whole.extra, "age_ms" in whole.extra)
    if not (presence or age):
        return node
    return node._replace(members=node.sources, presence="presence" if presence else "", age="age_ms" if age else "")


def _outputs(
    last: Node, examples: Mapping[str, Tensor], labels: Labels, kinds: Mapping[str, OutputKind] | None
) -> dict[str, Output]:
    if kinds is not None:
        if labels:
            raise SpecError("give labels or outputs, not both: outputs={'answer': edgemm.Classes(labels)}")
        return {name: _output_of(last, name, kind, examples) for name, kind in kinds.items()}
    by_output = labels if isinstance(labels, Mapping) else {next(iter(examples)): labels}
    for name in by_output:
        if name not in examples:
            raise UnknownNameError("output in labels:", name, examples)
    made = {}
    for name in examples:
        names = tuple(by_output.get(name, ()))
        kind: OutputKind = class_of_kind("output", "classes")(names) if names else class_of_kind("output", "array")()
        made[name] = _output_of(last, name, kind, examples)
    return made


def _output_of(last: Node, name: str, kind: OutputKind, examples: Mapping[str, Tensor]) -> Output:
    """An output of the network's tensors: the one of its name, or those that its kind names."""
    wanted = {tensor: name if len(kind.tensors) == 1 else tensor for tensor in kind.tensors}
    for output in wanted.values():
        if output not in examples:
            raise UnknownNameError(f"output of the network, read as {kind.kind} by '{name}':", output, examples)
    specs = {
        tensor: TensorSpec(
            output, str(examples[output].dtype).removeprefix("torch."), (BATCH, *examples[output].shape[1:])
        )
        for tensor, output in wanted.items()
    }
    problem = kind.check(specs)
    if problem:
        raise SpecError(f"output '{name}' cannot be read as {kind.kind}: {problem}")
    return Output(kind, {tensor: Edge(last.name, output) for tensor, output in wanted.items()})
