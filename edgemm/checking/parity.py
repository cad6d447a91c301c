"""The parity ladder: does each rung compute what the one before it did, node by node and in the fused answer?

    torch -> ONNX FP32 -> quantized ONNX            (engines are compared on the device, by `edgemm verify`)

A node is compared on the same inputs that the FP32 chain gives it; the fused answer is compared through the whole chain, so that
errors may add up. Where the model remembers, rows are moments in order of time: a node's own state is then its own on each side, fed back
from moment to moment, so that an error that grows with time is seen, too. Quantized graphs meant for a GPU run unoptimised here, because
this CPU's INT8 kernels would add errors of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgemm.checking.rollout import Rollout, rollout
from edgemm.model.graph import ModelGraph, Node
from edgemm.model.precision import Gate
from edgemm.outputs.kind import OutputKind
from edgemm.runtime.single_pass import BatchRunner, next_state


@dataclass(frozen=True)
class Parity:
    """One comparison.

    Attributes:
        name: node, or output of the model.
        max_abs: largest difference of any element.
        relative: that over the reference's largest absolute value.
        cosine: mean cosine of the rows.
        snr_db: signal to noise, 10 log10(sum ref² / sum diff²); 200 when equal.
        agreement: share of rows whose bools, or whose highest score, agree.
        rows: how many rows were compared.
    """

    name: str
    max_abs: float
    relative: float
    cosine: float
    snr_db: float
    agreement: float
    rows: int

    def passes(self, gate: Gate) -> bool:
        """Whether it reaches the gate."""
        return (
            self.cosine >= gate.cosine
            and self.agreement >= gate.agreement
            and (gate.relative == 0 or self.relative <= gate.relative)
        )

    def to_json(self) -> dict[str, float | int | str]:
        """A record for manifest and report."""
        return {
            "name": self.name,
            "max_abs": float(f"{self.max_abs:.4g}"),
            "relative": float(f"{self.relative:.4g}"),
            "cosine": round(self.cosine, 6),
            "snr_db": round(self.snr_db, 1),
            "agreement": round(self.agreement, 4),
            "rows": self.rows,
        }


def missed(gate: Gate, parities: Mapping[str, Parity]) -> list[str]:
    """The comparisons that do not reach a gate."""
    return [name for name, parity in parities.items() if not parity.passes(gate)]


def compare(
    name: str, reference: Sequence[np.ndarray], got: Sequence[np.ndarray], *, agree: np.ndarray | None = None
) -> Parity:
    """Compare outputs `(rows, …)` pairwise.

    Args:
        name: what is compared.
        reference: what it should be.
        got: what it is. Where either is not finite, no gate is passed.
        agree: which rows say the same, as the output's kind judges; otherwise those whose bools are equal do.
    """
    max_abs = relative = noise = signal = 0.0
    cosines: list[np.ndarray] = []
    agreed = [np.ones(len(reference[0]), bool) if agree is None else agree]
    for left, right in zip(reference, got, strict=True):
        rows = len(left)
        if left.dtype == np.bool_:
            agreed.append((left == right).reshape(rows, -1).all(axis=1))
            continue
        a = left.reshape(rows, -1).astype(np.float64)
        b = right.reshape(rows, -1).astype(np.float64)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return Parity(name, np.inf, np.inf, 0.0, 0.0, 0.0, rows)
        difference = np.abs(a - b).max(initial=0.0)
        max_abs = max(max_abs, float(difference))
        relative = max(relative, float(difference / max(np.abs(a).max(initial=0.0), 1e-12)))
        noise += float(((a - b) ** 2).sum())
        signal += float((a**2).sum())
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines.append(np.where(norms > 0, (a * b).sum(axis=1) / np.maximum(norms, 1e-30), (a == b).all(axis=1)))
    snr_db = 200.0 if noise == 0 else min(200.0, 10 * float(np.log10(max(signal, 1e-30) / noise)))
    cosine = float(np.mean(np.concatenate(cosines))) if cosines else 1.0
    agreement = float(np.mean(np.logical_and.reduce(agreed)))
    return Parity(name, max_abs, relative, cosine, snr_db, agreement, len(reference[0]))


def compare_nodes(
    graph: ModelGraph, reference: Rollout, runners: Mapping[str, BatchRunner], only: str | None = None
) -> dict[str, Parity]:
    """Each node of `runners` on the inputs that the reference chain gave it; `only` one graph's nodes, if named."""
    found = {}
    for node in graph.nodes:
        if node.name not in reference.nodes or (only is not None and node.graph != only):
            continue
        got = _over_time(node, reference, runners[node.graph])
        found[node.name] = compare(node.name, list(reference.values(node.name).values()), got)
    return found


def _over_time(node: Node, reference: Rollout, runner: BatchRunner) -> list[np.ndarray]:
    """A node's outputs on what the reference chain gave it; one with state at every moment on the state that it returned itself."""
    if not node.state:
        return runner.run(reference.feeds(node.name))
    moments: list[list[np.ndarray]] = []
    state: Mapping[str, np.ndarray] = {}
    for done in reference.passes:
        given = done.feeds[node.name]
        rows = len(done.ran[node.name])
        feeds = {**given, **{name: array[:rows] for name, array in state.items()}}
        moments.append(runner.run(feeds))
        state = next_state(node, feeds, dict(zip(node.outputs, moments[-1], strict=True)), done.ran[node.name])
    return [np.concatenate(parts) for parts in zip(*moments, strict=True)]


def compare_outputs(
    graph: ModelGraph, reference: Rollout, runners: Mapping[str, BatchRunner], tensors: Mapping[str, np.ndarray]
) -> dict[str, Parity]:
    """The model's outputs through the whole chain of `runners`."""
    got = rollout(graph, runners, tensors).outputs()
    return {
        name: compare_output(graph.outputs[name].kind, name, tensors, got[name])
        for name, tensors in reference.outputs().items()
    }


def compare_output(
    kind: OutputKind, name: str, reference: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]
) -> Parity:
    """One output, tensor by tensor, and whether its kind reads the same from both."""
    agree = kind.agreement(reference, got)
    return compare(name, list(reference.values()), [got[tensor] for tensor in reference], agree=agree)
