"""What every kind of input has without saying anything, and the one wording of what does not fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edgemm.errors import InputError, SpecError
from edgemm.inputs.kind import Feed, InputKind, check_choice, check_positive, not_this, random_tensor
from edgemm.tensors import BATCH, TensorSpec


@dataclass(frozen=True)
class Plain(InputKind):
    kind = "plain"
    size: int = 2
    fit: str = "crop"

    @property
    def tensors(self):
        return (TensorSpec("x", "float32", (BATCH, self.size)),)

    def convert(self, raw):
        if raw is None:
            raise InputError("nothing")
        return (np.asarray(raw, np.float32)[np.newaxis],)


class Twin(Plain):
    @property
    def tensors(self):
        return (*super().tensors, TensorSpec("mask", "bool", (BATCH, self.size)))


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def test_a_kind_is_its_own_modality_runs_on_arrival_and_waits_for_eight():
    assert (Plain().modality, Plain.trigger, Plain.live_packets, Plain().period_ms) == ("plain", "arrival", 8, 33)


def test_a_kind_must_say_what_its_tensors_are_and_how_they_are_made():
    with pytest.raises(NotImplementedError):
        InputKind().tensors
    with pytest.raises(NotImplementedError):
        InputKind().convert(1)


def test_a_feed_converts_each_value_at_its_own_time():
    feed = Plain().open_feed()
    ((tensors, at_ns),) = feed.push([1, 2], 7)
    assert (tensors[0].tolist(), at_ns, feed.borrowed) == ([[1, 2]], 7, False)
    with pytest.raises(InputError, match="nothing"):
        feed.push(None, 8)
    assert feed.reset() is None
    assert type(feed) is Feed


def test_random_tensors_are_legal_and_differ(generator):
    (one,) = Plain(50).draw(3, generator)
    assert (one.shape, one.dtype) == ((3, 50), np.float32)
    assert -1 <= one.min() < -0.8
    assert 0.8 < one.max() <= 1
    assert [array.dtype for array in Twin().draw(1, generator)] == [np.float32, bool]


@pytest.mark.parametrize(
    ("dtype", "most"), [("uint8", 127), ("int8", 127), ("int32", 127), ("int64", 127), ("bool", 1)]
)
def test_random_whole_numbers_stay_below_128_and_bools_are_both(dtype, most, generator):
    array = random_tensor(TensorSpec("x", dtype, (BATCH, 2000)), 2, generator)
    assert (array.shape, array.dtype) == ((2, 2000), dtype)
    assert (array.min(), array.max()) == (0, most)
    assert 0.45 * most < array.mean() < 0.55 * most


def test_an_example_is_a_value_without_its_batch_axis_one_per_tensor(generator):
    assert Plain().example(generator).shape == (2,)
    assert [part.shape for part in Twin().example(generator)] == [(2,), (2,)]


def test_a_network_is_given_the_tensors_as_they_are():
    assert Plain().prepared("x") == "x"
    assert Plain().prepared("x", "mask") == ("x", "mask")


def test_rows_of_a_calibration_file_are_raw_values():
    assert [row.tolist() for row in Plain().raw_rows(np.array([[1, 2], [3, 4]]))] == [[1, 2], [3, 4]]


def test_a_line_for_people_names_the_tensors():
    assert Twin().describe() == "float32 [batch, 2], bool [batch, 2]"


@pytest.mark.parametrize(
    ("raw", "got"),
    [(np.zeros((2, 3), np.uint8), r"uint8 \[2, 3\]"), ("text", "str"), (None, "NoneType"), (np.float32, "type")],
)
def test_what_does_not_fit_is_told_by_type_or_by_dtype_and_shape(raw, got):
    assert isinstance(not_this("a frame", raw), InputError)
    with pytest.raises(InputError, match=f"^expected a frame; got {got}$"):
        raise not_this("a frame", raw)


@pytest.mark.parametrize("wrong", [0, -1, 1.0, True, "1", None])
def test_sizes_are_whole_numbers_of_at_least_one(wrong):
    with pytest.raises(SpecError, match=r"^plain input: size must be a whole number of at least 1, got "):
        check_positive(Plain(size=wrong), "size")


def test_sizes_that_can_be_are_taken():
    check_positive(Plain(size=1), "size")
    check_positive(Plain(size=2**31 - 1), "size")


def test_sizes_that_no_library_could_take_are_refused():
    with pytest.raises(SpecError, match="plain input: size must be at most 2147483647, got 2147483648"):
        check_positive(Plain(size=2**31), "size")


def test_every_size_that_is_named_is_looked_at():
    with pytest.raises(SpecError, match="fit must be a whole number"):
        check_positive(Plain(), "size", "fit")


def test_a_choice_is_one_of_those_that_are_told():
    check_choice(Plain(fit="stretch"), "fit", ("crop", "letterbox", "stretch"))
    with pytest.raises(SpecError, match=r"^plain input: fit must be crop, letterbox or stretch, got 'zoom'$"):
        check_choice(Plain(fit="zoom"), "fit", ("crop", "letterbox", "stretch"))
