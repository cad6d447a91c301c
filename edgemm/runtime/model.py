"""Opening a bundle, and asking it once. Imports neither torch nor pydantic, and discovers no plugin unless the bundle names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgemm.bundle.files import Bundle
from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.errors import NOT_FINITE, BundleError, EdgeMMError, InputError, NotFiniteError, UnknownNameError, UsageError
from edgemm.model.edge import INPUT
from edgemm.model.fitting import misfit
from edgemm.outputs.results import ABSENT, LIVE, InputState, Result, Timings
from edgemm.runners.choosing import REFERENCE, choices, load_runners
from edgemm.runners.providers import CPU
from edgemm.runners.values import is_finite
from edgemm.runtime.feeds import may_run
from edgemm.runtime.single_pass import SinglePass, by_key, specs_by_key

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from edgemm.host.interfaces import Runner
    from edgemm.runtime.batch import Batch
    from edgemm.runtime.schedule import Live

__all__ = ["REFERENCE", "Model", "check_inputs", "open"]


def open(  # noqa: A001
    bundle: str | Path, *, variant: str = "auto", provider: str = CPU, threads: int = 1, trust: Trust = UNTRUSTED
) -> Model:
    """Open a bundle for `infer`, `live` and `edgemm.stream`.

    Args:
        bundle: folder or zip.
        variant: a target key, or a precision or device that means one; `auto` takes the FP32 reference for this CPU, or
            what fits this machine better and needs no trust, or has it (`trust=edgemm.Trust(engines=True)`).
        provider: ONNX Runtime's execution provider: `cpu`, or `cuda`, `tensorrt` or `openvino` where the installed build has it; any
            but `cpu` runs ONNX, and `auto` then takes the FP32 reference.
        threads: threads of each graph's session.
        trust: what the bundle is trusted with: native code only when it says so, and no other bundle than one that it names.

    Raises:
        BundleError: truncated, changed, of another version or not the one that `trust` names; nothing of it is run then.
        UnknownNameError: there is no such variant or provider.
        UsageError: it is native code, and not trusted; or it is not for that provider.
        MissingDependencyError: what runs that variant is not installed here, or the provider is not in this build or does not start.
    """
    return Model(Bundle(bundle, trust), variant=variant, provider=provider, threads=threads)


class Model:
    """An open bundle: its graphs loaded, its kinds of input and output found.

    Use it as a context manager, or call `close`. `infer` and `run` may be called from several threads; each `live` belongs to one.

    Attributes:
        graph: nodes and edges.
        variant: target key of what runs.
        variant_reason: why it was chosen.
        provider: the execution provider that was asked for.
    """

    def __init__(self, bundle: Bundle, *, variant: str = "auto", provider: str = CPU, threads: int = 1) -> None:
        self.bundle = bundle
        self.graph = bundle.manifest.model
        self.provider = provider
        self.variant, self.variant_reason, self.runners = _load(bundle, variant, provider, threads)
        self.kinds = {name: output.kind for name, output in self.graph.outputs.items()}
        self._specs = specs_by_key(self.graph.inputs)
        self._closed = False
        try:
            problem = misfit(self.graph, self.runners)
            if problem:
                raise BundleError(f"{bundle.path}: {problem}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Model('{self.name}': {', '.join(self.graph.inputs)} -> {', '.join(self.kinds)}; {self.variant}{', closed' * self._closed})"

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
            inputs: input name -> frame, sound or text as its kind takes it; None means absent.

        Raises:
            UnknownNameError: the model has no such input.
            InputError: a value does not fit, or nothing was given.
            NotFiniteError: an answer is NaN or infinite.
        """
        self._known(inputs)
        converted = {name: self._converted(name, raw) for name, raw in inputs.items() if raw is not None}
        if not converted:
            raise InputError(f"nothing to infer from: give at least one of {', '.join(self.graph.inputs)}")
        started_ns = monotonic_ns()
        done = self.run(by_key(self.graph.inputs, converted))
        usable = {source: bool(column[0]) for source, column in done.usable.items()}
        timings = Timings(started_ns, started_ns, monotonic_ns())
        tensors = {
            name: {tensor: array[0] for tensor, array in arrays.items()}
            for name, arrays in done.outputs().items()
            if all(usable[source] for source in self.graph.outputs[name].sources)  # nothing recognised is no prediction
        }
        for name, arrays in tensors.items():
            if not all(map(is_finite, arrays.values())):
                raise NotFiniteError(f"output '{name}' of '{self.name}' is {NOT_FINITE}")
        return Result(tensors, self.kinds, usable, self._states, timings, 0)

    def run(self, tensors: Mapping[str, np.ndarray], age_ms: Mapping[str, float] | None = None) -> SinglePass:
        """Run the nodes once, statelessly, on batches of converted tensors; absent inputs are left out.

        Args:
            tensors: input name (`text.mask` for one tensor of several) -> array `(batch, …)`.
            age_ms: member of a fusion -> how old it shall be.

        Raises:
            UnknownNameError: the model has no such input.
            InputError: a tensor does not fit.
        """
        self._check_open()
        for key, tensor in tensors.items():
            if key not in self._specs:
                raise UnknownNameError("input", key, self._specs)
            self._specs[key].check(tensor)
        return SinglePass(self.graph, self.runners, tensors, age_ms=age_ms)

    def live(
        self, *, clock: Callable[[], int] = monotonic_ns, on_failure: Callable[[str, Exception], None] | None = None
    ) -> Live:
        """A stream that the caller pushes into, on the caller's thread: no threads, no queues."""
        from edgemm.runtime.schedule import Live

        self._check_open()
        return Live(self.graph, self.runners, clock=clock, on_failure=on_failure)

    def batch(self, streams: int, *, clock: Callable[[], int] = monotonic_ns) -> Batch:
        """Several streams that one thread pushes into at once; what is due in many of them runs as one batch where that pays."""
        from edgemm.runtime.batch import Batch

        self._check_open()
        return Batch(self.graph, self.runners, streams, clock=clock)

    def _converted(self, name: str, raw: Any) -> Sequence[np.ndarray]:
        try:
            return self.graph.inputs[name].convert(raw)
        except InputError as error:
            raise InputError(f"input '{name}': {error}") from None

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


