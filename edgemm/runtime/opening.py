"""Opening a bundle, and asking it once. Imports neither torch nor pydantic, and discovers no plugin unless the bundle names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgemm.adapters import make_adapter
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import Variant
from edgemm.errors import BundleError, InputError, MissingDependencyError, UnknownNameError, UsageError
from edgemm.graph import INPUT
from edgemm.interfaces import Runner
from edgemm.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgemm.runtime.results import ABSENT, LIVE, InputState, Result
from edgemm.runtime.single_pass import SinglePass

if TYPE_CHECKING:
    import numpy as np

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
        for name, tensor in tensors.items():
            self.adapters[name].tensor.check(tensor)
        done = SinglePass(self.graph, self.runners, tensors, age_ms=age_ms)
        return done.outputs(), {owner: bool(column[0]) for owner, column in done.usable.items()}

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
