"""Opening a bundle, and asking it once. Imports neither torch nor pydantic, and discovers no plugin unless the bundle names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgemm.bundle.files import Bundle
from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.errors import BundleError, EdgeMMError, InputError, UnknownNameError, UsageError
from edgemm.host.interfaces import Runner
from edgemm.inputs.adapters import make_adapter
from edgemm.model.graph import INPUT
from edgemm.outputs.results import ABSENT, LIVE, InputState, Result
from edgemm.runners.choosing import REFERENCE, choices, load_runners
from edgemm.runtime.single_pass import SinglePass

if TYPE_CHECKING:
    import numpy as np

    from edgemm.runtime.live import Live

__all__ = ["REFERENCE", "Model", "check_inputs", "open"]


def open(bundle: str | Path, *, variant: str = "auto", threads: int = 1, trust: Trust = UNTRUSTED) -> Model:  # noqa: A001
    """Open a bundle for `infer`, `live` and `edgemm.stream`.

    Args:
        bundle: folder or zip.
        variant: a target key, or a precision or device that means one; `auto` takes the FP32 reference for this CPU, or
            what fits this machine better and needs no trust, or has it (`trust=edgemm.Trust(engines=True)`).
        threads: threads of each graph's session.
        trust: what the bundle is trusted with: native code only when it says so, and no other bundle than one that it names.

    Raises:
        BundleError: truncated, changed, of another version or not the one that `trust` names; nothing of it is run then.
        UnknownNameError: there is no such variant.
        UsageError: it is native code, and not trusted.
        MissingDependencyError: what runs that variant is not installed here.
    """
    return Model(Bundle(bundle, trust), variant=variant, threads=threads)


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
        self.graph = bundle.manifest.model
        self.variant, self.variant_reason, self.runners = _load(bundle, variant, threads)
        self.adapters = {name: make_adapter(name, spec) for name, spec in self.graph.inputs.items()}
        self.labels = {name: output.labels for name, output in self.graph.outputs.items()}
        self._closed = False
        try:
            self._check_adapters()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release every graph."""
        self._closed = True
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
        values = {
            name: array[0]
            for name, array in outputs.items()
            if usable[self.graph.outputs[name].edge.partition(".")[0]]  # nothing recognised anywhere is no prediction
        }
        return Result(values, self.labels, usable, self._states, timings, 0)

    def run(
        self, tensors: Mapping[str, np.ndarray], age_ms: Mapping[str, float] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, bool]]:
        """Run the nodes once on batches of adapter-ready tensors; absent inputs are left out.

        Returns:
            Output name -> array `(batch, …)`, without those whose inputs were absent, and owner (`input.audio`, `audio`) -> whether
            the first sample of the batch was usable.
        """
        self._check_open()
        self._known(tensors)
        for name, tensor in tensors.items():
            self.adapters[name].tensor.check(tensor)
        done = SinglePass(self.graph, self.runners, tensors, age_ms=age_ms)
        return done.outputs(), {owner: bool(column[0]) for owner, column in done.usable.items()}

    def live(self, *, clock: Callable[[], int] = monotonic_ns) -> Live:
        """A stream that the caller pushes into, on the caller's thread: no threads, no queues."""
        from edgemm.runtime.live import Live

        self._check_open()
        return Live(self, clock=clock)

    def _check_adapters(self) -> None:
        """What adapters make must be what graphs take: sizes are checked before anything is allocated for them."""
        for node in self.graph.nodes:
            takes = {spec.name: spec for spec in self.runners[node.graph].inputs}
            for tensor, edge in node.reads.items():
                owner, _, name = edge.partition(".")
                if owner != INPUT:
                    continue
                made, taken = self.adapters[name].tensor, takes[tensor]
                pairs = zip(made.shape[1:], taken.shape[1:], strict=False)
                fits = len(made.shape) == len(taken.shape) and all(a == b for a, b in pairs if isinstance(b, int))
                if made.dtype != taken.dtype or not fits:
                    raise BundleError(
                        f"{self.bundle.path}: input '{name}' is {made}, but graph '{node.graph}' takes {taken}"
                    )

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the model '{self.name}' is closed; open its bundle again")

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


def _load(bundle: Bundle, wanted: str, threads: int) -> tuple[str, str, dict[str, Runner]]:
    """The first choice that can be loaded: (target key, why, graph -> runner)."""
    failed = ""
    for choice in choices(bundle, wanted):
        files = bundle.manifest.variants[choice.key].files
        # read outside of what may fail: a file that was changed is an error, not a reason to take another variant
        contents = {graph: bundle.read(files[graph]) for graph in bundle.manifest.model.graph_names}
        try:
            runners = load_runners(bundle, choice.key, contents, threads)
        except EdgeMMError as error:
            if choice.last:
                raise
            failed += f"; '{choice.key}' could not be loaded: {str(error).splitlines()[0]}"
            continue
        return choice.key, choice.reason + failed, runners
    raise AssertionError("the last choice is loaded or raises")


def check_inputs(model: Model, inputs: Mapping[str, Any]) -> None:
    """Raise unless `inputs` names at least one input of the model, and only such."""
    if not inputs:
        raise UsageError(f"give at least one input: {', '.join(model.graph.inputs)}")
    model._known(inputs)
