"""The pace of inputs and nodes, where no clock runs."""

from __future__ import annotations

import pytest

import edgemm
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.periods import periods_ns
from edgemm.model.rules import Barrier, Hop, Policy, Reference, Tick, Trigger
from edgemm_plugins.outputs.array import Array

INPUTS = {
    "camera": edgemm.Image(8, 8),
    "sound": edgemm.Audio(16000, window_ms=400, hop_ms=50),
    "imu": edgemm.Motion(samples=20, hop=4, rate_hz=200),
    "clip": edgemm.Clip(4, 8, 8, stride=2, hop=3),
}
MS = 1_000_000


def period_ms(source, **options):
    reads = edges({name: f"input.{name}" for name in INPUTS})
    graph = ModelGraph("m", INPUTS, (Node("n", "n", reads, ("y",), **options),), {"y": Output.of("n.y", Array())})
    return periods_ns(graph)[source] / MS


@pytest.mark.parametrize(("name", "ms"), [("camera", 33), ("sound", 50), ("imu", 20), ("clip", 198)])
def test_an_input_has_the_pace_of_its_kind(name, ms):
    assert period_ms(f"input.{name}") == ms


@pytest.mark.parametrize(
    ("policy", "trigger", "ms"),
    [
        (Policy(), Trigger(), 20),
        (Barrier(), Trigger(), 198),
        (Reference("camera", 50), Trigger(), 33),
        (Reference("input.sound", 50), Trigger(), 50),
        (Policy(), Hop(5), 100),
        (Barrier(), Tick(8), 125),
    ],
    ids=str,
)
def test_a_node_has_the_pace_of_what_sets_it_off(policy, trigger, ms):
    assert period_ms("n", policy=policy, trigger=trigger) == ms


def test_the_pace_goes_on_from_node_to_node():
    nodes = (
        Node("ear", "ear", edges(x="input.sound"), ("y",), trigger=Hop(2)),
        Node("head", "head", edges(x="ear.y"), ("y",)),
    )
    graph = ModelGraph("m", {"sound": INPUTS["sound"]}, nodes, {"y": Output.of("head.y", Array())})
    assert periods_ns(graph)["head"] == 100 * MS
