"""Two-stage training of a composed model on a task.

Stage 1 trains every encoder alone, with its own classifier, on its input's examples. Stage 2 freezes the encoders,
encodes a set of examples of each input once, and trains fusion and head on random combinations of them, with modality
dropout and sampled ages. Its target is the exact posterior of the answer given what is present, so the model learns
what it cannot know; an input whose encoder finds nothing in it (`valid` is False) counts as absent.

A finished stage is kept in `folder`, and a run that was interrupted goes on after it. The same seed gives the same
weights on the same machine with the same number of threads. It does not know any modality, and writes no checkpoint.

Sources: AdamW (Loshchilov & Hutter 2019), one-cycle schedule (Smith & Topin 2018), label smoothing (Szegedy et al. 2016).
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from edgemm.errors import UsageError
from edgemm.host.interfaces import TrainableEncoder
from edgemm.progress import Progress, silent
from edgemm.training.dropout import sample_ages, sample_presence
from edgemm.training.stages import StageStore, fingerprint
from edgemm.training.task import FusionTraining, Sampler, Task, Training

__all__ = ["Trainable", "TrainingRecord", "train_encoder", "train_fusion", "train_model"]

GRADIENT_LIMIT = 5.0
ENCODE_BATCH = 256
MOST_TRIES = 20
CLEAR = 0.9  # a target with less than this on one class was mixed
WARM_UP = 0.25  # share of the steps in which the learning rate rises


class Trainable(Protocol):
    """What is trained: a composed model has these parts."""

    encoders: nn.ModuleDict
    fusion: nn.Module
    heads: nn.ModuleDict


@dataclass
class TrainingRecord:
    """What a training run did: seconds and final training accuracy of every stage, and the data that it did without."""

    seed: int
    seconds: dict[str, float] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    resumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"  {name}: {'kept from an earlier run' if name in self.resumed else f'{self.seconds[name]:.0f} s'}"
            f", accuracy in training {self.accuracy[name]:.3f}"
            for name in self.seconds
        ]
        notes = [f"  done without: {note}" for note in self.notes]
        return "\n".join([f"trained with seed {self.seed} in {sum(self.seconds.values()):.0f} s", *lines, *notes])


def train_model(
    model: Trainable,
    task: Task,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = silent,
    resume: bool = True,
) -> TrainingRecord:
    """Train all encoders of `model`, then its fusion and its head, in place; leave it in evaluation mode.

    Finished stages are kept in `folder`; with `resume`, those of the same seed, settings and first weights are not trained again.

    Raises:
        UsageError: when an encoder has no classifier to be trained with or has state, or the model has more than one head.
    """
    if len(model.heads) != 1:
        raise UsageError(f"a task trains one head; this model has {len(model.heads)}: {', '.join(model.heads)}")
    _refuse_state(model)
    record, store = TrainingRecord(seed, notes=task.prepare(progress)), StageStore(folder, resume)
    for name, encoder in model.encoders.items():
        train_it = partial(train_encoder, encoder, task.sampler(name), task.augment(name), title=f"encoder {name}")
        _run_stage(
            record, store, f"encoder {name}", encoder, _settings(task.sampler(name).training), train_it, progress
        )
    head = next(iter(model.heads.values()))
    settings = {
        **asdict(task.fusion_training),
        "encoders": fingerprint(model.encoders, {}),
    }  # other tokens, other fusion
    train_it = partial(train_fusion, model.encoders, model.fusion, head, task)
    _run_stage(record, store, "fusion", nn.ModuleList([model.fusion, head]), settings, train_it, progress)
    return record


def _refuse_state(model: Trainable) -> None:
    for name, encoder in model.encoders.items():
        state: Any = getattr(encoder, "state", {})
        if state:
            raise UsageError(
                f"encoder '{name}' has state ({', '.join(state)}), and a task's examples know nothing of each other. Train it on "
                "sequences with a loop of your own, then write the checkpoint with edgemm.modeling.checkpoint.save"
            )


def _run_stage(
    record: TrainingRecord,
    store: StageStore,
    name: str,
    module: nn.Module,
    settings: Mapping[str, Any],
    train_it: Callable[..., float],
    progress: Progress,
) -> None:
    """Train one stage with its own seed, or take it from the store."""
    seed = zlib.crc32(f"{record.seed} {name}".encode())
    mark = fingerprint(module, {**settings, "seed": seed})
    started_s = time.perf_counter()
    accuracy = store.load(name, mark, module)
    if accuracy is None:
        with torch.random.fork_rng(devices=[]):  # dropout and augmentation draw from the global generator
            torch.manual_seed(seed)
            accuracy = train_it(seed=seed, progress=progress)
        store.save(name, mark, module, accuracy)
    else:
        record.resumed.append(name)
        module.eval()
    record.seconds[name], record.accuracy[name] = time.perf_counter() - started_s, accuracy


def train_encoder(
    encoder: nn.Module,
    sampler: Sampler,
    augment: nn.Module | None,
    seed: int,
    title: str = "encoder",
    progress: Progress = silent,
) -> float:
    """Train one encoder with its own classifier, in place; return its accuracy over the last tenth of training.

    `augment` sits in the encoder's slot of that name meanwhile (see `TrainableEncoder`).

    Raises:
        UsageError: the encoder is no `TrainableEncoder`.
    """
    if not isinstance(encoder, TrainableEncoder):
        raise UsageError(
            f"{title} has no method classify(x) -> logits, so it cannot be trained alone; give it `classes`"
        )
    how, generator = sampler.training, torch.Generator().manual_seed(seed)
    optimizer, schedule = _one_cycle(encoder, how.learning_rate, how.weight_decay, how.steps)
    recent = _Recent(how.steps)
    encoder.train()
    with _augmented(encoder, augment):
        for step in range(how.steps):
            raw, target = sampler.batch(how.batch, generator)
            logits = encoder.classify(raw)
            loss = _cross_entropy(logits, _smooth(target, how.label_smoothing))
            _update(loss, encoder, optimizer, schedule)
            recent.add(step, loss, (logits.argmax(1) == target.argmax(1)).float().mean())
            progress(title, step + 1, how.steps, str(recent))
    encoder.eval()
    return recent.accuracy


def train_fusion(
    encoders: nn.ModuleDict, fusion: nn.Module, head: nn.Module, task: Task, seed: int, progress: Progress = silent
) -> float:
    """Train fusion and head on frozen encoders, in place; return how often they find a most probable answer."""
    how, generator = task.fusion_training, torch.Generator().manual_seed(seed)
    names = list(encoders)
    cached = {name: _encode(name, encoders[name], task, how, generator, progress) for name in names}
    trained = nn.ModuleList([fusion, head]).train()
    optimizer, schedule = _one_cycle(trained, how.learning_rate, how.weight_decay, how.steps)
    oldest_ms = [how.oldest_ms[name] for name in names]
    recent = _Recent(how.steps)
    for step in range(how.steps):
        rows = [cached[name].draw(how.batch, generator) for name in names]
        presence = sample_presence(how.batch, len(names), how.dropout, generator)
        ages = sample_ages(how.batch, oldest_ms, generator)
        target = _posterior(task, names, rows, presence)
        logits = head(fusion([row.tokens for row in rows], [row.valid for row in rows], presence, ages))
        loss = _cross_entropy(logits, target)
        _update(loss, trained, optimizer, schedule)
        best = target.gather(1, logits.argmax(1, keepdim=True))[:, 0] >= target.amax(1) - 1e-6
        recent.add(step, loss, best.float().mean())
        progress("fusion", step + 1, how.steps, str(recent))
    trained.eval()
    return recent.accuracy


@dataclass(frozen=True)
class _Encoded:
    """Encoded examples of one input: tokens (N, T, d), valid (N, T), labels (N,)."""

    tokens: Tensor
    valid: Tensor
    labels: Tensor

    def draw(self, count: int, generator: torch.Generator) -> _Encoded:
        """Draw rows, every class equally often: a sampler shows what is hard for an encoder more often than fusion needs."""
        share = 1.0 / torch.bincount(self.labels).float()[self.labels]
        rows = torch.multinomial(share, count, replacement=True, generator=generator)
        return _Encoded(self.tokens[rows], self.valid[rows], self.labels[rows])


def _encode(
    name: str, encoder: nn.Module, task: Task, how: FusionTraining, generator: torch.Generator, progress: Progress
) -> _Encoded:
    """Encode fresh training examples of one input, augmented as in its own training.

    Examples that were mixed of two classes are left out: they help an encoder, but no answer follows from them.
    """
    sampler, count = task.sampler(name), how.samples[name]
    encoder.eval()
    encoder.training = True  # applies its augmentation, while its norms and dropouts stay as they will run
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with _augmented(encoder, task.augment(name)), torch.no_grad():
        encoded = tries = 0
        while encoded < count:
            tries += 1
            if tries > MOST_TRIES * count // ENCODE_BATCH + MOST_TRIES:
                raise UsageError(
                    f"the sampler of '{name}' draws hardly any example of one class alone: {encoded} of {count}"
                )
            raw, target = sampler.batch(min(ENCODE_BATCH, count), generator)
            clear = target.amax(1) > CLEAR
            if clear.any():
                parts.append((*encoder(raw[clear]), target[clear].argmax(1)))
            encoded += int(clear.sum())
            progress(f"encoding {name}", min(count, encoded), count, "")
    encoder.eval()
    tokens, valid, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    return _Encoded(tokens, valid, labels)


def _posterior(task: Task, names: Sequence[str], rows: Sequence[_Encoded], presence: Tensor) -> Tensor:
    """The target (B, answers): the posterior given the inputs that are present and that their encoder could read."""
    usable = {
        name: ((presence[:, index] > 0.5) & row.valid.any(dim=1)).numpy()
        for index, (name, row) in enumerate(zip(names, rows, strict=True))
    }
    labels = {name: row.labels.numpy() for name, row in zip(names, rows, strict=True)}
    return torch.from_numpy(np.asarray(task.posterior(labels, usable), np.float32))


@contextmanager
def _augmented(encoder: nn.Module, augment: nn.Module | None) -> Iterator[None]:
    """Put `augment` into the encoder's slot of that name meanwhile.

    Raises:
        UsageError: when the encoder has no such slot.
    """
    if augment is None:
        yield
        return
    before = getattr(encoder, "augment", None)
    if not isinstance(before, nn.Module):
        raise UsageError(
            f"the task augments the input of {type(encoder).__name__}, which has no slot for it; "
            "give it a submodule `augment` (nn.Identity() at rest) that it applies in training mode"
        )
    encoder.augment = augment.train()
    try:
        yield
    finally:
        encoder.augment = before


def _smooth(target: Tensor, smoothing: float) -> Tensor:
    return target * (1 - smoothing) + smoothing / target.shape[1]


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return -(target * torch.log_softmax(logits, dim=1)).sum(1).mean()


def _one_cycle(
    module: nn.Module, learning_rate: float, weight_decay: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW that does not decay biases and norms, on one learning-rate cycle."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=WARM_UP)
    return optimizer, schedule


def _update(
    loss: Tensor,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(module.parameters(), GRADIENT_LIMIT)
    optimizer.step()
    schedule.step()


class _Recent:
    """Loss of now, and accuracy over the last tenth of the steps."""

    def __init__(self, steps: int) -> None:
        self._from = steps - max(1, steps // 10)
        self._last: list[float] = []
        self._loss = self._now = 0.0

    def add(self, step: int, loss: Tensor, accuracy: Tensor) -> None:
        self._loss, self._now = float(loss.detach()), float(accuracy)
        if step >= self._from:
            self._last.append(self._now)

    @property
    def accuracy(self) -> float:
        return sum(self._last) / max(1, len(self._last))

    def __str__(self) -> str:
        return f"loss {self._loss:.3f} accuracy {self._now:.2f}"


def _settings(training: Training) -> dict[str, Any]:
    """The settings of an encoder's training, whatever class holds them."""
    names = ("steps", "batch", "learning_rate", "weight_decay", "label_smoothing")
    return {name: getattr(training, name) for name in names}
