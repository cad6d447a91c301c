"""Taking a network apart into encoders and the rest, where that can be proven right.

A split is checked, not assumed: the network is watched to see which input each encoder is called with, and the parts together must give
what the whole gives on random inputs. It knows nothing of what the network computes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgemm.errors import SpecError
from edgemm.model.edge import Edge
from edgemm.model.graph import Node
from edgemm.model.rules import Trigger
from edgemm.modeling.whole import PROOF_BATCH, Prepare, Whole, flat, reads_of

_REST = "fusion"
_FEATURES = "features"
_TOLERANCE = 1e-4  # two orders of the same float32 operations; a wrong split is off by far more

_Prepared = Mapping[str, Any]


def split_network(
    whole: Whole, parts: Mapping[str, nn.Module]
) -> tuple[list[Node], dict[str, nn.Module], dict[str, Edge]]:
    """The encoders' nodes, every graph's module (the rest last), and what the rest reads.

    Raises:
        SpecError: an encoder is not called with one input as it comes, or the parts do not compute what the whole does.
    """
    raw = whole.examples()
    prepared = {name: whole.prepared(name, tensors) for name, tensors in whole.by_input(raw).items()}
    calls = _watch(whole, raw, prepared, parts)
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
        modules.setdefault(graph, _Encoder(parts[name], whole.prepare[name]).eval())
        wanted = dict(zip(["x"] if len(own) == 1 else [spec.name for spec in kind.tensors], own.values(), strict=True))
        nodes.append(Node(name, graph, wanted, (_FEATURES,), role="encoder", trigger=Trigger.parse(kind.trigger)))
        reads[f"{name}_{_FEATURES}"] = Edge(name, _FEATURES)
    rest = _Rest(whole, calls, {name: prepared[name] for name in parts}).eval()
    _prove(whole, rest, {node.name: modules[node.graph] for node in nodes})
    modules[_REST] = rest
    return nodes, modules, reads


class _Encoder(nn.Module):
    """One input's preparation and the submodule that encodes it."""

    def __init__(self, part: nn.Module, prepare: Prepare | None) -> None:
        super().__init__()
        self.part = part
        self.prepare = prepare

    def forward(self, *raw: Tensor) -> Tensor:
        """Raw tensors to features `(B, …)`."""
        features: Tensor = self.part(*(raw if self.prepare is None else flat(self.prepare(*raw))))
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

    def __init__(self, whole: Whole, calls: Mapping[str, Sequence[str]], replaced: _Prepared) -> None:
        super().__init__()
        self.whole = copy.deepcopy(whole)
        self.replaced = {name: [(part.shape, part.dtype) for part in flat(value)] for name, value in replaced.items()}
        self.single = {name: isinstance(value, Tensor) for name, value in replaced.items()}
        self.boxes: list[tuple[_Box, tuple[str, ...]]] = []
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
        for box, order in self.boxes:
            box.queue = [features[name] for name in order]
        outputs = tuple(self.whole.call(prepared, tensors[start:]).values())
        for box, _ in self.boxes:
            box.queue = []
        return outputs


def _watch(
    whole: Whole, raw: Sequence[Tensor], prepared: _Prepared, parts: Mapping[str, nn.Module]
) -> dict[str, list[str]]:
    """Run once and see which input each call of each encoder gets: path of the submodule -> inputs in order of calls."""
    paths = {id(part): path for path, part in whole.net.named_modules() if part is not whole.net}
    calls: dict[str, list[str]] = {}

    def hook(part: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        seen = [value for value in (*arguments, *keywords.values()) if isinstance(value, Tensor)]
        fitting = [name for name, owner in parts.items() if owner is part and _same(seen, flat(prepared[name]))]
        if len(fitting) != 1:
            raise SpecError(
                f"cannot split at '{paths[id(part)]}': it is not called with one input as it comes ({', '.join(parts)}). "
                "Put what happens before it into `prepare`, or leave it out of `split`: the network then runs as one graph"
            )
        calls.setdefault(paths[id(part)], []).extend(fitting)

    for name, part in parts.items():
        if id(part) not in paths:
            raise SpecError(f"split: what is given for '{name}' is not a submodule of {type(whole.net).__name__}")
    hooks = [part.register_forward_pre_hook(hook, with_kwargs=True) for part in dict.fromkeys(parts.values())]
    try:
        with torch.no_grad():
            whole(*raw, *whole.extras(PROOF_BATCH))
    finally:
        for handle in hooks:
            handle.remove()
    called = [name for order in calls.values() for name in order]
    if sorted(called) != sorted(parts):
        raise SpecError(
            f"cannot split: the encoders were called for {', '.join(called) or 'no input'}, expected once each for {', '.join(parts)}"
        )
    return calls


def _prove(whole: Whole, rest: nn.Module, encoders: Mapping[str, nn.Module]) -> None:
    """The parts must give what the whole gives."""
    for seed in (1, 2):
        raw = whole.examples(seed)
        extras = whole.extras(PROOF_BATCH)
        with torch.no_grad():
            expected = whole(*raw, *extras)
            given: list[Tensor] = []
            for name, tensors in whole.by_input(raw).items():
                given += [encoders[name](*tensors)] if name in encoders else tensors
            got = rest(*given, *extras)
        for left, right in zip(expected, got, strict=True):
            if left.shape != right.shape or not torch.allclose(left, right, rtol=_TOLERANCE, atol=_TOLERANCE):
                raise SpecError(
                    f"cannot split: without its encoders, {type(whole.net).__name__} gives another answer, so it uses an input "
                    f"outside its encoder too ({', '.join(encoders)}). Leave that input out of `split`"
                )


def _same(seen: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return len(seen) == len(wanted) and all(
        left.shape == right.shape and torch.equal(left, right) for left, right in zip(seen, wanted, strict=True)
    )


def _set_submodule(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
