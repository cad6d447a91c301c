"""Evaluation of a model on a task: accuracy beside the best that the inputs allow.

A model is anything that answers batches of converted inputs, so the same code evaluates a checkpoint, an ONNX
bundle or an engine. Ceilings come exactly from the task's posterior, not from another model. Imports neither torch nor
onnxruntime, and does not know what the inputs are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemm.outputs.printable import json_text
from edgemm.progress import Progress, silent
from edgemm.training.task import Rows, SkippedSet, Task, TestSet, arrays_of

__all__ = ["AbsenceResult", "Evaluation", "GroupResult", "Infer", "SetResult", "SubsetResult", "ceiling", "evaluate"]

Infer = Callable[[Mapping[str, Rows]], NDArray[np.floating[Any]]]
"""Answers a batch: per *present* input its raw rows -> answer scores (rows, answers), higher is likelier."""

BATCH = 250
SUBSET_MARGIN = 0.03  # how far below its ceiling a subset of inputs may be
LATE_FUSION_GAP = 0.25  # how much joint fusion has to be worth


@dataclass(frozen=True)
class GroupResult:
    """One line of a test set's table.

    Attributes:
        without: per input, the best possible accuracy if that input were missing: below 1, the line needs it.
    """

    name: str
    count: int
    accuracy: float
    without: Mapping[str, float]


@dataclass(frozen=True)
class SetResult:
    """Accuracy with all inputs on one test set."""

    name: str
    title: str
    count: int
    accuracy: float
    minimum: float | None
    groups: tuple[GroupResult, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the accuracy reaches the set's minimum."""
        return self.minimum is None or self.accuracy >= self.minimum


@dataclass(frozen=True)
class SubsetResult:
    """Accuracy when only `inputs` are present, beside the best possible."""

    inputs: tuple[str, ...]
    accuracy: float
    ceiling: float

    @property
    def passed(self) -> bool:
        """Whether the accuracy is within the margin of its ceiling."""
        return self.accuracy >= self.ceiling - SUBSET_MARGIN


@dataclass(frozen=True)
class AbsenceResult:
    """An input that carries nothing: is it answered as if it were absent?

    Attributes:
        agreement: share of rows with the same answer as when the input is left out.
        accuracy, without: accuracy with the empty input, and with it left out.
        ceiling: the best possible without the input.
    """

    name: str
    title: str
    ignored: str
    count: int
    agreement: float
    accuracy: float
    without: float
    ceiling: float

    @property
    def passed(self) -> bool:
        """Whether the empty input does no more harm than absence."""
        return self.accuracy >= self.ceiling - SUBSET_MARGIN and self.agreement >= 0.95


