"""The trainer learns a task that needs two inputs, repeats itself, goes on after an interruption, and cleans up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgemm.errors import UsageError
from edgemm.training.fit import train_encoder, train_model


def weights(model: nn.Module) -> Tensor:
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


def test_training_learns_the_answer_and_what_it_cannot_know(task: Any, model: Any) -> None:
    record = train_model(model, task, seed=1)
    assert record.accuracy["encoder left"] > 0.95
    assert record.accuracy["fusion"] > 0.95
    assert not model.fusion.training
    tokens, valid = model.encoders["left"](torch.tensor([[2.0, 0.0, 0.0]]))
    fused = model.fusion([tokens, tokens], [valid, valid], torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    probabilities = torch.softmax(model.heads["answer"](fused), 1)
    assert float(probabilities.detach().max()) < 0.5  # one input alone leaves three answers open


def test_the_same_seed_gives_the_same_weights(task: Any, model: Any) -> None:
    other = type(model)()
    other.load_state_dict(model.state_dict())
    train_model(model, task, seed=3)
    torch.rand(7)  # the caller's own random numbers must not matter
    train_model(other, task, seed=3)
    assert torch.equal(weights(model), weights(other))


def test_training_leaves_the_callers_random_numbers_alone(task: Any, model: Any) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_model(model, task)
    assert torch.equal(torch.rand(3), expected)


def test_an_interrupted_run_goes_on_after_the_last_finished_stage(task: Any, model: Any, tmp_path: Path) -> None:
    start = {key: value.clone() for key, value in model.state_dict().items()}

    def interrupt(stage: str, done: int, total: int, note: str) -> None:
        if stage == "fusion" and done > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(model, task, folder=tmp_path, progress=interrupt)
    model.load_state_dict(start)
    record = train_model(model, task, folder=tmp_path)
    assert record.resumed == ["encoder left", "encoder right"]
    uninterrupted = type(model)()
    uninterrupted.load_state_dict(start)
    train_model(uninterrupted, task)
    assert torch.equal(weights(model), weights(uninterrupted))


def test_a_stage_of_another_seed_is_not_taken(task: Any, model: Any, tmp_path: Path) -> None:
    start = {key: value.clone() for key, value in model.state_dict().items()}
    train_model(model, task, seed=1, folder=tmp_path)
    model.load_state_dict(start)
    assert train_model(model, task, seed=2, folder=tmp_path).resumed == []


def test_a_stage_file_that_was_cut_off_is_trained_again(task: Any, model: Any, tmp_path: Path) -> None:
    start = {key: value.clone() for key, value in model.state_dict().items()}
    train_model(model, task, folder=tmp_path)
    path = tmp_path / "encoder-left.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    model.load_state_dict(start)
    assert "encoder left" not in train_model(model, task, folder=tmp_path).resumed


def test_without_resume_every_stage_is_trained_again(task: Any, model: Any, tmp_path: Path) -> None:
    start = {key: value.clone() for key, value in model.state_dict().items()}
    train_model(model, task, folder=tmp_path)
    model.load_state_dict(start)
    assert train_model(model, task, folder=tmp_path, resume=False).resumed == []


class Blinding(nn.Module):
    """Hides everything, and counts how often."""

    used = 0

    def forward(self, x: Tensor) -> Tensor:
        self.used += 1
        return torch.zeros_like(x)


def test_augmentation_is_applied_in_training_and_removed(task: Any, model: Any) -> None:
    augment, encoder = Blinding(), model.encoders["left"]
    accuracy = train_encoder(encoder, task.sampler("left"), augment, seed=0)
    assert augment.used == task.sampler("left").training.steps
    assert accuracy < 0.5  # nothing could be seen
    assert isinstance(encoder.augment, nn.Identity)


def test_augmentation_without_a_slot_is_refused(task: Any, model: Any) -> None:
    encoder = model.encoders["left"]
    del encoder.augment
    with pytest.raises(UsageError, match="PointEncoder, which has no slot"):
        train_encoder(encoder, task.sampler("left"), Blinding(), seed=0)


def test_an_encoder_without_classifier_is_refused(task: Any) -> None:
    with pytest.raises(UsageError, match="encoder has no method classify"):
        train_encoder(nn.Linear(3, 3), task.sampler("left"), None, seed=0)


def test_a_model_with_two_heads_is_refused(task: Any, model: Any) -> None:
    model.heads["other"] = nn.Linear(16, 2)
    with pytest.raises(UsageError, match="trains one head; this model has 2: answer, other"):
        train_model(model, task)
