"""Opening a bundle, and asking it once. Imports neither torch nor pydantic, and discovers no plugin unless the bundle names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemm.adapters import make_adapter
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import Variant
from edgemm.errors import BundleError, InputError, MissingDependencyError, UnknownNameError, UsageError
from edgemm.graph import INPUT, Node
from edgemm.interfaces import Runner
from edgemm.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgemm.runtime.results import ABSENT, LIVE, InputState, Result

if TYPE_CHECKING:
    from edgemm.runtime.live import Live

REFERENCE = "cpu.onnxruntime.fp32"


def open(bundle: str | Path, *, variant: str = "auto", threads: int = 1) -> Model:  # noqa: A001
    """Open a bundle for `infer`, `live` and `edgemm.stream`.

    Args:
        bundle: folder or zip.
        variant: a target key, or a precision or device that means one; `auto` takes the FP32 reference for this CPU.
        threads: threads of each graph's session.

    Raises:
        BundleError: truncated, changed or of another version; nothing of it is run then.
        UnknownNameError: there is no such variant.
    """
    return Model(Bundle(bundle), variant=variant, threads=threads)


class Model:
    """An open bundle: its graphs loaded, its adapters made.

    Use it as a context manager, or call `close`. `infer` and `run` may be called from several threads; each `live` belongs to one.

    Attributes:
        graph: nodes and edges.
        variant: target key of what runs.
        variant_reason: why it was chosen.
    """

    def __init__(self, bundle: Bundle, *, variant: str = "auto", threads: int = 1) -> None:
        self.bundle = bundle
        manifest = bundle.manifest
        self.graph = manifest.model
        self.variant, self.variant_reason = _choose(bundle, variant)
        chosen = manifest.variants[self.variant]
        self.runners: dict[str, Runner] = {
            name: _load(bundle, chosen, name, threads) for name in self.graph.graph_names
        }
        for name, runner in self.runners.items():
            if tuple(runner.inputs) != manifest.graphs[name].inputs:
                raise BundleError(
                    f"{bundle.path}: graph '{name}' of variant '{self.variant}' takes {_listed(runner.inputs)}, "
                    f"the manifest says {_listed(manifest.graphs[name].inputs)}"
                )
        self.adapters = {name: make_adapter(name, spec) for name, spec in self.graph.inputs.items()}
        self.labels = {name: output.labels for name, output in self.graph.outputs.items()}

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release every graph."""
        for runner in self.runners.values():
            runner.close()
        self.runners = {}

    @property
    def name(self) -> str:
        """The model's name."""
        return self.graph.name

    def infer(self, **inputs: Any) -> Result:
        """Answer one question, statelessly, from any non-empty subset of the inputs.

        Args:
            inputs: input name -> frame, sound or text as its adapter takes it; None means absent.

        Raises:
            UnknownNameError: the model has no such input.
            InputError: a value does not fit, or nothing was given.
        """
        self._known(inputs)
        tensors = {name: self.adapters[name].convert(raw) for name, raw in inputs.items() if raw is not None}
        if not tensors:
            raise InputError(f"nothing to infer from: give at least one of {', '.join(self.graph.inputs)}")
        started_ns = monotonic_ns()
        outputs, usable = self.run(tensors)
        timings = (started_ns, started_ns, monotonic_ns())
        values = {name: array[0] for name, array in outputs.items()}
        return Result(values, self.labels, usable, self._states, timings, 0)

    def run(
        self, tensors: Mapping[str, np.ndarray], age_ms: Mapping[str, float] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, bool]]:
        """Run the nodes once on batches of adapter-ready tensors; absent inputs are left out.

        Returns:
            Output name -> array `(batch, …)`, without those whose inputs were absent, and owner (`input.audio`, `audio`) -> whether
            the first sample of the batch was usable.
        """
        self._known(tensors)
        run = _Once(self, tensors, age_ms or {})
        for node in self.graph.nodes:
            run.step(node)
        outputs = {}
        for name, output in self.graph.outputs.items():
            owner, _, tensor = output.edge.partition(".")
            if owner in run.values:
                outputs[name] = run.values[owner][tensor]
        return outputs, {owner: bool(column[0]) for owner, column in run.usable.items()}

    def live(self, *, clock: Callable[[], int] = monotonic_ns) -> Live:
        """A stream that the caller pushes into, on the caller's thread: no threads, no queues."""
        from edgemm.runtime.live import Live

        return Live(self, clock=clock)

    def _known(self, inputs: Mapping[str, Any]) -> None:
        for name in inputs:
            if name not in self.graph.inputs:
                raise UnknownNameError("input", name, self.graph.inputs)

    def _states(self, usable: dict[str, bool]) -> dict[str, InputState]:
        states = {}
        for name in self.graph.inputs:
            if f"{INPUT}.{name}" not in usable:
                states[name] = InputState(ABSENT, None, False, "no data")
                continue
            found = all(usable.get(node.name, True) for node in self.graph.readers(name))
            states[name] = (
                InputState(LIVE, 0.0, False, "") if found else InputState(ABSENT, None, False, "nothing recognised")
            )
        return states


