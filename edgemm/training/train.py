"""`edgemm.train`: a model.toml to a checkpoint."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path

import torch

from edgemm.errors import SpecError, UsageError
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.modeling import checkpoint
from edgemm.modeling.compose import ComposedModel, compose
from edgemm.modeling.spec import ModelSpec, spec_from_file
from edgemm.modeling.tables import NodeTable
from edgemm.progress import Progress, show_progress
from edgemm.training.fit import TrainingRecord, train_model
from edgemm.training.task import Task, load_task

__all__ = ["train"]

STAGES = "stages"


def train(
    spec: str | Path | ModelSpec,
    out: str | Path,
    *,
    seed: int | None = None,
    data: str | Path | None = None,
    resume: bool = False,
    host: PluginHost | None = None,
    progress: Progress | None = None,
) -> TrainingRecord:
    """Train the model that `spec` describes on its task, and write a checkpoint.

    Args:
        spec: a model.toml, or what was read from one.
        out: folder of the checkpoint, `model.safetensors`; finished stages are kept in `stages` inside it.
        seed: another seed than the specification's.
        data: folder of the task's data, made there when absent; `$EDGEMM_DATA` or the user's cache if not given.
        resume: go on after the stages that are finished.
        host: plugins to use.
        progress: called with (stage, done, total, note); a bar or lines on standard error if not given.

    Raises:
        SpecError: no `[training]`, the head's labels are not the task's answers, or an encoder is none that can be trained alone.
    """
    spec = spec if isinstance(spec, ModelSpec) else spec_from_file(spec)
    if spec.training is None:
        raise SpecError("training: is missing; add [training] with task = NAME ('edgemm plugins' lists the tasks)")
    _refuse_what_is_not_alone(spec)
    host = host or default_host()
    seed = spec.training.seed if seed is None else seed
    task = load_task(spec.training.task, data, host)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = compose(spec, host)
    _check_answers(model, task)
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder '{folder}' for the checkpoint: {error.strerror or error}") from None
    with show_progress() as shown:
        record = train_model(model, task, seed, folder / STAGES, progress or shown, resume)
    made_with = {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads()}
    checkpoint.save(model, folder, about={"training": asdict(record), "made_with": made_with})
    return record


def _refuse_what_is_not_alone(spec: ModelSpec) -> None:
    for name, path, table in spec.encoder_tables:
        if table.share or isinstance(table, NodeTable):
            why = f"shares the module of '{table.share}'" if table.share else "reads other edges beside its input"
            raise SpecError(
                f"{'.'.join(path)}: '{name}' {why}, and every encoder is trained alone, on the examples of its input. Train this model with a loop "
                "of your own, then write the checkpoint with edgemm.modeling.checkpoint.save",
                path,
            )


def _check_answers(model: ComposedModel, task: Task) -> None:
    for name, output in model.graph.outputs.items():
        labels = getattr(output.kind, "labels", ())
        if labels != task.answers:
            raise SpecError(
                f"heads.{name}.labels: expected the task's {len(task.answers)} answers, "
                f"{_listed(task.answers)}; got {_listed(labels) or 'none'}"
            )


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(labels if len(labels) <= 6 else (*labels[:3], "…", *labels[-2:]))
