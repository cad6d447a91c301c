"""Test vectors: a few inputs and what the FP32 reference makes of them at every node, so that any machine can check its variant."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from edgemm.bundle.writer import BundleWriter
from edgemm.export.calibration import Samples
from edgemm.graph import ModelGraph
from edgemm.interfaces import Runner
from edgemm.runtime.single_pass import SinglePass

ROWS = 8
PATH = "testvectors/vectors.npz"


def save_vectors(writer: BundleWriter, graph: ModelGraph, runners: Mapping[str, Runner], samples: Samples) -> str:
    """Write `input.<name>`, `<node>.<output>` and `output.<name>` arrays of a few rows; returns the path in the bundle."""
    tensors = {name: tensor[:ROWS] for name, tensor in samples.tensors.items()}
    done = SinglePass(graph, runners, tensors)
    arrays = {f"input.{name}": tensor for name, tensor in tensors.items()}
    for node, values in done.values.items():
        arrays |= {f"{node}.{name}": value for name, value in values.items()}
    arrays |= {f"output.{name}": value for name, value in done.outputs().items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return writer.add(PATH, buffer.getvalue())
