"""What windows on edges forget, and what they keep in its place."""

from __future__ import annotations

import numpy as np
from tiny import MS, Stream

from edgemm_plugins.inputs.tensor import Tensor


def total(**feeds):
    return sum(array.sum() for array in feeds.values())


def past(reach="3, 20"):
    return Stream({"say": (total, {"x": f"input.a[{reach}]"})})


def fed_after(stream, *times_ms):
    for ms in times_ms:
        stream.push("a", ms, ms)
    return stream.fed("say")[-1]["x"]


def test_what_becomes_too_old_at_once_is_forgotten_and_nothing_else():
    assert fed_after(past(), 1, 2, 30) == [0, 0, 30]


def test_a_window_that_went_round_forgets_its_oldest():
    assert fed_after(past(), 1, 2, 13, 15, 34) == [0, 15, 34]


def test_a_window_that_was_reset_forgets_its_oldest():
    stream = past()
    stream.push("a", 1, 1)
    stream.live.reset("a")
    assert fed_after(stream, 100, 110, 121) == [0, 110, 121]


def test_what_has_become_too_old_stays_forgotten_also_for_who_looks_back():
    reads = {"x": "input.a[2, 20]", "m": "input.a[2, 20].mask", "z": "input.b", "w": "input.c"}
    stream = Stream({"say": (total, reads)})
    for name, ms in (("a", 0), ("c", 1), ("b", 30)):
        stream.push(name, 7, ms)
    assert stream.fed("say") == [], "too old"
    stream.push("c", 7, 5)
    assert stream.fed("say") == [{"x": [0, 0], "m": [False, False], "z": [7], "w": [7]}]


def test_what_was_captured_after_now_has_no_age_in_a_window():
    stream = Stream({"say": (total, {"g": "input.a[2].age", "z": "input.b"})})
    stream.push("a", 1, 1000)
    stream.push("b", 1, 5)
    assert stream.fed("say") == [{"g": [0, 0], "z": [1]}]


def test_values_in_a_window_keep_their_shape():
    stream, shapes = Stream({"say": (total, {"x": "input.a[3]"})}, inputs={"a": Tensor((2, 4))}), []
    run = stream.runners["say"].run
    stream.runners["say"].run = lambda feeds: shapes.append(feeds["x"].shape) or run(feeds)
    stream.live.push("a", np.ones((2, 4), np.float32), 1 * MS)
    assert shapes == [(1, 3, 2, 4)]
