"""Is a bundle whole, and does every variant that this machine can run still compute what the reference did?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgemm.bundle.files import Bundle
from edgemm.bundle.signing import signers
from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.checking.as_its_backend import runner_for, why_unrounded
from edgemm.checking.parity import Parity, compare, compare_output, missed
from edgemm.checking.rollout import rollout
from edgemm.checking.vectors import load_vectors
from edgemm.errors import BundleError, EdgeMMError, MissingDependencyError, ParityError
from edgemm.host.interfaces import Runner
from edgemm.model.graph import ModelGraph
from edgemm.model.precision import HALF, PRECISIONS
from edgemm.progress import Progress, silent
from edgemm.runners.choosing import why_not_here
from edgemm.runtime.model import Model
from edgemm.runtime.single_pass import specs_by_key


@dataclass
class Verification:
    """What `verify` found.

    Attributes:
        files: how many files have the right hash.
        signed_by: public keys whose signatures hold, hexadecimal; whose they are is for whoever knows the keys.
        unchecked: why signatures that are there were not looked at.
        parity: variant -> node or output -> record of its difference from the test vectors.
        failed: variant -> what missed its gate, or why it does not run though it should.
        skipped: variant -> why it could not be run here; its ONNX source was compared instead where there is one.
    """

    path: str
    id: str
    files: int = 0
    signed_by: list[str] = field(default_factory=list)
    unchecked: str = ""
    parity: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether everything that could be checked is right."""
        return not self.failed

    def expect_passed(self, what: str) -> None:
        """Raise `ParityError`, which begins with `what`, unless everything that could be checked is right."""
        if not self.passed:
            failed = "\n  ".join(f"variant '{key}': {reason}" for key, reason in self.failed.items())
            raise ParityError(f"{what}\n  {failed}")

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {**self.__dict__, "passed": self.passed}

    def __str__(self) -> str:
        lines = [f"{self.path}  id {self.id[:12]}", f"  {self.files} files have the right size and SHA-256"]
        if self.signed_by:
            lines.append(f"  signed by {', '.join(name[:16] for name in self.signed_by)}")
        if self.unchecked:
            lines.append(f"  signatures not checked: {self.unchecked}")
        for variant, records in self.parity.items():
            worst = min(records.values(), key=lambda record: record["cosine"])
            verdict = f"FAILED: {self.failed[variant]}" if variant in self.failed else "ok"
            engine = "  (its ONNX source; the engine was not run here)" if variant in self.skipped else ""
            lines.append(f"  {variant:<52} worst {worst['name']}: cosine {worst['cosine']:.6f}  {verdict}{engine}")
        lines += [
            f"  {variant:<52} FAILED: {why}" for variant, why in self.failed.items() if variant not in self.parity
        ]
        return "\n".join(lines)


def verify(
    bundle: str | Path,
    *,
    trust: Trust = UNTRUSTED,
    variants: Collection[str] | None = None,
    progress: Progress = silent,
) -> Verification:
    """Check every hash, then run the test vectors through every variant that this machine can run; one that remembers, moment by moment.

    Engines that are not trusted, or that this machine is not made to run, are checked by the ONNX graphs they were compiled from, unoptimised, on
    the CPU. What should run here and does not has failed.

    Args:
        bundle: folder or zip.
        trust: as in `open`.
        variants: the target keys to run; all if not given.
        progress: told of each variant.

    Raises:
        BundleError: a file is missing, truncated or changed, or it is not the bundle that `trust` names.
    """
    opened = Bundle(bundle, trust)
    found = Verification(str(bundle), opened.id, files=opened.check_all())
    try:
        found.signed_by = signers(opened)
    except MissingDependencyError as error:
        found.unchecked = str(error)
    vectors = load_vectors(opened)
    needed = [f"input.{key}" for key in specs_by_key(opened.manifest.inputs)]
    needed += [f"output.{name}.{tensor}" for name, output in opened.manifest.outputs.items() for tensor in output.reads]
    missing = [name for name in needed if name not in vectors]
    if missing:
        raise BundleError(f"{bundle}: its test vectors lack '{missing[0]}'")
    _check_vectors(opened, vectors)
    chosen = {key: v for key, v in opened.manifest.variants.items() if variants is None or key in variants}
    for number, (key, variant) in enumerate(chosen.items()):
        progress("checking", number, len(chosen), key)
        if variant.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise BundleError(
                f"{bundle}: variant '{key}' has the unknown precision '{variant.precision}'; known: {known}"
            )
        try:
            runners, skipped = _runners(opened, key)
            parities = _compare(opened.manifest.model, vectors, runners)
        except EdgeMMError as error:
            found.failed[key] = f"it does not run: {error}"
            continue
        if skipped:
            found.skipped[key] = skipped
        found.parity[key] = {name: parity.to_json() for name, parity in parities.items()}
        rows = min(parity.rows for parity in parities.values())
        gate = PRECISIONS[variant.precision].gate.on_few(rows)
        below = missed(gate, parities)
        if below:
            found.failed[key] = f"{', '.join(below)} below {gate}"
    return found


