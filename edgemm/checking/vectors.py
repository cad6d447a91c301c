"""Test vectors: a few inputs and what the FP32 reference makes of them at every node, so that any machine can check its variant.

Of a model that remembers they are one short stream from its start on: rows in order of time, state and windows empty before the first.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from edgemm.bundle.files import Bundle
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.rollout import remembers, rollout
from edgemm.errors import BundleError
from edgemm.host.interfaces import Runner
from edgemm.limits import VECTORS_BYTES
from edgemm.model.graph import ModelGraph
from edgemm.reading.arrays import arrays_from_npz

ROWS = 8
MOMENTS = 16
PATH = "testvectors/vectors.npz"


def save_vectors(
    writer: BundleWriter, graph: ModelGraph, runners: Mapping[str, Runner], tensors: Mapping[str, np.ndarray]
) -> str:
    """Write `input.<name>`, `<node>.<output>` and `output.<name>.<tensor>` arrays of a few rows; returns the path in the bundle."""
    rows = MOMENTS if remembers(graph) else ROWS
    tensors = {name: tensor[:rows] for name, tensor in tensors.items()}
    done = rollout(graph, runners, tensors, streams=1)
    arrays = {f"input.{name}": tensor for name, tensor in tensors.items()}
    for node in done.nodes:
        arrays |= {f"{node}.{name}": value for name, value in done.values(node).items()}
    for name, values in done.outputs().items():
        arrays |= {f"output.{name}.{tensor}": value for tensor, value in values.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return writer.add(PATH, buffer.getvalue())


def load_vectors(bundle: Bundle) -> dict[str, np.ndarray]:
    """What `save_vectors` wrote.

    Raises:
        BundleError: there are none, or they cannot be read.
    """
    if not bundle.manifest.vectors:
        raise BundleError(f"{bundle.path}: has no test vectors to verify against")
    try:
        return arrays_from_npz(io.BytesIO(bundle.read(bundle.manifest.vectors)), VECTORS_BYTES)
    except ValueError as error:
        raise BundleError(f"{bundle.path}: its test vectors cannot be read: {error}") from None
