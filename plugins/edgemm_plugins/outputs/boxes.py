"""Boxes with scores, as detectors say them: what is likely enough is kept, and of boxes that overlap the likeliest.

Suppression is greedy, class by class, in numpy, for graphs that have none: NonMaxSuppression in a graph has outputs whose shapes depend on data,
which engines cannot have. Source: Felzenszwalb et al., Object Detection with Discriminatively Trained Part Based Models (2010), section 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from edgemm.errors import SpecError
from edgemm.outputs.kind import OutputKind
from edgemm.tensors import TensorSpec

FORMATS = ("xyxy", "cxcywh")
_AGREEING_IOU = 0.5
_MARGIN = 0.1  # a score this close to the threshold may fall on either side of it in another precision
_CANDIDATES = 1000  # the likeliest boxes that suppression looks at: its cost grows with their square


class Box(NamedTuple):
    """One thing that was found.

    Attributes:
        corners: x0, y0, x1, y1, in the network's coordinates.
        score: as the network has it.
        label: its class's name, or number; "" where there are no classes.
    """

    corners: tuple[float, float, float, float]
    score: float
    label: str


@dataclass(frozen=True)
class Detections:
    """Everything that was found, likeliest first.

    Attributes:
        boxes: float32 `(n, 4)`: x0, y0, x1, y1.
        scores: float32 `(n,)`.
        classes: int64 `(n,)`; all 0 where there are none.
        labels: name of each class, or ().
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Box]:
        for corners, score, index in zip(self.boxes.tolist(), self.scores.tolist(), self.classes.tolist(), strict=True):
            yield Box(tuple(corners), score, self._label(index))

    def _label(self, index: int) -> str:
        return self.labels[index] if 0 <= index < len(self.labels) else f"class {index}" if self.labels else ""