def _check_vectors(opened: Bundle, vectors: Mapping[str, np.ndarray]) -> None:
    """They are what the inputs make and the graphs give, with the same number of rows."""
    manifest = opened.manifest
    specs = {f"input.{key}": spec for key, spec in specs_by_key(manifest.inputs).items()}
    given = {
        (node.name, output): spec
        for node in manifest.nodes
        for output, spec in zip(node.outputs, manifest.graphs[node.graph].outputs, strict=False)
    }
    specs |= {f"{node}.{output}": spec for (node, output), spec in given.items()}
    for name, output in manifest.outputs.items():
        read = {tensor: given.get((edge.owner, edge.output)) for tensor, edge in output.reads.items()}
        specs |= {f"output.{name}.{tensor}": spec for tensor, spec in read.items() if spec is not None}
    found = {name: vectors[name] for name in specs if name in vectors}
    rows = len(found[next(iter(specs))])
    for name, array in found.items():
        fits = array.dtype == specs[name].dtype and specs[name].accepts_shape(array.shape) and len(array) == rows
        if not fits:
            raise BundleError(
                f"{opened.path}: its test vectors have '{name}' as {array.dtype} {list(array.shape)}; expected {specs[name]}, {rows} rows"
            )


def _runners(opened: Bundle, key: str) -> tuple[Mapping[str, Runner], str]:
    """What runs a variant, and why that is its ONNX sources rather than the variant itself ("" when it is the variant)."""
    try:
        return Model(opened, variant=key).runners, ""
    except EdgeMMError as error:
        if not isinstance(error, MissingDependencyError) and not why_not_here(opened, key):
            raise
        skipped = str(error)
    variant = opened.manifest.variants[key]
    sources = variant.sources or variant.files
    if HALF in variant.precision and why_unrounded():
        skipped += f"; {why_unrounded()}"
    return {graph: runner_for(opened.read(path), graph, variant.backend) for graph, path in sources.items()}, skipped


def _compare(graph: ModelGraph, vectors: Mapping[str, np.ndarray], runners: Mapping[str, Runner]) -> dict[str, Parity]:
    """The test vectors through `runners`, which are closed then."""
    try:
        tensors = {key: vectors[f"input.{key}"] for key in specs_by_key(graph.inputs)}
        done = rollout(graph, runners, tensors, streams=1)
    finally:
        for runner in runners.values():
            runner.close()
    parities = {}
    for node in graph.nodes:
        names = [name for name in node.outputs if f"{node.name}.{name}" in vectors and node.name in done.nodes]
        if names:
            wanted, got = [vectors[f"{node.name}.{name}"] for name in names], done.values(node.name)
            parities[node.name] = compare(node.name, wanted, [got[name] for name in names])
    for name, answer in done.outputs().items():
        expected = {tensor: vectors[f"output.{name}.{tensor}"] for tensor in answer}
        parities[f"output {name}"] = compare_output(graph.outputs[name].kind, name, expected, answer)
    return parities
