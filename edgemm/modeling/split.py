"""Taking a network apart into encoders and the rest, where that can be proven right.

A split is checked, not assumed: the network is watched to see which input each encoder is called with, and the parts together must give
what the whole gives on random inputs. An encoder may have state, if it is called with its input and then its state, and returns features and then
the next state. It knows nothing of what the network computes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgemm.errors import SpecError
from edgemm.model.edge import Edge
from edgemm.model.graph import Node
from edgemm.model.rules import Trigger
from edgemm.modeling.state import next_name
from edgemm.modeling.whole import PROOF_BATCH, Prepare, Whole, flat, reads_of

_REST = "fusion"
_FEATURES = "features"
_TOLERANCE = 1e-4  # two orders of the same float32 operations; a wrong split is off by far more

_Prepared = Mapping[str, Any]


@dataclass(frozen=True)
class Split:
    """A network in parts.

    Attributes:
        nodes: the encoders'.
        modules: graph -> module, the rest last.
        reads: what the rest reads.
        states: graph -> the states that it has, the rest's too.
    """

    nodes: tuple[Node, ...]
    modules: Mapping[str, nn.Module]
    reads: Mapping[str, Edge]
    states: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Call:
    """One call of an encoder: for which input, and with which states behind it.

    Attributes:
        keywords: names of the last arguments, where it is called by name.
        cell: whether what it returns is features and next state in one, as of torch's recurrent cells.
    """

    input: str
    states: tuple[str, ...]
    keywords: tuple[str, ...]
    cell: bool


def split_network(whole: Whole, parts: Mapping[str, nn.Module]) -> Split:
    """The encoders' nodes, every graph's module, and what the rest reads.

    Raises:
        SpecError: an encoder is not called with one input as it comes, or the parts do not compute what the whole does.
    """
    raw = whole.examples()
    prepared = {name: whole.prepared(name, tensors) for name, tensors in whole.by_input(raw).items()}
    calls = _watch(whole, raw, prepared, parts)
    by_input = {call.input: call for order in calls.values() for call in order}
    graphs: dict[int, str] = {}
    modules: dict[str, nn.Module] = {}
    nodes: list[Node] = []
    reads: dict[str, Edge] = {}
    for name, kind in whole.inputs.items():
        own = reads_of({name: kind})
        if name not in parts:
            reads |= own
            continue
        graph = graphs.setdefault(id(parts[name]), name)
        modules.setdefault(graph, _Encoder(parts[name], whole.prepare[name], len(own), by_input[name]).eval())
        wanted = dict(zip(["x"] if len(own) == 1 else [spec.name for spec in kind.tensors], own.values(), strict=True))
        state = {next_name(state): state for state in by_input[graph].states}
        outputs = (_FEATURES, *state)
        node = Node(name, graph, wanted, outputs, role="encoder", trigger=Trigger.parse(kind.trigger), state=state)
        nodes.append(node)
        reads[f"{name}_{_FEATURES}"] = Edge(name, _FEATURES)
    rest = _Rest(whole, calls, {name: prepared[name] for name in parts}).eval()
    _prove(whole, rest, {name: modules[graphs[id(part)]] for name, part in parts.items()}, by_input)
    modules[_REST] = rest
    states = {graph: by_input[graph].states for graph in graphs.values()} | {_REST: rest.states}
    return Split(tuple(nodes), modules, reads, states)


class _Encoder(nn.Module):
    """One input's preparation and the submodule that encodes it: raw tensors and states to features `(B, …)` and next states."""

    def __init__(self, part: nn.Module, prepare: Prepare | None, count: int, call: _Call) -> None:
        super().__init__()
        self.part = part
        self.prepare = prepare
        self.count = count
        self.call = call

    def forward(self, *tensors: Tensor) -> Any:
        """Raw tensors, then states, to features alone, or to features and next states."""
        raw, states = tensors[: self.count], tensors[self.count :]
        given = (*(raw if self.prepare is None else flat(self.prepare(*raw))), *states)
        last = len(given) - len(self.call.keywords)
        result = self.part(*given[:last], **dict(zip(self.call.keywords, given[last:], strict=True)))
        return (result, result.clone()) if self.call.cell else result


class _Box:
    """Carries features to the stubs while the rest runs; not a module, so that tracing sees values only."""

    def __init__(self) -> None:
        self.queue: list[Any] = []


