"""`edgemm.evaluate`: a checkpoint or a bundle, as something that answers batches, measured on its task.

A checkpoint answers through torch; a bundle answers through the runtime, as it will run, and needs no torch of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.checking.rollout import remembers
from edgemm.errors import UsageError
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.progress import Progress, show_progress
from edgemm.runners.providers import CPU
from edgemm.training.scores import Evaluation, Infer
from edgemm.training.scores import evaluate as evaluate_infer
from edgemm.training.task import load_task

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
    """Make the `Infer` of a composed torch model; absent inputs get presence 0, all embeddings are fresh."""
    import torch

    names, head = list(model.encoders), next(iter(model.heads.values()))
    model.eval()

    def encode(name: str, rows: NDArray[Any] | None, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        if rows is not None:
            tokens, valid = model.encoders[name](torch.from_numpy(np.ascontiguousarray(rows)))
            return tokens, valid
        (spec,) = model.graph.inputs[
            name
        ].tensors  # a blank row gives the shape of what is absent; its content is masked
        tokens, valid = model.encoders[name](torch.from_numpy(np.zeros(spec.with_batch(1), spec.dtype)))
        return torch.zeros_like(tokens).expand(count, -1, -1), torch.zeros_like(valid).expand(count, -1)

    def infer(present: Mapping[str, NDArray[Any]]) -> NDArray[np.floating[Any]]:
        count = len(next(iter(present.values())))
        with torch.inference_mode():
            encoded = [encode(name, present.get(name), count) for name in names]
            tokens, valid = [pair[0] for pair in encoded], [pair[1] for pair in encoded]
            presence = torch.tensor([[float(name in present) for name in names]]).expand(count, -1)
            fused = model.fusion(tokens, valid, presence, torch.zeros_like(presence))
            scores: NDArray[np.floating[Any]] = head(fused).numpy()
        return scores

    return infer


def infer_from_bundle(model: Model) -> Infer:
    """Make the `Infer` of an open bundle with one output; all embeddings are fresh."""

    def infer(present: Mapping[str, NDArray[Any]]) -> NDArray[np.floating[Any]]:
        done = model.run({name: np.ascontiguousarray(rows) for name, rows in present.items()})
        return next(iter(next(iter(done.outputs().values())).values()))

    return infer


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
