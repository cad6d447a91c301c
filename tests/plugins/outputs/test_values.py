"""Numbers with names and units."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgemm.errors import SpecError, UnknownNameError
from edgemm.tensors import TensorSpec
from edgemm_plugins.outputs.values import Values

KIND = Values(("speed", "angle"), units=("m/s", ""), scale=(2.0, 180.0), offset=1.0)


def read(kind, *numbers):
    return kind.read({"value": np.array(numbers, np.float32)})


def test_numbers_are_scaled_and_named():
    value = read(KIND, 1.5, -0.5)
    assert value.names == ("speed", "angle")
    assert (value["speed"], value["angle"]) == (4.0, -89.0)
    assert value.units == ("m/s", "")


def test_whole_numbers_are_read_too():
    assert Values(("count",)).read({"value": np.array([3], np.int64)})["count"] == 3.0


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="unknown value 'sped'; did you mean 'speed'"):
        read(KIND, 0, 0)["sped"]


def test_it_is_shown_with_units_and_written_with_those_it_has():
    value = read(KIND, 1.11111, -0.5)
    assert KIND.show(value) == "speed 3.222 m/s, angle -89"
    assert json.loads(json.dumps(KIND.to_json(value))) == {
        "speed": {"value": 3.22222, "unit": "m/s"},
        "angle": {"value": -89.0},
    }


def test_one_unit_scale_and_offset_may_serve_all():
    assert Values(("a", "b"), "V", 2, 1) == Values(("a", "b"), ("V", "V"), (2.0, 2.0), (1.0, 1.0))
    assert Values(("a", "b")) == Values(("a", "b"), ("", ""), (1.0, 1.0), (0.0, 0.0))


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (("float32", ("batch", 2)), ""),
        (("int64", ("batch", 2)), ""),
        (("float32", ("batch", "n")), ""),
        (("float32", ("batch", 3)), "it has 2 names (speed, angle), but its values are float32 [batch, 3]"),
        (("float32", ("batch", 2, 1)), "it has 2 names (speed, angle), but its values are float32 [batch, 2, 1]"),
        (("bool", ("batch", 2)), "truth values are no numbers"),
    ],
)
def test_every_number_needs_a_name(spec, problem):
    assert KIND.check({"value": TensorSpec("value", *spec)}) == problem


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"names": ()}, "names must be a list of different names"),
        ({"names": "speed"}, "names must be a list of different names"),
        ({"names": ("a", "a")}, "names must be a list of different names"),
        ({"names": ("a", "")}, "names must be a list of different names"),
        ({"units": ("m", "s", "kg")}, "units must be texts, one for all or one for each of a, b"),
        ({"units": 5}, "units must be texts"),
        ({"scale": (1.0,)}, "scale must be finite numbers"),
        ({"scale": "big"}, "scale must be finite numbers"),
        ({"scale": True}, "scale must be finite numbers"),
        ({"offset": float("nan")}, "offset must be finite numbers"),
    ],
)
def test_what_cannot_be_declared(wrong, message):
    with pytest.raises(SpecError, match=message):
        Values(**{"names": ("a", "b"), **wrong})