def _load(bundle: Bundle, wanted: str, provider: str, threads: int) -> tuple[str, str, dict[str, Runner]]:
    """The first choice that can be loaded: (target key, why, graph -> runner)."""
    failed = ""
    for choice in choices(bundle, wanted, provider):
        files = bundle.manifest.variants[choice.key].files
        # read outside of what may fail: a file that was changed is an error, not a reason to take another variant
        contents = {graph: bundle.read(files[graph]) for graph in bundle.manifest.model.graph_names}
        try:
            runners = load_runners(bundle, choice.key, contents, threads, provider)
        except EdgeMMError as error:
            if choice.last:
                raise
            failed += f"; '{choice.key}' could not be loaded: {str(error).splitlines()[0]}"
            continue
        return choice.key, choice.reason + failed, runners
    raise AssertionError("the last choice is loaded or raises")


def check_inputs(model: Model, inputs: Mapping[str, Any]) -> None:
    """Raise unless `inputs` names inputs of the model, and enough of them for an answer."""
    if not inputs:
        raise UsageError(f"give at least one input: {', '.join(model.graph.inputs)}")
    model._known(inputs)
    usable = {f"{INPUT}.{name}" for name in inputs}
    for node in model.graph.nodes:
        concerned = node.members if node.presence else node.sources
        if may_run(node, [source in usable for source in concerned]):
            usable.add(node.name)
    if not any(usable.issuperset(output.sources) for output in model.graph.outputs.values()):
        needed = ", ".join(f"'{name}'" for name in model.graph.inputs if name not in inputs)
        raise UsageError(f"no answer comes of {', '.join(inputs)} alone: '{model.name}' needs {needed} too")