class _Once:
    """One stateless pass through the nodes on a batch."""

    def __init__(self, model: Model, tensors: Mapping[str, np.ndarray], age_ms: Mapping[str, float]) -> None:
        self._model = model
        self._age_ms = age_ms
        self.batch = len(next(iter(tensors.values()))) if tensors else 1
        self.values: dict[str, dict[str, np.ndarray]] = {}
        self.usable: dict[str, np.ndarray] = {}
        self._inputs = dict(tensors)
        for name, tensor in tensors.items():
            model.adapters[name].tensor.check(tensor)
            if len(tensor) != self.batch:
                raise InputError(f"input '{name}' has a batch of {len(tensor)}, the inputs before it {self.batch}")
            self.usable[f"{INPUT}.{name}"] = np.ones(self.batch, bool)

    def step(self, node: Node) -> None:
        """Run one node, or leave it out when what it needs is absent."""
        present = [owner in self.usable for owner in node.owners()]
        if not all(present) and not (node.presence and any(present)):
            return
        runner = self._model.runners[node.graph]
        feeds = self._feeds(node, runner)
        outputs = runner.run(feeds)
        self.values[node.name] = dict(zip((spec.name for spec in runner.outputs), outputs, strict=True))
        usable: np.ndarray = np.ones(self.batch, bool)
        if node.usable:
            usable = np.asarray(self.values[node.name][node.usable].reshape(self.batch, -1).any(axis=1))
        if node.presence:
            usable = usable & (feeds[node.presence].sum(axis=1) > 0)
        self.usable[node.name] = usable

    def _feeds(self, node: Node, runner: Runner) -> dict[str, np.ndarray]:
        specs = {spec.name: spec for spec in runner.inputs}
        feeds = {}
        for name, edge in node.reads.items():
            owner, _, tensor = edge.partition(".")
            found = self._inputs.get(tensor) if owner == INPUT else self.values.get(owner, {}).get(tensor)
            if found is None:
                found = np.zeros(specs[name].with_batch(self.batch), specs[name].dtype)
            feeds[name] = found
        if node.presence:
            columns = [self.usable.get(member, np.zeros(self.batch, bool)) for member in node.members]
            feeds[node.presence] = np.stack(columns, axis=1).astype(np.float32)
        if node.age:
            ages = [self._age_ms.get(member, 0.0) for member in node.members]
            feeds[node.age] = np.tile(np.array(ages, np.float32), (self.batch, 1))
        for name in node.state.values():
            feeds[name] = np.zeros(specs[name].with_batch(self.batch), specs[name].dtype)
        return feeds


def _choose(bundle: Bundle, wanted: str) -> tuple[str, str]:
    manifest = bundle.manifest
    if wanted != "auto":
        return manifest.find_variant(wanted), "asked for"
    if REFERENCE in manifest.variants:
        return REFERENCE, "the FP32 reference, which every CPU runs"
    raise BundleError(f"{bundle.path}: has no '{REFERENCE}' variant; it has {', '.join(manifest.variants)}")


def _load(bundle: Bundle, variant: Variant, graph: str, threads: int) -> Runner:
    path = variant.files[graph]
    if variant.backend == "onnxruntime":
        return OnnxRuntimeRunner(bundle.read(path), graph, threads=threads)
    from edgemm.host import default_host

    suffix = path.rpartition(".")[2]
    for registered in default_host().entries("runner").values():
        if suffix in getattr(registered.entry, "formats", ()):
            factory = default_host().resolve(registered, registered.entry.factory)
            runner: Runner = factory(bundle.read(path), {"graph": graph, "variant": variant})
            return runner
    raise MissingDependencyError(
        f"variant of {variant.device} holds {variant.backend} engines, and no installed plugin runs '.{suffix}' files; "
        f"run the bundle on the CPU instead: --variant {REFERENCE}"
    )


def _listed(specs: Any) -> str:
    return "; ".join(f"{spec.name} {spec}" for spec in specs)


def check_inputs(model: Model, inputs: Mapping[str, Any]) -> None:
    """Raise unless `inputs` names at least one input of the model, and only such."""
    if not inputs:
        raise UsageError(f"give at least one input: {', '.join(model.graph.inputs)}")
    model._known(inputs)
