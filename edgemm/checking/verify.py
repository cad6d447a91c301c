"""Is a bundle whole, and does every variant that this machine can run still compute what the reference did?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgemm.bundle.files import Bundle
from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.checking.parity import GATES, Parity, compare, compare_output
from edgemm.checking.vectors import load_vectors
from edgemm.errors import BundleError, EdgeMMError
from edgemm.host.interfaces import Runner
from edgemm.model.graph import ModelGraph
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runtime.model import Model
from edgemm.runtime.single_pass import SinglePass, specs_by_key


@dataclass
class Verification:
    """What `verify` found.

    Attributes:
        files: how many files have the right hash.
        parity: variant -> node or output -> record of its difference from the test vectors.
        failed: variant -> what missed its gate.
        skipped: variant -> why it could not be run here; its ONNX source was compared instead where there is one.
    """

    path: str
    id: str
    files: int = 0
    parity: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether everything that could be checked is right."""
        return not self.failed

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {**self.__dict__, "passed": self.passed}

    def __str__(self) -> str:
        lines = [f"{self.path}  id {self.id[:12]}", f"  {self.files} files have the right size and SHA-256"]
        for variant, records in self.parity.items():
            worst = min(records.values(), key=lambda record: record["cosine"])
            verdict = f"FAILED: {self.failed[variant]}" if variant in self.failed else "ok"
            engine = "  (its ONNX source; the engine was not run here)" if variant in self.skipped else ""
            lines.append(f"  {variant:<52} worst {worst['name']}: cosine {worst['cosine']:.6f}  {verdict}{engine}")
        return "\n".join(lines)


def verify(bundle: str | Path, *, trust: Trust = UNTRUSTED) -> Verification:
    """Check every hash, then run the test vectors through every variant that this machine can run.

    Engines that are not trusted, or whose runner is not here, are checked by the ONNX graphs they were compiled from, unoptimised, on the CPU.

    Args:
        bundle: folder or zip.
        trust: as in `open`.

    Raises:
        BundleError: a file is missing, truncated or changed, or it is not the bundle that `trust` names.
    """
    opened = Bundle(bundle, trust)
    found = Verification(str(bundle), opened.id, files=opened.check_all())
    vectors = load_vectors(opened)
    graph = opened.manifest.model
    keys = specs_by_key(graph.inputs)
    missing = [key for key in keys if f"input.{key}" not in vectors]
    if missing:
        raise BundleError(f"{bundle}: its test vectors lack input '{missing[0]}'")
    tensors = {key: vectors[f"input.{key}"] for key in keys}
    for key, variant in opened.manifest.variants.items():
        runners: Mapping[str, Runner]
        try:
            runners = Model(opened, variant=key).runners
        except EdgeMMError as error:
            found.skipped[key] = str(error)
            sources = variant.sources or variant.files
            runners = {g: OnnxRuntimeRunner(opened.read(sources[g]), g, optimise=False) for g in graph.graph_names}
        try:
            parities = _compare(graph, vectors, SinglePass(graph, runners, tensors))
        finally:
            for runner in runners.values():
                runner.close()
        found.parity[key] = {name: parity.to_json() for name, parity in parities.items()}
        gate = GATES.get(variant.precision)
        if gate is None:
            raise BundleError(
                f"{bundle}: variant '{key}' has the unknown precision '{variant.precision}'; known: {', '.join(GATES)}"
            )
        # eight rows: one changed answer is an eighth, so a quantized variant's agreement may miss one row
        exact = variant.precision == "fp32"
        least = gate.cosine if exact else gate.cosine - 0.01
        agreed = 1.0 if exact else 1.0 - 1.0 / min(parity.rows for parity in parities.values())
        below = [name for name, p in parities.items() if not (p.cosine >= least and p.agreement >= agreed)]
        if below:
            found.failed[key] = f"{', '.join(below)} below cosine {least:g} or agreement {agreed:.3f}"
    return found


def _compare(graph: ModelGraph, vectors: dict[str, np.ndarray], done: SinglePass) -> dict[str, Parity]:
    parities = {}
    for node in graph.nodes:
        names = [name for name in node.outputs if f"{node.name}.{name}" in vectors and node.name in done.values]
        if names:
            wanted = [vectors[f"{node.name}.{name}"] for name in names]
            parities[node.name] = compare(node.name, wanted, [done.values[node.name][name] for name in names])
    for name, got in done.outputs().items():
        expected = {tensor: vectors[f"output.{name}.{tensor}"] for tensor in got}
        parities[f"output {name}"] = compare_output(graph.outputs[name].kind, name, expected, got)
    return parities
