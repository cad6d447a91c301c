"""What a step binds, and how often."""

from __future__ import annotations

import pytest
from tiny import MS, Stream, said

from edgemm.runners.values import PlainBound


class Watched(PlainBound):
    """Notes what is bound and waited for."""

    noted: tuple = ()
    copied_bytes = None

    def __init__(self, runner, batch=1):
        super().__init__(runner, batch)
        self.noted, self.copied_bytes = [], {"up": 3, "down": 4}

    def feed(self, name, array):
        self.noted.append(f"feed {name}")
        super().feed(name, array)

    def link(self, name, value):
        self.noted.append(f"link {name}")
        super().link(name, value)

    def wait(self):
        self.noted.append("wait")


@pytest.fixture
def noted(monkeypatch):
    """Makes a stream; what is noted of a node."""
    monkeypatch.setattr("edgemm.runtime.binding.bind", Watched)

    def make(nodes):
        stream = Stream(nodes)
        return stream, {name: step.binding._bound.noted for name, step in stream.live.steps.items()}

    return make


def same(x):
    return x


def test_a_node_that_reads_another_is_bound_to_it_once(noted):
    stream, of = noted({"see": (same, {"x": "input.a"}), "say": (same, {"x": "see.y"})})
    for ms in range(3):
        assert stream.push("a", ms, ms) == {"answer": ms}
    assert of == {"see": ["feed x"] * 3, "say": ["link x"]}, "what is pushed lies elsewhere each time"


def test_what_has_not_moved_is_not_bound_again(noted):
    stream, of = noted({"say": (same, {"x": "input.a"}, {"trigger": "tick(10)"})})
    stream.push("a", 7, 0)
    assert [said(result) for result in stream.live.advance(300 * MS)] == [{"answer": 7}] * 3
    assert of == {"say": ["feed x"]}


def test_who_measures_a_step_waits_for_it_and_is_told_what_was_copied(noted):
    stream, of = noted({"say": (same, {"x": "input.a"})})
    binding = stream.live.steps["say"].binding
    binding.wait()
    assert of == {"say": ["wait"]}
    assert binding.copied_bytes == {"up": 3, "down": 4}
