"""`edgemm.train` and `edgemm.evaluate`: from a model.toml to a checkpoint to a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemm.errors import SpecError, UnknownNameError, UsageError
from edgemm.host.plugin_host import PluginHost
from edgemm.modeling import checkpoint
from edgemm.progress import silent
from edgemm.training.evaluate import evaluate
from edgemm.training.train import train

MODEL = """
[model]
name = "sum"
width = 16
[inputs.left]
kind = "tensor"
modality = "point"
shape = [3]
[inputs.right]
kind = "tensor"
modality = "point"
shape = [3]
[encoders.left]
use = "test.point"
[encoders.right]
use = "test.point"
[fusion]
use = "test.sum"
[heads.answer]
use = "test.linear"
labels = ["0", "1", "2"]
"""
TRAINING = '[training]\ntask = "test_sum"\nseed = 4\n'


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "model.toml"
    path.write_text(MODEL + TRAINING)
    return path


def test_a_trained_checkpoint_passes_its_evaluation(spec: Path, tmp_path: Path, host: PluginHost) -> None:
    record = train(spec, tmp_path / "out", host=host, progress=silent)
    assert record.seed == 4
    assert list(record.seconds) == ["encoder left", "encoder right", "fusion"]
    evaluation = evaluate(tmp_path / "out", count=600, host=host, progress=silent)
    assert evaluation.passed, str(evaluation)
    remembered = checkpoint.about(tmp_path / "out")["training"]
    assert remembered["seed"] == 4
    assert remembered["accuracy"] == record.accuracy


def test_resume_goes_on_and_no_resume_starts_anew(spec: Path, tmp_path: Path, host: PluginHost) -> None:
    train(spec, tmp_path / "out", host=host, progress=silent)
    assert len(train(spec, tmp_path / "out", resume=True, host=host, progress=silent).resumed) == 3
    assert train(spec, tmp_path / "out", host=host, progress=silent).resumed == []


def test_another_seed_gives_another_model(spec: Path, tmp_path: Path, host: PluginHost) -> None:
    train(spec, tmp_path / "a", host=host, progress=silent)
    train(spec, tmp_path / "b", seed=5, host=host, progress=silent)
    first, second = (checkpoint.load(tmp_path / name, host=host).heads["answer"].weight for name in "ab")
    assert not bool((first == second).all())


def test_a_spec_without_training_is_refused(spec: Path, tmp_path: Path, host: PluginHost) -> None:
    spec.write_text(MODEL)
    with pytest.raises(SpecError, match="training: is missing"):
        train(spec, tmp_path / "out", host=host, progress=silent)


def test_an_unknown_task_is_refused_with_the_nearest(spec: Path, tmp_path: Path, host: PluginHost) -> None:
    spec.write_text(MODEL + TRAINING.replace("test_sum", "test_sun"))
    with pytest.raises(UnknownNameError, match="did you mean 'test_sum'"):
        train(spec, tmp_path / "out", host=host, progress=silent)


def test_labels_that_are_not_the_tasks_answers_are_refused(spec: Path, tmp_path: Path, host: PluginHost) -> None:
    spec.write_text(MODEL.replace('"2"]', '"3"]') + TRAINING)
    with pytest.raises(SpecError, match=r"heads\.answer\.labels: expected the task's 3 answers, 0, 1, 2; got 0, 1, 3"):
        train(spec, tmp_path / "out", host=host, progress=silent)
    assert not (tmp_path / "out").exists()


NODE = "[[node]]\nname = 'right'\nuse = 'test.point'\nreads = { x = 'input.right', context = 'left.tokens' }"


@pytest.mark.parametrize(
    ("right", "why"),
    [
        ('[encoders.right]\nshare = "left"', r"encoders\.right: 'right' shares the module of 'left'"),
        (NODE, r"node\.0: 'right' reads other edges beside its input"),
    ],
)
def test_an_encoder_that_is_not_trained_alone_is_refused(
    spec: Path, tmp_path: Path, host: PluginHost, right: str, why: str
) -> None:
    spec.write_text(MODEL.replace('[encoders.right]\nuse = "test.point"', right) + TRAINING)
    with pytest.raises(SpecError, match=f"{why}, and every encoder is trained alone"):
        train(spec, tmp_path / "out", host=host, progress=silent)
    assert not (tmp_path / "out").exists()


def test_a_model_that_names_no_task_cannot_be_evaluated_without_one(
    spec: Path, tmp_path: Path, host: PluginHost
) -> None:
    from edgemm.modeling.compose import compose
    from edgemm.modeling.spec import spec_from_text

    (tmp_path / "out").mkdir()
    checkpoint.save(compose(spec_from_text(MODEL), host), tmp_path / "out")
    with pytest.raises(UsageError, match="does not say which task"):
        evaluate(tmp_path / "out", host=host, progress=silent)
    evaluation = evaluate(tmp_path / "out", task="test_sum", count=50, host=host, progress=silent)
    assert not evaluation.passed  # fresh weights
