"""The state of a user's network: how it is declared to `wrap`, and whether what the network returns can be given to it again.

It knows shapes and names, not how the network is called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgemm.errors import SpecError

RESERVED = ("presence", "age_ms")
Shapes = dict[str, tuple[int, ...]]


def next_name(state: str) -> str:
    """How the output that carries the next state is called."""
    return f"{state}_next"


def state_shapes(
    state: Mapping[str, Sequence[int]], listed: str, arguments: Collection[str], taken: Collection[str]
) -> Shapes:
    """State name -> shape without the batch axis.

    Args:
        state: as `wrap` was given it.
        listed: the network's forward, for messages.
        arguments: names of its arguments.
        taken: names of what the graph reads.

    Raises:
        SpecError: a shape that is none, a name that is no argument, or one that means something else already.
    """
    shapes = {}
    for name, shape in state.items():
        if name not in arguments:
            raise SpecError(f"state: {listed} has no argument '{name}' to be given its last state")
        if name in taken:
            raise SpecError(f"state: '{name}' is an input, so it cannot be state too; call the argument otherwise")
        if name in RESERVED:
            raise SpecError(
                f"state: '{name}' is what EdgeMM says about the inputs ({', '.join(RESERVED)}); call the argument otherwise"
            )
        if not isinstance(shape, (tuple, list)) or not all(isinstance(size, int) and size > 0 for size in shape):
            raise SpecError(
                f"state: the shape of '{name}' is whole numbers without the batch axis, such as (64,); got {shape!r:.60}"
            )
        shapes[name] = tuple(shape)
    return shapes


def split_result(result: Any, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a network returned: its outputs by name, and the next state by the state's name.

    Raises:
        SpecError: the state is not in it, or nothing but the state.
    """
    if isinstance(result, Mapping):
        return _split_dict({str(key): value for key, value in result.items()}, names)
    values = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    count = len(values) - len(names)
    if not values:
        raise SpecError("the network returned nothing")
    if count < 1 or (names and not all(isinstance(value, Tensor) for value in values)):
        raise SpecError(
            f"state: the network must return its outputs, then the next {', '.join(names)}, each a tensor of its own "
            f"(return y, h, c rather than y, (h, c)); it returned {', '.join(map(_described, values))}"
        )
    outputs = ["answer"] if count == 1 else [f"output_{index}" for index in range(count)]
    return dict(zip(outputs, values[:count], strict=True)), dict(zip(names, values[count:], strict=True))


def _split_dict(result: dict[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    for name in names:
        if name not in result:
            raise SpecError(
                f"state: the network's dict has no '{name}', by which it must return the next state; it has {', '.join(result)}"
            )
        if next_name(name) in result:
            raise SpecError(
                f"state: the output '{next_name(name)}' has the name that the next '{name}' gets; call one of them otherwise"
            )
    outputs = {name: value for name, value in result.items() if name not in names}
    if not outputs:
        raise SpecError(
            "the network's dict has no outputs" + (f" beside its state {', '.join(names)}" if names else "")
        )
    return outputs, {name: result[name] for name in names}


def check_next(shapes: Shapes, following: Mapping[str, Any], batch: int) -> None:
    """Raise `SpecError` unless every next state can be given to the network again."""
    for name, shape in shapes.items():
        tensor = following[name]
        wanted = f"float32 {[batch, *shape]}"
        if not isinstance(tensor, Tensor):
            raise SpecError(f"state '{name}' must come back as a tensor {wanted}, got {_described(tensor)}")
        if tuple(tensor.shape) != (batch, *shape):
            hint = ""
            if tuple(tensor.shape) == (*shape[:1], batch, *shape[1:]):
                hint = (
                    ". Its batch axis is second, as torch's RNN, GRU and LSTM have it: "
                    "transpose it on its way in and out, h.transpose(0, 1)"
                )
            raise SpecError(
                f"state '{name}' is declared as {list(shape)} without the batch axis, so at a batch of {batch} it must come back as "
                f"{wanted}, but the network returned {_described(tensor)}{hint}"
            )
        if tensor.dtype != torch.float32:
            raise SpecError(f"state '{name}' must come back as {wanted}, but the network returned {_described(tensor)}")


def hint_of_call(net: nn.Module, shapes: Shapes, batch: int) -> str:
    """What to try where a network with state could not be called; "" where that cannot be why."""
    if not shapes:
        return ""
    given = ", ".join(f"{name} float32 {[batch, *shape]}" for name, shape in shapes.items())
    recurrent = any(isinstance(part, nn.RNNBase) for part in net.modules())
    more = (
        "; torch's RNN, GRU and LSTM want (layers, batch, hidden): give them h.transpose(0, 1), and transpose what they return"
        if recurrent
        else ""
    )
    return f"\n  its state is given with the batch axis first, {given}{more}"


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_described, value))})"
    return type(value).__name__
