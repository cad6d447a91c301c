"""A composed torch model as a function from raw input batches to answer scores, as evaluation asks for it.

Knows nothing of tasks, and nothing of export: an exported bundle is asked through the runtime instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgemm.inputs import InputSpec
from edgemm.modeling.evaluate import Infer

__all__ = ["Answering", "infer_from_model"]


class Answering(Protocol):
    """What is asked: a composed model has these parts."""

    encoders: nn.ModuleDict
    fusion: nn.Module
    heads: nn.ModuleDict


def infer_from_model(model: Answering, inputs: Mapping[str, InputSpec]) -> Infer:
    """Make the `Infer` of a model with one head; absent inputs get presence 0, all embeddings are fresh."""
    nn.ModuleList([model.encoders, model.fusion, model.heads]).eval()
    head = next(iter(model.heads.values()))
    names = list(model.encoders)
    blank: dict[str, tuple[Tensor, Tensor]] = {}

    def encode(name: str, rows: NDArray[Any] | None, count: int) -> tuple[Tensor, Tensor]:
        if rows is not None:
            tokens, valid = model.encoders[name](torch.from_numpy(np.ascontiguousarray(rows)))
            return tokens, valid
        if name not in blank:  # only its shape matters: it is masked
            spec = inputs[name].tensor
            raw = torch.from_numpy(np.zeros((1, *(int(size) for size in spec.shape[1:])), spec.dtype))
            blank[name] = model.encoders[name](raw)
        tokens, valid = blank[name]
        return torch.zeros_like(tokens).expand(count, -1, -1), torch.zeros_like(valid).expand(count, -1)

    def infer(present: Mapping[str, NDArray[Any]]) -> NDArray[np.floating[Any]]:
        count = len(next(iter(present.values())))
        with torch.inference_mode():
            encoded = [encode(name, present.get(name), count) for name in names]
            presence = torch.tensor([[float(name in present) for name in names]]).expand(count, -1)
            tokens, valid = [tokens for tokens, _ in encoded], [valid for _, valid in encoded]
            scores: NDArray[np.floating[Any]] = head(
                model.fusion(tokens, valid, presence, torch.zeros_like(presence))
            ).numpy()
        return scores

    return infer