class _Stub(nn.Module):
    """Stands where an encoder was, and returns what it had computed."""

    def __init__(self, box: _Box) -> None:
        super().__init__()
        self._box = box

    def forward(self, *_: Any, **__: Any) -> Any:
        """The next answer of this encoder's calls."""
        return self._box.queue.pop(0)


class _Rest(nn.Module):
    """The network without its encoders: features and raw tensors, then extras, to outputs and its own next state.

    An encoder's state is not the rest's: it is blank on its way into the stub and out of it, and what comes out is left away.
    """

    def __init__(self, whole: Whole, calls: Mapping[str, Sequence[_Call]], replaced: _Prepared) -> None:
        super().__init__()
        self.whole = copy.deepcopy(whole)
        self.replaced = {name: [(part.shape, part.dtype) for part in flat(value)] for name, value in replaced.items()}
        self.single = {name: isinstance(value, Tensor) for name, value in replaced.items()}
        elsewhere = {state for order in calls.values() for call in order for state in call.states}
        self.states = tuple(state for state in whole.state if state not in elsewhere)
        self.extra = tuple(name for name in whole.extra if name not in elsewhere)
        self.boxes: list[tuple[_Box, tuple[_Call, ...]]] = []
        for path, order in calls.items():
            box = _Box()
            _set_submodule(self.whole.net, path, _Stub(box))
            self.boxes.append((box, tuple(order)))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Per input in order its features or raw tensors; then extras."""
        batch, start = tensors[0].shape[0], 0
        features: dict[str, Tensor] = {}
        prepared: dict[str, Any] = {}
        for name, kind in self.whole.inputs.items():
            if name in self.replaced:  # the network may look at it, but not use it
                features[name] = tensors[start]
                blanks = [torch.zeros((batch, *shape[1:]), dtype=dtype) for shape, dtype in self.replaced[name]]
                prepared[name] = blanks[0] if self.single[name] else tuple(blanks)
                start += 1
            else:
                count = len(kind.tensors)
                prepared[name] = self.whole.prepared(name, tensors[start : start + count])
                start += count
        extras = dict(zip(self.extra, tensors[start:], strict=True))
        blank = {name: torch.zeros((batch, *shape)) for name, shape in self.whole.state.items() if name not in extras}
        for box, order in self.boxes:
            box.queue = [_answer(call, features[call.input], blank) for call in order]
        outputs, following = self.whole.call(prepared, [(extras | blank)[name] for name in self.whole.extra])
        for box, _ in self.boxes:
            box.queue = []
        return (*outputs.values(), *(following[name] for name in self.states))


def _answer(call: _Call, features: Tensor, blank: Mapping[str, Tensor]) -> Any:
    """What an encoder's stand-in returns in the rest."""
    alone = call.cell or not call.states
    return features if alone else (features, *(blank[state] for state in call.states))


def _watch(
    whole: Whole, raw: Sequence[Tensor], prepared: _Prepared, parts: Mapping[str, nn.Module]
) -> dict[str, list[_Call]]:
    """Run once and see what each call of each encoder gets and returns: path of the submodule -> calls in order."""
    paths = {id(part): path for path, part in whole.net.named_modules() if part is not whole.net}
    seen: dict[str, list[tuple[_Call, Any]]] = {}
    extras = whole.extras(PROOF_BATCH)
    states = {name: extras[name] for name in whole.state}

    def hook(part: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], result: Any) -> None:
        own = {name: flat(prepared[name]) for name, owner in parts.items() if owner is part}
        fitting = _fitting(own, states, arguments, keywords, isinstance(result, Tensor))
        if len(fitting) != 1:
            raise SpecError(
                f"cannot split at '{paths[id(part)]}': it is not called with one input as it comes ({', '.join(parts)})"
                f"{', and then its state' if states else ''}. "
                "Put what happens before it into `prepare`, or leave it out of `split`: the network then runs as one graph"
            )
        seen.setdefault(paths[id(part)], []).append((fitting[0], result))

    for name, part in parts.items():
        if id(part) not in paths:
            raise SpecError(f"split: what is given for '{name}' is not a submodule of {type(whole.net).__name__}")
    hooks = [part.register_forward_hook(hook, with_kwargs=True) for part in dict.fromkeys(parts.values())]
    try:
        with torch.no_grad():
            outputs = whole.named(*raw, *extras.values())
    finally:
        for handle in hooks:
            handle.remove()
    _check_calls([call for order in seen.values() for call, _ in order], parts)
    for path, order in seen.items():
        for call, result in order:
            _check_result(path, call, result, outputs)
    return {path: [call for call, _ in order] for path, order in seen.items()}