@dataclass(frozen=True)
class Boxes(OutputKind):
    """Boxes `(batch, N, 4)` and scores `(batch, N)`, or `(batch, N, C)` with one per class; N is fixed.

    Attributes:
        labels: a name for each class; () where there is only one kind of thing.
        format: of the boxes: `xyxy`, two corners, or `cxcywh`, centre and size.
        score_threshold: what is less likely is left out. Scores are read as they are: a sigmoid or softmax belongs in the graph.
        nms_iou: of two boxes of one class that overlap more than this, the less likely is left out; 1 where the graph has done so.
        classes: whether the graph gives a third tensor, the class of each box `(batch, N)`, whole numbers.
        limit: the likeliest that are kept, at most.
    """

    kind: ClassVar[str] = "boxes"
    labels: tuple[str, ...] = ()
    format: str = "xyxy"
    score_threshold: float = 0.25
    nms_iou: float = 0.5
    classes: bool = False
    limit: int = 100

    def __post_init__(self) -> None:
        labels = tuple(self.labels) if isinstance(self.labels, (tuple, list)) else None
        if labels is None or not all(isinstance(label, str) for label in labels):
            raise SpecError(f"boxes output: labels must be a list of names, got {self.labels!r}")
        object.__setattr__(self, "labels", labels)
        if self.format not in FORMATS:
            raise SpecError(f"boxes output: format must be {' or '.join(FORMATS)}, got {self.format!r}")
        for name in ("score_threshold", "nms_iou"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
                raise SpecError(f"boxes output: {name} must be a number from 0 to 1, got {value!r}")
            object.__setattr__(self, name, float(value))
        if not isinstance(self.classes, bool):
            raise SpecError(f"boxes output: classes must be true or false, got {self.classes!r}")
        if not isinstance(self.limit, int) or isinstance(self.limit, bool) or self.limit < 1:
            raise SpecError(f"boxes output: limit must be a whole number of at least 1, got {self.limit!r}")

    @property
    def tensors(self) -> tuple[str, ...]:
        """Boxes, scores, and their classes where the graph gives them."""
        return ("boxes", "scores", "classes") if self.classes else ("boxes", "scores")

    def check(self, specs: Mapping[str, TensorSpec]) -> str:
        """Boxes have four numbers, scores are theirs, and every class has a name."""
        boxes, scores = specs["boxes"], specs["scores"]
        if len(boxes.shape) != 3 or boxes.shape[2] != 4:
            return f"boxes must be (batch, N, 4), they are {boxes}"
        if len(scores.shape) not in ((2,) if self.classes else (2, 3)) or scores.shape[1] != boxes.shape[1]:
            wanted = f"(batch, {boxes.shape[1]})"
            return f"scores must be {wanted}{'' if self.classes else f' or {wanted[:-1]}, classes)'}, they are {scores}"
        wrong = [name for name in ("boxes", "scores") if not specs[name].dtype.startswith("float")]
        if wrong:
            return f"{wrong[0]} must be floats, they are {specs[wrong[0]]}"
        if len(scores.shape) == 3 and self.labels and scores.shape[2] != len(self.labels):
            return f"it has {len(self.labels)} labels, but its scores are {scores}"
        if self.classes and (specs["classes"].shape != scores.shape or "int" not in specs["classes"].dtype):
            return f"classes must be whole numbers, one for each score ({scores}), they are {specs['classes']}"
        return ""

    def read(self, tensors: Mapping[str, np.ndarray]) -> Detections:
        """What is likely enough, without what overlaps something likelier."""
        return self._kept(tensors, self.score_threshold)

    def show(self, value: Detections) -> str:
        """How many, and the likeliest three."""
        count = len(value)
        best = [f"{box.label or 'box'} ({box.score:.2f})" for box, _ in zip(value, range(3), strict=False)]
        more = " …" if count > len(best) else ""
        return f"{count} box{'' if count == 1 else 'es'}{': ' if best else ''}{', '.join(best)}{more}"

    def to_json(self, value: Detections) -> Any:
        """Corners, score, and label where there is one."""
        return {
            "boxes": [
                {
                    "box": [round(x, 4) for x in box.corners],
                    "score": round(box.score, 4),
                    **({"label": box.label} if box.label else {}),
                }
                for box in value
            ]
        }

    def agreement(self, reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> np.ndarray:
        """Row by row, whether both find the same: each box that one keeps overlaps one of its class that the other keeps, by half.

        A box whose score is near the threshold may be kept by one of them only.
        """
        rows = range(len(reference["scores"]))
        return np.array(
            [self._row_agrees(*({n: a[row] for n, a in each.items()} for each in (reference, other))) for row in rows],
            bool,
        )

    def _row_agrees(self, reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
        for here, there in ((reference, other), (other, reference)):
            sure = self._kept(here, min(1.0, self.score_threshold + _MARGIN))
            possible = self._kept(there, max(0.0, self.score_threshold - _MARGIN))
            same = sure.classes[:, np.newaxis] == possible.classes[np.newaxis]
            if not ((_iou(sure.boxes, possible.boxes) >= _AGREEING_IOU) & same).any(axis=1).all():
                return False
        return True

    def _kept(self, tensors: Mapping[str, np.ndarray], threshold: float) -> Detections:
        scores = tensors["scores"].astype(np.float32, copy=False)
        if scores.ndim == 2:
            classes = scores.argmax(axis=1)
            scores = scores.max(axis=1)
        else:
            classes = tensors["classes"] if self.classes else np.zeros(len(scores), np.int64)
        candidates = np.flatnonzero(scores >= threshold)
        candidates = candidates[np.argsort(-scores[candidates], kind="stable")][:_CANDIDATES]
        boxes = _corners(tensors["boxes"][candidates].astype(np.float32), self.format)
        scores, classes = scores[candidates], classes[candidates].astype(np.int64)
        kept = (_likeliest(boxes, classes, self.nms_iou) if self.nms_iou < 1 else np.arange(len(boxes)))[: self.limit]
        return Detections(boxes[kept], scores[kept], classes[kept], self.labels)


def _corners(boxes: np.ndarray, format: str) -> np.ndarray:
    """`(n, 4)` of either format as x0, y0, x1, y1."""
    if format == "xyxy":
        return boxes
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _likeliest(boxes: np.ndarray, classes: np.ndarray, most_iou: float) -> np.ndarray:
    """Indices of what greedy suppression keeps of boxes that are sorted by score."""
    overlap = (_iou(boxes, boxes) > most_iou) & (classes[:, np.newaxis] == classes[np.newaxis])
    kept = np.ones(len(boxes), bool)
    for index in range(len(boxes)):
        if kept[index]:
            kept[index + 1 :] &= ~overlap[index, index + 1 :]
    return np.flatnonzero(kept)


def _iou(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Intersection over union `(n, m)` of boxes `(n, 4)` and `(m, 4)`; 0 where neither has an area, but 1 of a box with itself."""
    low = np.maximum(left[:, np.newaxis, :2], right[np.newaxis, :, :2])
    high = np.minimum(left[:, np.newaxis, 2:], right[np.newaxis, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (left, right)]
    union = areas[0][:, np.newaxis] + areas[1][np.newaxis] - shared
    same = (left[:, np.newaxis] == right[np.newaxis]).all(axis=2)
    overlap: np.ndarray = np.divide(shared, union, out=same.astype(np.float32), where=union > 0)
    return overlap
