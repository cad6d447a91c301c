"""A task and a model so small that training takes a second, but whose answer needs two inputs at once.

Inputs `left` and `right` each show a class 0..2, or nothing (3), as a noisy point; the answer is their sum modulo 3.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import edgemm
from edgemm.host.plugin_host import PluginHost
from edgemm.progress import Progress
from edgemm.training.task import FusionTraining, Labels, Presence, TestSet

NAMES = ("left", "right")
MODULE = "edgemm_synthetic_task"
torch.set_num_threads(1)  # for models this small, threads only wait for each other
CENTRES = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
WIDTH = 16


@dataclass(frozen=True)
class SumTraining:
    steps: int = 80
    batch: int = 32
    learning_rate: float = 1e-2
    weight_decay: float = 0.01
    label_smoothing: float = 0.05


class SumSampler:
    classes = 4
    training = SumTraining()

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = torch.randint(4, (size,), generator=generator)
        return points(labels, generator), torch.eye(4)[labels]


def points(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Noisy points (N, 3) of the classes (N,)."""
    return CENTRES[labels] + 0.2 * torch.randn(len(labels), 3, generator=generator)


class SumTask:
    """The answer is (left + right) modulo 3."""

    answers = ("0", "1", "2")
    fusion_training = FusionTraining(
        samples=dict.fromkeys(NAMES, 300),
        oldest_ms=dict.fromkeys(NAMES, 500.0),
        steps=200,
        batch=64,
        learning_rate=5e-3,
    )

    def prepare(self, progress: Progress) -> list[str]:
        return []

    def sampler(self, input_name: str) -> SumSampler:
        return SumSampler()

    def augment(self, input_name: str) -> nn.Module | None:
        return None

    def posterior(self, labels: Labels, presence: Presence) -> NDArray[np.float32]:
        rows = [
            self._row(*(int(labels[n][i]) if presence[n][i] and labels[n][i] < 3 else None for n in NAMES))
            for i in range(len(labels["left"]))
        ]
        return np.array(rows, np.float32)

    def _row(self, left: int | None, right: int | None) -> NDArray[np.float32]:
        if left is None or right is None:
            return np.full(3, 1 / 3, np.float32)
        return np.eye(3, dtype=np.float32)[(left + right) % 3]

    def combinations(self) -> Labels:
        grid = np.indices((3, 3)).reshape(2, -1).astype(np.int64)
        return dict(zip(NAMES, grid, strict=True))

    def test_sets(self, count: int, seed: int) -> Iterator[TestSet]:
        generator = torch.Generator().manual_seed(seed)
        labels = {name: torch.randint(3, (count,), generator=generator) for name in NAMES}
        inputs = {name: points(labels[name], generator).numpy() for name in NAMES}
        truth = {name: value.numpy() for name, value in labels.items()}
        groups = tuple(f"left is {value}" for value in truth["left"])
        yield TestSet("plain", "plain points", inputs, truth, groups, minimum=0.95)
        nothing = {**inputs, "right": points(torch.full((count,), 3), generator).numpy()}
        yield TestSet("nothing", "right shows nothing", nothing, truth, ignored="right")


class PointEncoder(nn.Module):
    """A point to one token; the last class means nothing is there."""

    def __init__(self) -> None:
        super().__init__()
        self.augment: nn.Module = nn.Identity()
        self.body = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, WIDTH))
        self.classifier = nn.Linear(WIDTH, 4)

    def features(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(self.augment(x) if self.training else x)
        return y

    def classify(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(self.features(x))
        return y

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return features.unsqueeze(1), (self.classifier(features).argmax(1) < 3).unsqueeze(1)


class SumModel(nn.Module):
    """Two point encoders, a fusion of two masked tokens, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({name: PointEncoder() for name in NAMES})
        self.fusion = MaskedSum()
        self.heads = nn.ModuleDict({"answer": nn.Linear(WIDTH, 3)})


class MaskedSum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(2 * WIDTH + 4, 48), nn.ReLU(), nn.Linear(48, WIDTH))

    def forward(self, tokens: list[Tensor], valid: list[Tensor], presence: Tensor, age_ms: Tensor) -> Tensor:
        usable = presence * torch.cat(valid, dim=1)
        kept = torch.cat([token[:, 0] * usable[:, i : i + 1] for i, token in enumerate(tokens)], dim=1)
        y: Tensor = self.mix(torch.cat([kept, usable, age_ms / 1000], dim=1))
        return y


@pytest.fixture
def task() -> SumTask:
    return SumTask()


@pytest.fixture
def model() -> SumModel:
    torch.manual_seed(0)
    return SumModel()


class SumPlugin:
    """The same parts as a plugin, so that a model.toml can name them."""

    @edgemm.hookimpl
    def edgemm_encoders(self) -> Iterator[edgemm.EncoderEntry]:
        yield edgemm.EncoderEntry(name="test.point", modality="point", factory=f"{MODULE}:encoder")

    @edgemm.hookimpl
    def edgemm_fusions(self) -> Iterator[edgemm.FusionEntry]:
        yield edgemm.FusionEntry(name="test.sum", factory=f"{MODULE}:fusion")

    @edgemm.hookimpl
    def edgemm_heads(self) -> Iterator[edgemm.HeadEntry]:
        yield edgemm.HeadEntry(name="test.linear", factory=f"{MODULE}:head")

    @edgemm.hookimpl
    def edgemm_tasks(self) -> Iterator[edgemm.TaskEntry]:
        yield edgemm.TaskEntry(name="test_sum", factory=f"{MODULE}:task")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> PluginHost:
    """A plugin host that has nothing but the synthetic task and its parts."""
    module = ModuleType(MODULE)
    module.__dict__.update(
        encoder=lambda options, where: PointEncoder(),
        fusion=lambda options, inputs, width: MaskedSum(),
        head=lambda options, width: nn.Linear(width, len(options["labels"])),
        task=lambda folder: SumTask(),
    )
    monkeypatch.setitem(sys.modules, MODULE, module)
    host = PluginHost(strict=True, only=())
    assert host.register(SumPlugin(), "test")
    return host
