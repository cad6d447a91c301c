"""A user's network as one module of raw tensors: how it is called, prepared and asked for its outputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgemm.errors import SpecError
from edgemm.inputs.kind import InputKind
from edgemm.model.edge import INPUT, Edge
from edgemm.modeling.graph_modules import example_inputs
from edgemm.modeling.state import RESERVED, check_next, hint_of_call, next_name, split_result, state_shapes

Prepare = Callable[..., Any]
PROOF_BATCH = 3
_OTHER_BATCH = 5  # a state of (layers, batch, hidden) looks right at a batch of as many as there are layers


class Whole(nn.Module):
    """The network with its inputs' preparation in front.

    Called with the raw tensors of all inputs in declared order, then presence and age if it takes them, then its state; returns its
    outputs, then its next state.
    """

    def __init__(
        self,
        net: nn.Module,
        inputs: Mapping[str, InputKind],
        prepare: Mapping[str, Prepare | None],
        state: Mapping[str, Sequence[int]],
    ) -> None:
        super().__init__()
        self.net = net
        self.inputs = dict(inputs)
        self.prepare: dict[str, Prepare | None] = {
            name: prepare.get(name, kind.prepared) for name, kind in inputs.items()
        }
        arguments = inspect.signature(net.forward).parameters
        self._by_tensor = {
            name
            for name, kind in inputs.items()
            if len(kind.tensors) > 1 and all(f"{name}_{spec.name}" in arguments for spec in kind.tensors)
        }
        listed = f"{type(net).__name__}.forward({', '.join(arguments)})"
        self.state = state_shapes(state, listed, arguments, (*inputs, *reads_of(inputs)))
        self.by_name = all(name in arguments or name in self._by_tensor for name in inputs)
        self.extra = (*(name for name in RESERVED if name in arguments), *self.state)
        self._check_arguments(arguments, listed)

    def _check_arguments(self, arguments: Mapping[str, inspect.Parameter], listed: str) -> None:
        positional = [
            a
            for a in arguments.values()
            if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD) and a.name not in self.extra
        ]
        takes_any = any(a.kind == a.VAR_POSITIONAL for a in arguments.values())
        if not self.by_name and len(positional) < len(self.inputs) and not takes_any:
            raise SpecError(
                f"{listed} takes fewer arguments than there are inputs ({', '.join(self.inputs)}); name its arguments as the inputs"
            )

    def by_input(self, tensors: Sequence[Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """The first tensors, by input."""
        found, start = {}, 0
        for name, kind in self.inputs.items():
            found[name] = tuple(tensors[start : start + len(kind.tensors)])
            start += len(kind.tensors)
        return found

    def prepared(self, name: str, raw: Sequence[Tensor]) -> Any:
        """What the network sees of one input."""
        prepare = self.prepare[name]
        if prepare is not None:
            return prepare(*raw)
        return raw[0] if len(raw) == 1 else tuple(raw)

    def call(self, prepared: Mapping[str, Any], extra: Sequence[Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Call the network; its outputs by name, and its next state by the state's name."""
        keywords: dict[str, Any] = dict(zip(self.extra, extra, strict=True))
        if not self.by_name:
            return split_result(self.net(*prepared.values(), **keywords), tuple(self.state))
        for name, value in prepared.items():
            if name in self._by_tensor:
                tensors = [spec.name for spec in self.inputs[name].tensors]
                keywords |= {f"{name}_{tensor}": part for tensor, part in zip(tensors, value, strict=True)}
            else:
                keywords[name] = value
        return split_result(self.net(**keywords), tuple(self.state))

    def named(self, *tensors: Tensor) -> dict[str, Tensor]:
        """Raw tensors and extras to outputs, then the next state, by the names that they have in a graph."""
        raw = self.by_input(tensors)
        prepared = {name: self.prepared(name, parts) for name, parts in raw.items()}
        outputs, following = self.call(prepared, tensors[sum(map(len, raw.values())) :])
        return outputs | {next_name(name): tensor for name, tensor in following.items()}

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Raw tensors and extras to outputs and next state."""
        return tuple(self.named(*tensors).values())

    def extras(self, batch: int, seed: int = 0) -> dict[str, Tensor]:
        """Everything present, fresh, and some state, by the argument's name."""
        count = len(self.inputs)
        generator = torch.Generator().manual_seed(seed + batch)
        made = {"presence": torch.ones(batch, count), "age_ms": torch.zeros(batch, count)}
        made |= {name: torch.rand((batch, *shape), generator=generator) for name, shape in self.state.items()}
        return {name: made[name] for name in self.extra}

    def examples(self, seed: int = 0, batch: int = PROOF_BATCH) -> tuple[Tensor, ...]:
        """Random raw tensors of all inputs, in order."""
        return tuple(example_inputs(self.inputs, batch, seed).values())

    def call_once(self) -> dict[str, Tensor]:
        """Output name -> an example of it, next state included.

        Raises:
            SpecError: the network cannot be called so, or does not give tensors with the batch axis first.
        """
        if self.state:
            self._call(_OTHER_BATCH)
        return self._call(PROOF_BATCH)

    def _call(self, batch: int) -> dict[str, Tensor]:
        raw = self.by_input(self.examples(batch=batch))
        prepared = {name: self.prepared(name, parts) for name, parts in raw.items()}
        try:
            with torch.no_grad():
                outputs, following = self.call(prepared, tuple(self.extras(batch).values()))
        except SpecError:
            raise
        except Exception as error:
            shapes = ", ".join(f"{n} {_described(value)}" for n, value in prepared.items())
            raise SpecError(
                f"{type(self.net).__name__} could not be called with {shapes}: {type(error).__name__}: {error}\n"
                f"  check the inputs' sizes, or give `prepare` to shape them{hint_of_call(self.net, self.state, batch)}"
            ) from error
        check_next(self.state, following, batch)
        for name, tensor in outputs.items():
            if not isinstance(tensor, Tensor) or tensor.dim() == 0 or tensor.shape[0] != batch:
                got = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise SpecError(f"output '{name}' must be a tensor with the batch axis first, got {got}")
        return outputs | {next_name(name): tensor for name, tensor in following.items()}


def reads_of(inputs: Mapping[str, InputKind]) -> dict[str, Edge]:
    """Graph input -> edge, for a graph that reads every tensor of these inputs."""
    reads = {}
    for name, kind in inputs.items():
        for spec in kind.tensors:
            single = len(kind.tensors) == 1
            reads[name if single else f"{name}_{spec.name}"] = Edge(INPUT, name, "" if single else spec.name)
    return reads


def flat(value: Any) -> tuple[Tensor, ...]:
    """The tensors of a prepared value, which is one or a tuple of them."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _described(value: Any) -> str:
    parts = [
        f"{str(part.dtype).removeprefix('torch.')} {list(part.shape)}"
        if isinstance(part, Tensor)
        else type(part).__name__
        for part in flat(value)
    ]
    return " and ".join(parts)
