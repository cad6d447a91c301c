"""Where a runner has no `bind` of its own, `PlainBound` serves it; values of the host."""

from __future__ import annotations

import numpy as np
import pytest

from edgemm.runners.values import HOST, HostValue, PlainBound, bind, is_finite, is_sum_finite
from edgemm.tensors import TensorSpec


class Repeat:
    """y = x as many times as its first number says: an output whose length changes. z = x."""

    inputs = (TensorSpec("x", "float32", ("batch", 2)),)
    outputs = (TensorSpec("y", "float32", ("batch", "time")), TensorSpec("z", "float32", ("batch", 2)))

    def __init__(self):
        self.given = []

    def run(self, feeds):
        self.given.append(feeds["x"])
        return [np.repeat(feeds["x"], int(feeds["x"][0, 0]), axis=1), feeds["x"]]


def test_a_runner_without_bind_is_bound_by_feeding_it():
    bound = bind(Repeat(), 3)
    assert isinstance(bound, PlainBound)
    outputs = bound.new_outputs()
    assert [value.array.shape for value in outputs] == [(3, 1), (3, 2)]
    assert {value.memory for value in outputs} == {HOST}
    assert bound.copied_bytes == {"up": 0, "down": 0}


def test_a_runners_own_way_of_being_bound_is_taken():
    runner = Repeat()
    runner.bind = lambda batch: ("its own", batch)
    assert bind(runner, 2) == ("its own", 2)


def test_outputs_of_fixed_shape_stay_where_they_are_and_others_move():
    bound = bind(Repeat())
    moving, fixed = outputs = bound.new_outputs()
    x = np.array([[2, 5]], np.float32)
    bound.feed("x", x)
    bound.run(outputs)
    array = fixed.array
    assert moving.array.tolist() == [[2, 2, 5, 5]]
    x[:] = [[1, 7]]
    bound.run(outputs)
    assert moving.array.tolist() == [[1, 7]]
    assert fixed.array is array
    assert array.tolist() == [[1, 7]]
    assert (fixed.fixed, moving.fixed) == (True, False)


def test_what_is_linked_is_looked_at_at_every_run():
    runner = Repeat()
    bound, value = bind(runner), HostValue(np.ones((1, 2), np.float32), fixed=False)
    bound.link("x", value)
    bound.run(bound.new_outputs())
    value.array = np.full((1, 2), 2, np.float32)
    bound.run(bound.new_outputs())
    assert [given.tolist() for given in runner.given] == [[[1, 1]], [[2, 2]]]


def test_feeding_an_input_ends_its_link_and_linking_it_its_feed():
    runner = Repeat()
    bound, value = bind(runner), HostValue(np.ones((1, 2), np.float32))
    bound.link("x", value)
    bound.feed("x", np.full((1, 2), 2, np.float32))
    bound.run(bound.new_outputs())
    bound.link("x", value)
    bound.run(bound.new_outputs())
    assert [given[0, 0] for given in runner.given] == [2, 1]


def test_host_values_are_set_by_rows_and_cleared():
    for fixed in (True, False):
        value = HostValue(np.zeros((1, 2), np.float32), fixed=fixed)
        row = np.array([3, 4], np.float32)
        value.put(row)
        row[:] = 0
        assert value.array.tolist() == [[3, 4]], "a copy"
        value.clear()
        assert value.array.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("numbers", "finite"),
    [
        ([1.0, -2.0], True),
        ([1.7e308, 1.7e308], True),  # their sum is not
        ([1.7e308, 1.7e308, np.nan], False),
        ([np.inf, 1.0], False),
        ([np.inf, -np.inf], False),  # their sum cannot be told
        ([np.nan], False),
    ],
)
def test_whether_numbers_are_finite_is_told_by_their_sum_or_one_by_one(numbers, finite):
    array = np.array(numbers)
    assert is_sum_finite(memoryview(array)) is finite
    assert is_finite(array) is finite
