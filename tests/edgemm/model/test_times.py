"""Every time of a model fits into 64 bits of ns, whoever writes it: a finite number is not enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgemm.errors import SpecError
from edgemm.limits import LONGEST_MS
from edgemm.model.edge import Edge, edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.periods import periods_ns
from edgemm.model.rules import Policy, Trigger
from edgemm_plugins.inputs.motion import Motion
from edgemm_plugins.outputs.array import Array


def model(rate_hz=100.0, **options):
    return ModelGraph(
        "model",
        {"a": Motion(1, 4, 1, rate_hz)},
        (Node("net", "net", edges({"x": "input.a"}), ("y",), **options),),
        {"y": Output.of("net.y", Array())},
    )


@pytest.mark.parametrize("key", ["stale_after_ms", "valid_for_ms"])
@pytest.mark.parametrize("value", [-1.0, 1e300, float("inf"), float("nan")])
def test_a_nodes_times_are_bounded(key, value):
    with pytest.raises(SpecError, match=f"node 'net': {key} must be from 0 to 1e"):
        model(**{key: value})


def test_the_longest_times_are_taken():
    made = model(stale_after_ms=LONGEST_MS, valid_for_ms=LONGEST_MS, trigger=Trigger.parse("tick(1e-9)"))
    assert periods_ns(replace(made))["net"] == 10**18
    assert Policy.parse("reference(a, 1e12)").tolerance_ms == LONGEST_MS
    assert Edge.parse("net.y[2, 1000000000000]").window.ms == LONGEST_MS


def test_a_rate_is_not_endlessly_slow():
    with pytest.raises(SpecError, match="needs a rate above 0"):
        Trigger.parse("tick(1e-300)")


def test_a_tolerance_is_bounded():
    with pytest.raises(SpecError, match="a tolerance of at least 0 and at most"):
        Policy.parse("reference(a, 1e300)")


def test_a_window_does_not_reach_back_for_ever():
    with pytest.raises(SpecError, match=r"x: a window reaches back at most 1e\+12 ms, got 'net.y\[2, 1000000000001\]'"):
        Edge.parse("net.y[2, 1000000000001]", "x")


def test_an_input_whose_values_hardly_ever_come_is_refused():
    with pytest.raises(SpecError, match="input 'a': one value comes every 1e"):
        model(rate_hz=1e-290)