def _fitting(
    own: Mapping[str, Sequence[Tensor]],
    states: Mapping[str, Tensor],
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
    alone: bool,
) -> list[_Call]:
    """What a call of an encoder may be: which of its inputs (`own`) it is given, with which states; `alone` if it returns one tensor."""
    names = tuple(name for name, value in keywords.items() if isinstance(value, Tensor))
    given = [value for value in (*arguments, *keywords.values()) if isinstance(value, Tensor)]
    found = []
    for name, inputs in own.items():
        behind = [_name_of(tensor, states) for tensor in given[len(inputs) :]]
        if _same(given[: len(inputs)], inputs) and "" not in behind:
            found.append(_Call(name, tuple(behind), names, alone and bool(behind)))
    return found


def _check_calls(calls: Sequence[_Call], parts: Mapping[str, nn.Module]) -> None:
    called = [call.input for call in calls]
    if sorted(called) != sorted(parts):
        raise SpecError(
            f"cannot split: the encoders were called for {', '.join(called) or 'no input'}, expected once each for {', '.join(parts)}"
        )
    given = [state for call in calls for state in call.states]
    shared = next((state for state in given if given.count(state) > 1), None)
    if shared:
        raise SpecError(f"cannot split: state '{shared}' is given to several encoders; give each its own")


def _check_result(path: str, call: _Call, result: Any, outputs: Mapping[str, Tensor]) -> None:
    """What a part of the network returns must be features, and behind them the next states, which the network hands on as they are."""
    following = [outputs[next_name(state)] for state in call.states]
    if call.cell or not call.states:
        fits = isinstance(result, Tensor) and _same([result][: len(following)], following)
    else:
        fits = isinstance(result, (tuple, list)) and all(isinstance(part, Tensor) for part in result)
        fits = fits and _same(list(result[1:]), following)
    if not fits:
        wanted = "its features, one tensor"
        if call.states:
            wanted = f"(features, next {', next '.join(call.states)}), and the network must hand the state on as it is"
        raise SpecError(
            f"cannot split at '{path}': it must return {wanted}. Change what it returns, or leave it out of `split`"
        )


def _prove(whole: Whole, rest: _Rest, encoders: Mapping[str, nn.Module], calls: Mapping[str, _Call]) -> None:
    """The parts must give what the whole gives."""
    for seed in (1, 2):
        raw, extras = whole.examples(seed), whole.extras(PROOF_BATCH, seed)
        with torch.no_grad():
            expected = whole.named(*raw, *extras.values())
            given: list[Tensor] = []
            following: dict[str, Tensor] = {}
            for name, tensors in whole.by_input(raw).items():
                if name not in encoders:
                    given += tensors
                    continue
                states = calls[name].states
                features, *after = flat(encoders[name](*tensors, *(extras[state] for state in states)))
                given.append(features)
                following |= {next_name(state): tensor for state, tensor in zip(states, after, strict=True)}
            answers = rest(*given, *(extras[name] for name in rest.extra))
        names = [name for name in expected if name not in following]
        got = following | dict(zip(names, answers, strict=True))
        for name, left in expected.items():
            if left.shape != got[name].shape or not torch.allclose(left, got[name], rtol=_TOLERANCE, atol=_TOLERANCE):
                raise SpecError(
                    f"cannot split: without its encoders, {type(whole.net).__name__} gives another '{name}', so it uses an input{' or a state' if whole.state else ''} "
                    f"outside its encoder too ({', '.join(encoders)}). Leave that encoder out of `split`"
                )


def _name_of(tensor: Tensor, states: Mapping[str, Tensor]) -> str:
    """Which state a tensor is; "" for none."""
    return next((name for name, state in states.items() if _same([tensor], [state])), "")


def _same(seen: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return len(seen) == len(wanted) and all(
        left.shape == right.shape and torch.equal(left, right) for left, right in zip(seen, wanted, strict=True)
    )


def _set_submodule(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
