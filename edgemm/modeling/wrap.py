"""A user's own nn.Module as an EdgeMM model: one node, or split into encoders and the rest where that can be proven right.

A split is checked, not assumed: the parts together must give what the whole gives on random inputs. It knows nothing of what
the module computes.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from edgemm.errors import SpecError, UnknownNameError
from edgemm.inputs.declarations import Image, InputSpec, Text
from edgemm.model.graph import INPUT, ModelGraph, Node, Output, Policy, Runs
from edgemm.model.spec import WHEN
from edgemm.modeling.graph_modules import example_inputs

Prepare = Callable[[Tensor], Tensor]
_Shapes = Mapping[str, tuple[torch.Size, torch.dtype]]
_REST = "fusion"
_FEATURES = "features"
_PROOF_BATCH = 3
_TOLERANCE = 1e-4  # two orders of the same float32 operations; a wrong split is off by far more


@dataclass(frozen=True)
class WrappedModel:
    """A user's module with a node graph around it; made by `wrap`.

    Attributes:
        graph: nodes and edges.
        modules_by_graph: graph name -> module with the graph's tensors as arguments.
    """

    graph: ModelGraph
    modules_by_graph: Mapping[str, nn.Module]


def wrap(
    net: nn.Module,
    inputs: Mapping[str, InputSpec],
    *,
    split: Mapping[str, nn.Module] | None = None,
    labels: Sequence[str] | Mapping[str, Sequence[str]] = (),
    prepare: Mapping[str, Prepare | None] | None = None,
    runs: str = "arrival",
    policy: str = "latest",
    name: str = "",
) -> WrappedModel:
    """Make an EdgeMM model of a copy of your own network, in evaluation mode, ready for `edgemm.export`; yours is not touched.

    Args:
        net: called as `net(image=…, audio=…)` if its forward has arguments of the inputs' names, else in their order. If it has arguments
            `presence` `(B, M)` or `age_ms` `(B, M)`, it gets them, and answers with inputs missing; else it answers once all are there.
        inputs: input name -> `edgemm.Image(96, 96)`, `edgemm.Audio(16_000)`, `edgemm.Text()`, `edgemm.Tensor(...)`.
        split: input name -> the submodule of `net` that encodes it and nothing else. Each becomes a graph of its own that runs when its
            input arrives and whose output is cached; inputs may share one. Without it the network is one graph.
        labels: names of the classes of the only output, or by output.
        prepare: input name -> what is done to the raw tensor before `net` sees it. By default frames become float NCHW in [0, 1], and
            bytes of text int64; None hands over the raw tensor.
        runs: when the last graph runs: `arrival` or `tick(HZ)`.
        policy: which values it reads together: `latest`, `barrier` or `reference(INPUT, MS)`.
        name: the model's name; the class name of `net` if not given.

    Raises:
        SpecError: the arguments do not fit the network, or the split would change what it computes; the message says why.
    """
    parts = {_input_name(key): part for key, part in (split or {}).items()}
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
    whole = _Whole(net, inputs, prepare or {}).eval()
    outputs = _call_once(whole, inputs)
    if parts:
        nodes, modules = _split(whole, inputs, parts, outputs)
    else:
        nodes, modules = _one_node(whole, inputs, outputs)
    last = replace(nodes[-1], runs=Runs.parse(runs), policy=Policy.parse(policy))
    graph = ModelGraph(
        name or type(net).__name__.lower(), dict(inputs), (*nodes[:-1], last), _outputs(last, outputs, labels)
    )
    return WrappedModel(graph, modules)


class _Whole(nn.Module):
    """The network with its inputs' preparation in front: raw tensors in declared order, then presence and age if it takes them."""

    def __init__(self, net: nn.Module, inputs: Mapping[str, InputSpec], prepare: Mapping[str, Prepare | None]) -> None:
        super().__init__()
        self.net = net
        self.names = tuple(inputs)
        self.prepare = {name: prepare.get(name, _default(spec)) for name, spec in inputs.items()}
        arguments = inspect.signature(net.forward).parameters
        self.by_name = all(name in arguments for name in inputs)
        self.extra = tuple(name for name in ("presence", "age_ms") if name in arguments)
        positional = [a for a in arguments.values() if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
        if (
            not self.by_name
            and len(positional) < len(inputs)
            and not any(a.kind == a.VAR_POSITIONAL for a in arguments.values())
        ):
            raise SpecError(
                f"{type(net).__name__}.forward({', '.join(arguments)}) takes fewer arguments than there are inputs "
                f"({', '.join(inputs)}); name its arguments as the inputs"
            )

    def prepared(self, name: str, raw: Tensor) -> Tensor:
        """What the network sees of one input."""
        prepare = self.prepare[name]
        return raw if prepare is None else prepare(raw)

    def call(self, prepared: Mapping[str, Tensor], extra: Sequence[Tensor]) -> Any:
        """Call the network."""
        keywords = dict(zip(self.extra, extra, strict=True))
        if self.by_name:
            return self.net(**prepared, **keywords)
        return self.net(*prepared.values(), **keywords)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Raw tensors and extras to outputs."""
        count = len(self.names)
        prepared = {n: self.prepared(n, raw) for n, raw in zip(self.names, tensors[:count], strict=True)}
        return _as_tuple(self.call(prepared, tensors[count:]))


class _Encoder(nn.Module):
    """One input's preparation and the submodule that encodes it."""

    def __init__(self, part: nn.Module, prepare: Prepare | None) -> None:
        super().__init__()
        self.part = part
        self.prepare = prepare

    def forward(self, raw: Tensor) -> Tensor:
        """Raw tensor to features `(B, …)`."""
        features: Tensor = self.part(raw if self.prepare is None else self.prepare(raw))
        return features


class _Box:
    """Carries features to the stubs while the rest runs; not a module, so that tracing sees values only."""

    def __init__(self) -> None:
        self.queue: list[Tensor] = []


class _Stub(nn.Module):
    """Stands where an encoder was, and returns what it had computed."""

    def __init__(self, box: _Box) -> None:
        super().__init__()
        self._box = box

    def forward(self, *_: Any, **__: Any) -> Tensor:
        """The next features of this encoder's calls."""
        return self._box.queue.pop(0)


class _Rest(nn.Module):
    """The network without its encoders: features and raw tensors, then extras, to outputs."""

    def __init__(self, whole: _Whole, calls: Mapping[str, Sequence[str]], shapes: _Shapes) -> None:
        super().__init__()
        self.whole = copy.deepcopy(whole)
        self.shapes = shapes
        self.boxes: list[tuple[_Box, tuple[str, ...]]] = []
        for path, order in calls.items():
            box = _Box()
            _set_submodule(self.whole.net, path, _Stub(box))
            self.boxes.append((box, tuple(order)))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Per input in order its features or raw tensor; then extras."""
        names = self.whole.names
        given = dict(zip(names, tensors[: len(names)], strict=True))
        batch = tensors[0].shape[0]
        prepared = {}
        for name in names:
            if name in self.shapes:  # replaced: the network may look at it, but not use it
                shape, dtype = self.shapes[name]
                prepared[name] = torch.zeros((batch, *shape[1:]), dtype=dtype)
            else:
                prepared[name] = self.whole.prepared(name, given[name])
        for box, order in self.boxes:
            box.queue = [given[name] for name in order]
        outputs = _as_tuple(self.whole.call(prepared, tensors[len(names) :]))
        for box, _ in self.boxes:
            box.queue = []
        return outputs


def _one_node(
    whole: _Whole, inputs: Mapping[str, InputSpec], outputs: Mapping[str, Tensor]
) -> tuple[list[Node], dict[str, nn.Module]]:
    reads = {name: f"{INPUT}.{name}" for name in inputs}
    return [_last_node(whole, "net", "node", reads, outputs)], {"net": whole}


def _split(
    whole: _Whole, inputs: Mapping[str, InputSpec], parts: Mapping[str, nn.Module], outputs: Mapping[str, Tensor]
) -> tuple[list[Node], dict[str, nn.Module]]:
    raw = example_inputs(inputs, _PROOF_BATCH)
    calls, shapes = _watch(whole, raw, parts)
    graphs: dict[int, str] = {}
    modules: dict[str, nn.Module] = {}
    nodes: list[Node] = []
    reads: dict[str, str] = {}
    for name, spec in inputs.items():
        if name not in parts:
            reads[name] = f"{INPUT}.{name}"
            continue
        graph = graphs.setdefault(id(parts[name]), name)
        modules.setdefault(graph, _Encoder(parts[name], whole.prepare[name]).eval())
        runs = Runs(WHEN.get(spec.modality, "arrival"))
        nodes.append(Node(name, graph, {"x": f"{INPUT}.{name}"}, (_FEATURES,), role="encoder", runs=runs))
        reads[f"{name}_{_FEATURES}"] = f"{name}.{_FEATURES}"
    rest = _Rest(whole, calls, shapes).eval()
    modules[_REST] = rest
    nodes.append(_last_node(whole, _REST, "fusion", reads, outputs))
    _prove(whole, rest, {node.name: modules[node.graph] for node in nodes[:-1]}, inputs)
    return nodes, modules


def _watch(
    whole: _Whole, raw: Mapping[str, Tensor], parts: Mapping[str, nn.Module]
) -> tuple[dict[str, list[str]], _Shapes]:
    """Run once and see which input each call of each encoder gets: path of the submodule -> inputs in order of calls."""
    prepared = {name: whole.prepared(name, tensor) for name, tensor in raw.items()}
    paths = {id(part): path for path, part in whole.net.named_modules() if part is not whole.net}
    calls: dict[str, list[str]] = {}

    def hook(part: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        seen = [value for value in (*arguments, *keywords.values()) if isinstance(value, Tensor)]
        fitting = [
            name for name, owner in parts.items()
            if owner is part and any(s.shape == prepared[name].shape and torch.equal(s, prepared[name]) for s in seen)
        ]  # fmt: skip
        if len(seen) != 1 or len(fitting) != 1:
            path = paths[id(part)]
            raise SpecError(
                f"cannot split at '{path}': it is not called with one input as it comes ({', '.join(parts)}). "
                "Put what happens before it into `prepare`, or leave it out of `split`: the network then runs as one graph"
            )
        calls.setdefault(paths[id(part)], []).extend(fitting)

    handles = []
    for name, part in parts.items():
        if id(part) not in paths:
            raise SpecError(f"split: what is given for '{name}' is not a submodule of {type(whole.net).__name__}")
        handles.append(part)
    hooks = [part.register_forward_pre_hook(hook, with_kwargs=True) for part in dict.fromkeys(handles)]
    try:
        with torch.no_grad():
            whole(*raw.values(), *_extras(whole, _PROOF_BATCH))
    finally:
        for handle in hooks:
            handle.remove()
    called = [name for order in calls.values() for name in order]
    if sorted(called) != sorted(parts):
        raise SpecError(
            f"cannot split: the encoders were called for {', '.join(called) or 'no input'}, expected once each for {', '.join(parts)}"
        )
    return calls, {name: (prepared[name].shape, prepared[name].dtype) for name in parts}


def _prove(whole: _Whole, rest: nn.Module, encoders: Mapping[str, nn.Module], inputs: Mapping[str, InputSpec]) -> None:
    """The parts must give what the whole gives."""
    for seed in (1, 2):
        raw = example_inputs(inputs, _PROOF_BATCH, seed)
        extras = _extras(whole, _PROOF_BATCH)
        with torch.no_grad():
            expected = whole(*raw.values(), *extras)
            features = [encoders[name](tensor) if name in encoders else tensor for name, tensor in raw.items()]
            got = rest(*features, *extras)
        for left, right in zip(expected, got, strict=True):
            if left.shape != right.shape or not torch.allclose(left, right, rtol=_TOLERANCE, atol=_TOLERANCE):
                raise SpecError(
                    f"cannot split: without its encoders, {type(whole.net).__name__} gives another answer, so it uses an input "
                    f"outside its encoder too ({', '.join(encoders)}). Leave that input out of `split`"
                )


def _last_node(whole: _Whole, graph: str, role: str, reads: Mapping[str, str], outputs: Mapping[str, Tensor]) -> Node:
    node = Node(graph, graph, reads, tuple(outputs), role=role)
    if not whole.extra:
        return node
    presence = "presence" if "presence" in whole.extra else ""
    return replace(node, members=node.owners(), presence=presence, age="age_ms" if "age_ms" in whole.extra else "")


def _call_once(whole: _Whole, inputs: Mapping[str, InputSpec]) -> dict[str, Tensor]:
    """Output name -> an example of it."""
    raw = example_inputs(inputs, _PROOF_BATCH)
    prepared = {name: whole.prepared(name, tensor) for name, tensor in raw.items()}
    try:
        with torch.no_grad():
            result = whole.call(prepared, _extras(whole, _PROOF_BATCH))
    except Exception as error:
        shapes = ", ".join(f"{n} {str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for n, t in prepared.items())
        raise SpecError(
            f"{type(whole.net).__name__} could not be called with {shapes}: {type(error).__name__}: {error}\n"
            "  check the inputs' sizes, or give `prepare` to shape them"
        ) from error
    tensors = _as_tuple(result)
    if isinstance(result, Mapping):
        names = [str(name) for name in result]
    else:
        names = ["answer"] if len(tensors) == 1 else [f"output_{index}" for index in range(len(tensors))]
    for name, tensor in zip(names, tensors, strict=True):
        if not isinstance(tensor, Tensor) or tensor.dim() == 0 or tensor.shape[0] != _PROOF_BATCH:
            got = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise SpecError(f"output '{name}' must be a tensor with the batch axis first, got {got}")
    return dict(zip(names, tensors, strict=True))


def _outputs(
    last: Node, outputs: Mapping[str, Tensor], labels: Sequence[str] | Mapping[str, Sequence[str]]
) -> dict[str, Output]:
    by_output = labels if isinstance(labels, Mapping) else {next(iter(outputs)): labels}
    made = {}
    for name, tensor in outputs.items():
        names = tuple(by_output.get(name, ()))
        if names and (tensor.dim() != 2 or tensor.shape[1] != len(names)):
            raise SpecError(f"output '{name}' has shape {list(tensor.shape)}, but {len(names)} labels were given")
        made[name] = Output(f"{last.name}.{name}", names)
    return made


def _extras(whole: _Whole, batch: int) -> tuple[Tensor, ...]:
    count = len(whole.names)
    every = {"presence": torch.ones(batch, count), "age_ms": torch.zeros(batch, count)}
    return tuple(every[name] for name in whole.extra)


def _default(spec: InputSpec) -> Prepare | None:
    if isinstance(spec, Image):
        return _frames_to_nchw
    if isinstance(spec, Text):
        return Tensor.long
    return None


def _frames_to_nchw(frames: Tensor) -> Tensor:
    """uint8 NHWC to float NCHW in [0, 1]; cast first, as compilers take bytes only into a cast."""
    return frames.float().permute(0, 3, 1, 2) * (1 / 255)


def _as_tuple(result: Any) -> tuple[Tensor, ...]:
    if isinstance(result, Mapping):
        return tuple(result.values())
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _set_submodule(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)


def _input_name(key: str) -> str:
    return key.removeprefix("encoder.")
