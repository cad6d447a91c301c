"""Frames of any size to the model's: what is kept, where it lies, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from edgemm.errors import InputError
from edgemm_plugins.inputs.image import Image, resize


def rows(*levels, width=2):
    """A frame whose rows have these levels."""
    return np.repeat(np.array(levels, np.uint8), width * 3).reshape(len(levels), width, 3)


def columns(*levels, height=2):
    return np.ascontiguousarray(rows(*levels, width=height).transpose(1, 0, 2))


def fitted(kind, frame):
    """The first channel of what a kind makes of a frame."""
    (tensor,) = kind.convert(frame)
    assert tensor.shape == (1, kind.height, kind.width, 3)
    return tensor[0, :, :, 0]


@pytest.mark.parametrize(
    ("levels", "kept"), [((10, 20, 30, 40), [20, 30]), ((10, 20, 30, 40, 50), [20, 30]), ((10, 20, 30), [10, 20])]
)
def test_a_crop_keeps_the_centre(levels, kept):
    assert fitted(Image(2, 2), rows(*levels))[:, 0].tolist() == kept
    assert fitted(Image(2, 2), columns(*levels))[0].tolist() == kept


def test_a_crop_keeps_the_models_aspect():
    frame = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(fitted(Image(2, 4), frame), resize(frame[2:6], 2, 4)[:, :, 0])
    np.testing.assert_array_equal(fitted(Image(4, 2), frame), resize(frame[:, 2:6], 4, 2)[:, :, 0])


@pytest.mark.parametrize(("size", "line"), [(4, [0, 9, 9, 0]), (6, [0, 9, 9, 9, 0, 0]), (8, [0, 0, 9, 9, 9, 9, 0, 0])])
def test_a_letterbox_is_black_around_the_whole_frame(size, line):
    kind = Image(size, size, "letterbox")
    wide, tall = fitted(kind, rows(9, 9, width=4)), fitted(kind, columns(9, 9, height=4))
    assert wide.tolist() == np.repeat([line], size, axis=0).T.tolist()
    assert tall.tolist() == np.repeat([line], size, axis=0).tolist()


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("shape", [(1, 100, 3), (100, 1, 3), (1, 1, 3)])
@pytest.mark.parametrize(("height", "width"), [(10, 10), (1, 40), (40, 1)])
def test_of_every_frame_something_is_left(fit, shape, height, width):
    assert fitted(Image(height, width, fit), np.full(shape, 200, np.uint8)).max() == 200


@pytest.mark.parametrize(("height", "width"), [(20, 13), (3, 30), (30, 3), (9, 7), (7, 4)])
def test_resizing_is_what_pillow_does_up_and_down(height, width):
    pillow = pytest.importorskip("PIL.Image")
    frame = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    expected = np.asarray(pillow.fromarray(frame).resize((width, height), pillow.Resampling.BILINEAR))
    assert np.abs(resize(frame, height, width).astype(int) - expected).max() <= 1


def test_a_frame_of_one_right_side_is_resized_along_the_other():
    assert resize(rows(0, 100, width=4), 2, 2).shape == (2, 2, 3)
    assert resize(columns(0, 100, height=4), 2, 2).shape == (2, 2, 3)


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
def test_a_frame_of_the_right_size_is_fitted_by_looking_at_it(fit):
    frame = np.zeros((4, 6, 3), np.uint8)
    assert np.shares_memory(Image(4, 6, fit).fitted(frame), frame)
    assert resize(frame, 4, 6) is frame


def test_a_frame_that_is_resized_lies_in_one_piece():
    assert resize(rows(0, 100, width=4), 3, 5).flags.c_contiguous


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 6, 3)),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((4, 6, 1), np.uint8),
        np.zeros((1, 4, 6, 3), np.uint8),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        np.zeros((0, 6), np.uint8),
        np.zeros(3, np.uint8),
        [[0, 0, 0]],
        None,
    ],
)
@pytest.mark.parametrize("fit", ["crop", "letterbox"])
def test_what_is_no_frame_is_refused(wrong, fit):
    with pytest.raises(InputError, match="expected a frame as a numpy array, uint8 RGB"):
        Image(4, 6, fit).convert(wrong)


def test_a_frame_of_another_type_with_the_right_size_is_refused():
    with pytest.raises(InputError, match=r"got int8 \[4, 6, 3\]"):
        Image(4, 6).convert(np.zeros((4, 6, 3), np.int8))
