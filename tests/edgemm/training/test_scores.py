"""The evaluation tells a perfect model, a unimodal one and a noisy one apart, and its ceilings are exact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgemm.training.scores import ceiling, evaluate

CENTRES = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])


def read(points: np.ndarray) -> np.ndarray:
    """The nearest class of each point."""
    return np.asarray(((points[:, None] - CENTRES) ** 2).sum(-1).argmin(1))


def perfect(inputs: Mapping[str, Any]) -> np.ndarray:
    """Knows the sum of two readable inputs, and that one alone says nothing."""
    classes = [read(points) for points in inputs.values()]
    rows = len(classes[0])
    if len(classes) < 2:
        return np.zeros((rows, 3))
    unknown = (classes[0] == 3) | (classes[1] == 3)
    return np.where(unknown[:, None], 0.0, np.eye(3)[(classes[0] + classes[1]) % 3])


def test_a_perfect_model_passes(task: Any) -> None:
    evaluation = evaluate(perfect, task, count=1200, seed=0)
    assert evaluation.passed
    assert evaluation.sets[0].accuracy == pytest.approx(1, abs=0.005)
    assert [subset.inputs for subset in evaluation.subsets] == [("left",), ("right",)]
    assert evaluation.absences[0].agreement == pytest.approx(1, abs=0.005)
    assert evaluation.late_fusion_gap > 0.5


def test_a_model_that_reads_one_input_only_fails(task: Any) -> None:
    def one_sided(inputs: Mapping[str, Any]) -> np.ndarray:
        return np.eye(4)[read(next(iter(inputs.values())))][:, :3]

    evaluation = evaluate(one_sided, task, count=600)
    assert not evaluation.passed
    assert not evaluation.sets[0].passed
    assert "BELOW" in str(evaluation)


def test_hearing_something_in_nothing_fails(task: Any) -> None:
    def credulous(inputs: Mapping[str, Any]) -> np.ndarray:
        if "right" not in inputs:
            return np.zeros((len(inputs["left"]), 3))
        right = read(inputs["right"])
        left = read(inputs["left"]) if "left" in inputs else np.zeros_like(right)
        return np.eye(3)[(left + right + (right == 3)) % 3]

    absence = evaluate(credulous, task, count=600).absences[0]
    assert absence.agreement < 0.6
    assert not absence.passed


def test_ceilings_come_from_the_truth_table(task: Any) -> None:
    assert ceiling(task, ("left", "right")) == 1
    assert ceiling(task, ("left",)) == pytest.approx(1 / 3)


def test_the_table_says_which_input_a_line_needs(task: Any) -> None:
    evaluation = evaluate(perfect, task, count=300)
    groups = evaluation.sets[0].groups
    assert [group.name for group in groups] == ["left is 0", "left is 1", "left is 2"]
    assert sum(group.count for group in groups) == 300
    assert groups[0].without == pytest.approx({"left": 1 / 3, "right": 1 / 3})
    assert "best without left" in str(evaluation)


def test_json_holds_every_number(task: Any) -> None:
    evaluation = evaluate(perfect, task, count=200, seed=4)
    numbers = json.loads(evaluation.to_json())
    assert numbers["seed"] == 4
    assert numbers["passed"] is evaluation.passed
    assert numbers["sets"][0]["accuracy"] == evaluation.sets[0].accuracy
    left = evaluation.subsets[0]
    assert numbers["subsets"][0] == {
        "inputs": ["left"], "accuracy": left.accuracy, "ceiling": left.ceiling, "passed": left.passed,
    }  # fmt: skip


def test_the_same_seed_gives_the_same_numbers(task: Any) -> None:
    assert evaluate(perfect, task, count=200, seed=1) == evaluate(perfect, task, count=200, seed=1)