@dataclass(frozen=True)
class Evaluation:
    """Everything that `evaluate` measured; prints as a table."""

    seed: int
    sets: tuple[SetResult, ...]
    subsets: tuple[SubsetResult, ...]
    absences: tuple[AbsenceResult, ...]
    late_fusion: float
    skipped: tuple[SkippedSet, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every minimum, ceiling and gap is met."""
        parts: tuple[SetResult | SubsetResult | AbsenceResult, ...] = (*self.sets, *self.subsets, *self.absences)
        return all(part.passed for part in parts) and self.late_fusion_gap >= LATE_FUSION_GAP

    @property
    def late_fusion_gap(self) -> float:
        """How far the late fusion of unimodal answers stays below the model."""
        return self.sets[0].accuracy - self.late_fusion

    def as_dict(self) -> dict[str, Any]:
        """All numbers, ready for JSON."""
        numbers = asdict(self)
        for kind in ("sets", "subsets", "absences"):
            for values, part in zip(numbers[kind], getattr(self, kind), strict=True):
                values["passed"] = part.passed
        return {**numbers, "late_fusion_gap": self.late_fusion_gap, "passed": self.passed}

    def to_json(self) -> str:
        """All numbers as JSON."""
        return json_text(self.as_dict(), indent=2)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def evaluate(infer: Infer, task: Task, count: int = 2000, seed: int = 0, progress: Progress = silent) -> Evaluation:
    """Measure `infer` on the task's test sets, `count` rows each, drawn with `seed`."""
    task.prepare(progress)
    sets: list[SetResult] = []
    absences: list[AbsenceResult] = []
    skipped: list[SkippedSet] = []
    subsets: tuple[SubsetResult, ...] = ()
    late_fusion = 0.0
    for index, test in enumerate(task.test_sets(count, seed)):
        progress("evaluating", index, index + 1, test.title)
        if isinstance(test, SkippedSet):
            skipped.append(test)
            continue
        if test.ignored is not None:
            absences.append(_absence(infer, task, test, test.ignored))
            continue
        correct = _correct(task, test, _scores(infer, test.inputs, tuple(test.inputs)))
        if not sets:
            subsets, late_fusion = _subsets(infer, task, test)
        sets.append(
            SetResult(
                test.name, test.title, test.count, float(correct.mean()), test.minimum, _groups(task, test, correct)
            )
        )
    return Evaluation(seed, tuple(sets), subsets, tuple(absences), late_fusion, tuple(skipped))


def ceiling(task: Task, present: Sequence[str]) -> float:
    """The best accuracy that any model can have which sees only the inputs in `present`, from the whole truth table."""
    labels = task.combinations()
    rows = len(next(iter(labels.values())))
    presence = {name: np.full(rows, name in present) for name in labels}
    return float(task.posterior(labels, presence).max(axis=1).mean())


def _scores(infer: Infer, inputs: Mapping[str, Rows], present: Sequence[str]) -> NDArray[np.float64]:
    rows = len(arrays_of(next(iter(inputs.values())))[0])
    parts = [
        np.asarray(infer({name: _part(inputs[name], start) for name in present}), np.float64)
        for start in range(0, rows, BATCH)
    ]
    return np.concatenate(parts)


def _part(rows: Rows, start: int) -> Rows:
    """The batch of an input's rows that begins at `start`."""
    parts = tuple(array[start : start + BATCH] for array in arrays_of(rows))
    return parts if isinstance(rows, tuple) else parts[0]


def _correct(task: Task, test: TestSet, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    everything = {name: np.ones(test.count, bool) for name in test.labels}
    truth = task.posterior(test.labels, everything)
    return np.asarray(scores.argmax(axis=1) == truth.argmax(axis=1))


def _subsets(infer: Infer, task: Task, test: TestSet) -> tuple[tuple[SubsetResult, ...], float]:
    """Every subset but none and all, and the late fusion (product of probabilities) of the unimodal answers."""
    names = tuple(test.inputs)
    results = []
    late = np.zeros((test.count, len(task.answers)))
    for size in range(len(names) - 1, 0, -1):
        for present in itertools.combinations(names, size):
            scores = _scores(infer, test.inputs, present)
            results.append(SubsetResult(present, float(_correct(task, test, scores).mean()), ceiling(task, present)))
            if size == 1:
                late += _log_softmax(scores)
    return tuple(results), float(_correct(task, test, late).mean())


def _groups(task: Task, test: TestSet, correct: NDArray[np.bool_]) -> tuple[GroupResult, ...]:
    if not test.groups:
        return ()
    lines = np.array(test.groups)
    best = {}
    for missing in test.labels:
        presence = {name: np.full(test.count, name != missing) for name in test.labels}
        best[missing] = task.posterior(test.labels, presence).max(axis=1)
    results = []
    for line in dict.fromkeys(sorted(test.groups)):
        rows = lines == line
        without = {name: float(values[rows].mean()) for name, values in best.items()}
        results.append(GroupResult(line, int(rows.sum()), float(correct[rows].mean()), without))
    return tuple(results)


def _absence(infer: Infer, task: Task, test: TestSet, ignored: str) -> AbsenceResult:
    others = tuple(name for name in test.inputs if name != ignored)
    scores, without = _scores(infer, test.inputs, tuple(test.inputs)), _scores(infer, test.inputs, others)
    return AbsenceResult(
        name=test.name,
        title=test.title,
        ignored=ignored,
        count=test.count,
        agreement=float((scores.argmax(1) == without.argmax(1)).mean()),
        accuracy=float(_correct(task, test, scores).mean()),
        without=float(_correct(task, test, without).mean()),
        ceiling=ceiling(task, others),
    )


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _lines(evaluation: Evaluation) -> Iterator[str]:
    """The printed form: sets, the first set's table, subsets, empty inputs, late fusion."""
    yield f"{'all inputs':<44}{'rows':>6}{'accuracy':>10}{'minimum':>9}"
    for result in evaluation.sets:
        minimum = "-" if result.minimum is None else f"{result.minimum:.2f}"
        yield f"  {result.title:<42}{result.count:>6}{result.accuracy:>10.3f}{minimum:>9}{_verdict(result.passed)}"
    for missing in evaluation.skipped:
        yield f"  {missing.title:<42}   not measured: {missing.reason}"
    for result in evaluation.sets[:1]:
        names = list(result.groups[0].without) if result.groups else []
        yield ""
        yield f"{result.title:<44}{'rows':>6}{'accuracy':>10}" + "".join(f"  best without {name}" for name in names)
        for group in result.groups:
            best = "".join(f"{group.without[name]:>{len(name) + 15}.2f}" for name in names)
            yield f"  {group.name:<42}{group.count:>6}{group.accuracy:>10.3f}{best}"
    yield ""
    yield f"{'only these inputs':<50}{'accuracy':>10}{'best possible':>15}"
    for subset in evaluation.subsets:
        title = " + ".join(subset.inputs)
        yield f"  {title:<48}{subset.accuracy:>10.3f}{subset.ceiling:>15.3f}{_verdict(subset.passed)}"
    if evaluation.absences:
        yield ""
        yield f"{'an input that carries nothing':<50}{'accuracy':>10}{'left out':>10}{'best':>7}{'agree':>8}"
    for absence in evaluation.absences:
        numbers = f"{absence.accuracy:>10.3f}{absence.without:>10.3f}{absence.ceiling:>7.3f}{absence.agreement:>8.3f}"
        yield f"  {absence.title:<48}{numbers}{_verdict(absence.passed)}"
    yield ""
    yield (
        f"late fusion of unimodal answers: {evaluation.late_fusion:.3f}, {100 * evaluation.late_fusion_gap:.0f} points "
        f"below joint fusion{_verdict(evaluation.late_fusion_gap >= LATE_FUSION_GAP)}"
    )


def _verdict(passed: bool) -> str:
    return "" if passed else "   BELOW"
