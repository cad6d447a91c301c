"""`edgemm.evaluate`: a checkpoint or a bundle, as something that answers batches, measured on its task.

Both make the same pass: a checkpoint with its modules in torch; a bundle as it will run, and without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.checking.rollout import remembers
from edgemm.errors import UnknownNameError, UsageError
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.progress import Progress, show_progress
from edgemm.runners.providers import CPU
from edgemm.runtime.single_pass import SinglePass, by_key, specs_by_key
from edgemm.training.scores import Evaluation, Infer
from edgemm.training.scores import evaluate as evaluate_infer
from edgemm.training.task import Rows, arrays_of, load_task

if TYPE_CHECKING:
    from edgemm.model.graph import ModelGraph
    from edgemm.modeling.compose import ComposedModel
    from edgemm.runtime.model import Model

__all__ = ["evaluate", "infer_from_bundle", "infer_from_model"]

CHECKPOINT = ".safetensors"


def evaluate(
    model: str | Path,
    *,
    task: str | None = None,
    data: str | Path | None = None,
    count: int = 2000,
    seed: int = 0,
    variant: str = "auto",
    provider: str = CPU,
    trust: Trust = UNTRUSTED,
    host: PluginHost | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a checkpoint or a bundle on data that training never saw.

    Args:
        model: a checkpoint (file or folder), or a bundle.
        task: name of the task; the one it was trained on if not given.
        data: folder of the task's data, made there when absent; `$EDGEMM_DATA` or the user's cache if not given.
        count: rows of each test set.
        seed: draws the rows.
        variant, provider: of a bundle, what to run, and by which execution provider, as in `open`.
        trust: of a bundle, as in `open`.
        host: plugins to use.
        progress: called with (stage, done, total, note); a bar or lines on standard error if not given.

    Raises:
        UsageError: it is not known which task the model was trained on, an id or a provider is given for a checkpoint, which has none, or
            the model remembers (state, windows), while a task's rows know nothing of each other.
    """
    host = host or default_host()
    infer, trained_on = _answering(Path(model), variant, provider, trust, host)
    name = task or trained_on
    if not name:
        raise UsageError(f"'{model}' does not say which task it was trained on; name it: --task NAME")
    with show_progress() as shown:
        return evaluate_infer(infer, load_task(name, data, host), count, seed, progress or shown)


def infer_from_model(model: ComposedModel) -> Infer:
    """Make the `Infer` of a composed torch model, by its first output; all embeddings are fresh."""
    from edgemm.modeling.graph_modules import graph_inputs, module_runners

    model.eval()
    runners = module_runners(model, graph_inputs(model))
    return _infer_by(model.graph, lambda tensors: SinglePass(model.graph, runners, tensors))


def infer_from_bundle(model: Model) -> Infer:
    """Make the `Infer` of an open bundle, by its first output; all embeddings are fresh."""
    return _infer_by(model.graph, model.run)


def _infer_by(graph: ModelGraph, run: Callable[[Mapping[str, NDArray[Any]]], SinglePass]) -> Infer:
    """An `Infer` of whatever makes a pass: who is present, and what stands for what is not, is the pass's business alone."""
    answer, specs = next(iter(graph.outputs)), specs_by_key(graph.inputs)

    def infer(present: Mapping[str, Rows]) -> NDArray[np.floating[Any]]:
        tensors = by_key(graph.inputs, {name: _arrays(graph, name, rows) for name, rows in present.items()})
        for key, tensor in tensors.items():
            specs[key].check(tensor)
        found = run(tensors).outputs().get(answer)
        if found is None:
            raise UsageError(
                f"output '{answer}' says nothing where only {', '.join(present)} is there, so a task that leaves inputs out cannot measure it"
            )
        return next(iter(found.values()))

    return infer


def _arrays(graph: ModelGraph, name: str, rows: Rows) -> list[NDArray[Any]]:
    """The arrays that a task gives for an input, one for each of its tensors."""
    if name not in graph.inputs:
        raise UnknownNameError("input that the task gives:", name, graph.inputs)
    arrays, tensors = arrays_of(rows), graph.inputs[name].tensors
    if len(arrays) != len(tensors):
        names = ", ".join(spec.name for spec in tensors)
        raise UsageError(
            f"the task gives {len(arrays)} array(s) for input '{name}', which has {len(tensors)} tensor(s): {names}"
        )
    return [np.ascontiguousarray(array) for array in arrays]


def _answering(path: Path, variant: str, provider: str, trust: Trust, host: PluginHost) -> tuple[Infer, str]:
    """The model at `path` as an `Infer`, and the name of the task that it was trained on, if it says so."""
    if path.suffix == CHECKPOINT or (path / f"model{CHECKPOINT}").is_file():
        from edgemm.modeling import checkpoint

        if trust.names_origin:
            raise UsageError(f"'{path}' is a checkpoint, which has no id and no signature to expect; only bundles have")
        if provider != CPU:
            raise UsageError(f"'{path}' is a checkpoint, which torch runs: provider '{provider}' is for bundles")
        composed = checkpoint.load(path, host=host)
        _refuse_memory(path, composed.graph)
        training = composed.spec.training
        return infer_from_model(composed), training.task if training else ""
    from edgemm.runtime.model import open as open_bundle

    model = open_bundle(path, variant=variant, provider=provider, trust=trust)
    try:
        _refuse_memory(path, model.graph)
    except UsageError:
        model.close()
        raise
    return infer_from_bundle(model), str(model.bundle.manifest.provenance.get("task", ""))


def _refuse_memory(path: Path, graph: ModelGraph) -> None:
    remembered = remembers(graph)
    if remembered:
        raise UsageError(
            f"'{path}' cannot be evaluated on a task: {remembered}, and a task's rows know nothing of each other, so each would be a stream's "
            "first moment. Push your recordings through edgemm.open(…).live() and score those answers"
        )
