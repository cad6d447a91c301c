"""Boxes with scores: what is kept, and when two sets of them say the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgemm.errors import SpecError
from edgemm.tensors import TensorSpec
from edgemm_plugins.outputs.boxes import Boxes

A, NEAR_A, B = (0, 0, 10, 10), (1, 0, 11, 10), (20, 20, 30, 40)  # the first two share 90 of 110


def tensors(*boxes):
    """What a graph gives, without the batch axis: (corners, score) or (corners, score, class) each."""
    found = {
        "boxes": np.array([box[0] for box in boxes], np.float32).reshape(-1, 4),
        "scores": np.array([box[1] for box in boxes], np.float32),
    }
    return found | ({"classes": np.array([box[2] for box in boxes])} if boxes and len(boxes[0]) > 2 else {})


def kept(kind, *boxes):
    return [(tuple(map(round, box.corners)), round(box.score, 3)) for box in kind.read(tensors(*boxes))]


def test_what_is_likely_enough_is_kept_likeliest_first():
    assert kept(Boxes(score_threshold=0.5), (A, 0.5), (B, 0.9), (A, 0.49)) == [(B, 0.9), (A, 0.5)]


def test_of_boxes_that_overlap_the_likeliest_is_kept():
    assert kept(Boxes(nms_iou=0.5), (NEAR_A, 0.6), (A, 0.9), (B, 0.3)) == [(A, 0.9), (B, 0.3)]
    assert kept(Boxes(nms_iou=0.82), (NEAR_A, 0.6), (A, 0.9)) == [(A, 0.9), (NEAR_A, 0.6)]


def test_what_was_left_out_leaves_nothing_out():
    chain = [((x, 0, x + 10, 10), 0.9 - x / 100) for x in (0, 3, 6)]  # each overlaps the next by 7 of 13
    assert [box[0][0] for box in kept(Boxes(nms_iou=0.5), *chain)] == [0, 6]


def test_boxes_of_other_classes_do_not_leave_each_other_out():
    value = Boxes(("cat", "dog"), classes=True).read(tensors((A, 0.9, 0), (NEAR_A, 0.8, 1), (A, 0.7, 1)))
    assert [box.label for box in value] == ["cat", "dog"]
    assert value.classes.tolist() == [0, 1]


def test_a_graph_that_has_suppressed_already_is_taken_as_it_is():
    assert len(kept(Boxes(nms_iou=1), (A, 0.9), (A, 0.8))) == 2


def test_no_more_than_the_limit_are_kept():
    assert kept(Boxes(limit=1), (A, 0.8), (B, 0.9)) == [(B, 0.9)]


def test_suppression_looks_at_the_likeliest_thousand():
    far_apart = [((20 * x, 0, 20 * x + 10, 10), 0.9 - x / 10_000) for x in range(1005)]
    found = kept(Boxes(limit=5000), *far_apart)
    assert (len(found), found[-1][0][0]) == (1000, 20 * 999)


def test_with_a_score_per_class_the_likeliest_class_counts():
    scores = np.array([[0.1, 0.7], [0.6, 0.2]], np.float32)
    value = Boxes(("cat", "dog")).read({"boxes": np.array([A, B], np.float32), "scores": scores})
    assert [(box.label, round(box.score, 1)) for box in value] == [("dog", 0.7), ("cat", 0.6)]


def test_a_centre_and_a_size_are_two_corners():
    assert kept(Boxes(format="cxcywh"), ((25, 30, 10, 20), 0.9)) == [(B, 0.9)]


def test_boxes_without_an_area_do_not_leave_each_other_out():
    assert len(kept(Boxes(nms_iou=0.1), ((5, 5, 5, 5), 0.9), ((5, 5, 5, 9), 0.8))) == 2


def test_finding_nothing_is_an_answer():
    value = Boxes().read(tensors((A, 0.1)))
    assert len(value) == 0
    assert Boxes().show(value) == "0 boxes"
    assert Boxes().to_json(value) == {"boxes": []}


def test_it_is_shown_and_written():
    kind = Boxes(("cat", "dog"), classes=True)
    value = kind.read(tensors((A, 0.9, 0), (B, 0.8, 1), ((50, 0, 60, 10), 0.7, 5), ((70, 0, 80, 10), 0.6, 1)))
    assert kind.show(value) == "4 boxes: cat (0.90), dog (0.80), class 5 (0.70) …"
    assert json.loads(json.dumps(kind.to_json(value)))["boxes"][1] == {
        "box": [20.0, 20.0, 30.0, 40.0],
        "score": 0.8,
        "label": "dog",
    }
    alone = Boxes()
    value = alone.read(tensors((A, 0.9)))
    assert alone.show(value) == "1 box: box (0.90)"
    assert alone.to_json(value) == {"boxes": [{"box": [0.0, 0.0, 10.0, 10.0], "score": 0.9}]}


def agree(left, right, kind=Boxes()):
    return kind.agreement(*({n: a[np.newaxis] for n, a in tensors(*boxes).items()} for boxes in (left, right))).tolist()


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ([(A, 0.9)], [(NEAR_A, 0.8)], True),
        ([(A, 0.9)], [(B, 0.9)], False),
        ([(A, 0.9), (B, 0.9)], [(A, 0.9), (B, 0.1)], False),
        ([(A, 0.9), (B, 0.34)], [(A, 0.9), (B, 0.2)], True),
        ([(A, 0.9), (B, 0.2)], [(A, 0.9), (B, 0.34)], True),
        ([(A, 0.9), (B, 0.36)], [(A, 0.9), (B, 0.1)], False),
        ([(A, 0.1)], [(B, 0.1)], True),
        ([(A, 0.9, 0)], [(A, 0.9, 0)], True),
        ([((5, 5, 5, 5), 0.9)], [((5, 5, 5, 5), 0.9)], True),
    ],
)
def test_two_answers_agree_when_what_they_keep_overlaps(left, right, same):
    assert agree(left, right) == agree(right, left) == [same]


def test_answers_of_other_classes_do_not_agree():
    kind = Boxes(("cat", "dog"), classes=True)
    assert agree([(A, 0.9, 0)], [(A, 0.9, 1)], kind) == [False]


def test_rows_are_compared_one_by_one():
    boxes = np.array([[A], [A]], np.float32)
    left = {"boxes": boxes, "scores": np.array([[0.9], [0.9]], np.float32)}
    right = {"boxes": boxes, "scores": np.array([[0.9], [0.0]], np.float32)}
    assert Boxes().agreement(left, right).tolist() == [True, False]


def specs(boxes=("batch", 8, 4), scores=("batch", 8), classes=None, dtype="float32", class_dtype="int64"):
    found = {"boxes": TensorSpec("boxes", dtype, boxes), "scores": TensorSpec("scores", "float32", scores)}
    return found | ({} if classes is None else {"classes": TensorSpec("classes", class_dtype, classes)})


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        (Boxes(), specs(), ""),
        (Boxes(("a", "b")), specs(scores=("batch", 8, 2)), ""),
        (Boxes(classes=True), specs(classes=("batch", 8)), ""),
        (Boxes(classes=True), specs(classes=("batch", 8), class_dtype="int32"), ""),
        (Boxes(), specs(boxes=("batch", 8, 5)), "boxes must be (batch, N, 4), they are float32 [batch, 8, 5]"),
        (Boxes(), specs(boxes=("batch", 4)), "boxes must be (batch, N, 4), they are float32 [batch, 4]"),
        (Boxes(), specs(dtype="int32"), "boxes must be floats, they are int32 [batch, 8, 4]"),
        (
            Boxes(),
            specs(scores=("batch", 7)),
            "scores must be (batch, 8) or (batch, 8, classes), they are float32 [batch, 7]",
        ),
        (
            Boxes(),
            specs(scores=("batch",)),
            "scores must be (batch, 8) or (batch, 8, classes), they are float32 [batch]",
        ),
        (Boxes(("a",)), specs(scores=("batch", 8, 2)), "it has 1 labels, but its scores are float32 [batch, 8, 2]"),
        (
            Boxes(classes=True),
            specs(scores=("batch", 8, 2), classes=("batch", 8)),
            "scores must be (batch, 8), they are float32 [batch, 8, 2]",
        ),
        (
            Boxes(classes=True),
            specs(classes=("batch", 8), class_dtype="float32"),
            "classes must be whole numbers, one for each score (float32 [batch, 8]), they are float32 [batch, 8]",
        ),
        (
            Boxes(classes=True),
            specs(classes=("batch", 7)),
            "classes must be whole numbers, one for each score (float32 [batch, 8]), they are int64 [batch, 7]",
        ),
    ],
)
def test_tensors_must_be_boxes(kind, given, problem):
    assert tuple(given) == kind.tensors
    assert kind.check(given) == problem


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": "cat"}, "labels must be a list of names"),
        ({"labels": (1,)}, "labels must be a list of names"),
        ({"format": "xywh"}, "format must be xyxy or cxcywh, got 'xywh'"),
        ({"score_threshold": 2}, "score_threshold must be a number from 0 to 1"),
        ({"nms_iou": -1}, "nms_iou must be a number from 0 to 1"),
        ({"nms_iou": True}, "nms_iou must be a number from 0 to 1"),
        ({"classes": 1}, "classes must be true or false"),
        ({"limit": 0}, "limit must be a whole number"),
    ],
)
def test_what_cannot_be_declared(wrong, message):
    with pytest.raises(SpecError, match=message):
        Boxes(**wrong)
