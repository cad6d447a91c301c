"""How far two computations are apart, and whether that passes a gate."""

from __future__ import annotations

import json

import numpy as np
import pytest

import edgemm
from edgemm.checking.parity import Parity, compare, compare_nodes, compare_output, compare_outputs
from edgemm.checking.rollout import rollout
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.precision import FP32, PRECISIONS, Gate
from edgemm.tensors import TensorSpec

GATE = Gate(cosine=0.9, agreement=0.8, relative=0.1)


def parity(**changes):
    values = {"max_abs": 1.0, "relative": 0.1, "cosine": 0.9, "snr_db": 20.0, "agreement": 0.8, "rows": 4}
    return Parity("x", **{**values, **changes})


def test_what_just_reaches_every_limit_passes():
    assert parity().passes(GATE)


@pytest.mark.parametrize("missed", [{"cosine": 0.89}, {"agreement": 0.79}, {"relative": 0.11}, {"cosine": np.nan}])
def test_each_limit_alone_fails_a_gate(missed):
    assert not parity(**missed).passes(GATE)


def test_a_gate_without_a_relative_limit_does_not_ask_for_it():
    assert parity(relative=5.0).passes(Gate(0.9, 0.8))


def test_equal_outputs_are_equal_in_every_figure():
    rows = np.random.default_rng(0).standard_normal((5, 3))
    found = compare("x", [rows], [rows.copy()])
    assert (found.max_abs, found.relative, found.snr_db, found.agreement, found.rows) == (0, 0, 200, 1, 5)
    assert found.cosine == pytest.approx(1)


def test_figures_of_a_known_difference():
    reference, got = np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([[3.0, 0.0], [4.0, 0.0]])
    found = compare("x", [reference], [got])
    assert found.max_abs == 4
    assert found.relative == 1
    assert found.cosine == pytest.approx(0.5), "the mean of 1 and 0"
    assert found.snr_db == pytest.approx(10 * np.log10(25 / 32))


def test_a_row_of_zeros_is_compared_for_being_zeros():
    zeros = np.zeros((2, 3))
    assert compare("x", [zeros], [zeros]).cosine == 1
    assert compare("x", [zeros], [np.array([[0, 0, 0], [0, 1e-9, 0]])]).cosine == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_passes_no_gate(bad):
    reference = np.ones((4, 2))
    got = reference.copy()
    got[3, 1] = bad
    found = compare("x", [reference], [got])
    assert found == Parity("x", np.inf, np.inf, cosine=0.0, snr_db=0.0, agreement=0.0, rows=4)
    assert not any(found.passes(precision.gate) for precision in PRECISIONS.values())
    assert not found.passes(Gate(0.1, 0.1))


def test_a_reference_that_is_not_finite_passes_no_gate():
    assert not compare("x", [np.array([[np.nan, 1.0], [1.0, 1.0]])], [np.ones((2, 2))]).passes(Gate(0.1, 0.1))


def test_rows_agree_when_all_their_bools_do():
    reference = np.array([[True, False], [True, True], [False, False]])
    got = np.array([[True, False], [True, False], [True, False]])
    found = compare("x", [np.ones((3, 1)), reference], [np.ones((3, 1)), got])
    assert found.agreement == pytest.approx(1 / 3)
    assert found.cosine == 1


def test_labels_agree_where_the_highest_score_is_the_same():
    reference, got = np.array([[0.6, 0.4], [0.6, 0.4]]), np.array([[0.55, 0.45], [0.45, 0.55]])
    kind = edgemm.Classes(("a", "b"))
    assert compare_output(kind, "x", {"scores": reference}, {"scores": got}).agreement == 0.5
    assert compare("x", [reference], [got]).agreement == 1


def test_the_worst_output_of_a_node_counts():
    small, large = np.array([[1.0, 1.0]]), np.array([[100.0, 100.0]])
    found = compare("x", [small, large], [small + 0.5, large + 1])
    assert (found.max_abs, found.relative) == (1, 0.5)


def test_small_values_are_measured_by_their_own_size():
    reference = np.array([[1e-3, 0.0], [0.0, 2e-3]])
    found = compare("x", [reference], [np.array([[1e-3, 0.0], [1e-3, 2e-3]])])
    assert found.relative == pytest.approx(0.5)
    assert found.cosine == pytest.approx((1 + 2 / 5**0.5) / 2)
    assert found.snr_db == pytest.approx(10 * np.log10(5))


def test_outputs_may_have_any_shape_and_order_and_be_bools_alone():
    tokens, valid = np.arange(12.0).reshape(2, 2, 3), np.ones((2, 2, 1), bool)
    found = compare("x", [valid, tokens], [valid, tokens + 1])
    assert (found.max_abs, found.agreement, found.rows) == (1, 1, 2)
    assert compare("x", [valid], [~valid]) == Parity("x", 0, 0, cosine=1.0, snr_db=200.0, agreement=0.0, rows=2)
    nothing = np.zeros((2, 0))
    assert compare("x", [nothing], [nothing]).passes(PRECISIONS[FP32].gate)
    with pytest.raises(ValueError, match="longer"):
        compare("x", [tokens], [tokens, tokens])


def test_a_record_is_json_of_as_many_digits_as_say_something():
    found = Parity("x", 1.23456789, 0.000123456, 0.12345678, 12.3456, 0.1234567, 4)
    assert json.loads(json.dumps(found.to_json())) == {
        "name": "x",
        "max_abs": 1.235,
        "relative": 0.0001235,
        "cosine": 0.123457,
        "snr_db": 12.3,
        "agreement": 0.1235,
        "rows": 4,
    }


def test_what_a_precision_falls_back_to_asks_for_more_and_ends_at_the_reference():
    for precision in PRECISIONS.values():
        if not precision.fallback:
            assert precision.name == FP32
            continue
        higher = PRECISIONS[precision.fallback].gate
        assert (higher.cosine, higher.agreement) > (precision.gate.cosine, precision.gate.agreement)


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("fp32", Gate(0.999999, 1.0, 1e-4)),
        ("fp16", Gate(0.9995, 0.96)),
        ("int8", Gate(0.985, 0.93)),
        ("int8+fp16", Gate(0.985, 0.93)),
    ],
)
def test_the_gates_are_a_promise_of_every_bundle(name, gate):
    """Written twice on purpose: a looser gate lets through what passed for wrong in every bundle before."""
    assert PRECISIONS[name].gate == gate


# ---- node by node, and through the chain


def pass_of(scale):
    """Two nodes in a row, each with a graph of its own, that double."""
    nodes = (
        Node("first", "one", edges(x="input.x"), ("y",)),
        Node("second", "two", edges(x="first.y"), ("y",)),
    )
    graph = ModelGraph(
        "pair", {"x": edgemm.Tensor((2,))}, nodes, {"answer": Output.of("second.y", edgemm.Classes(("a", "b")))}
    )
    return graph, {"one": Times(scale), "two": Times(2)}


class Times:
    """A runner that multiplies."""

    def __init__(self, factor):
        self.factor = factor
        self.inputs = (TensorSpec("x", "float32", ("batch", 2)),)
        self.outputs = (TensorSpec("y", "float32", ("batch", 2)),)

    def run(self, feeds):
        return [feeds["x"] * np.float32(self.factor)]

    def close(self):
        pass


ROWS = {"x": np.array([[1, 2], [3, 4]], np.float32)}


def test_a_node_is_compared_on_what_the_reference_feeds_it():
    graph, runners = pass_of(2)
    reference = rollout(graph, runners, ROWS)
    found = compare_nodes(graph, reference, {"one": Times(3), "two": Times(2)})
    assert {name: parity.max_abs for name, parity in found.items()} == {"first": 4, "second": 0}
    assert list(compare_nodes(graph, reference, {"two": Times(2)}, "two")) == ["second"]
    assert list(compare_nodes(graph, reference, {"one": Times(2)}, "one")) == ["first"]


def test_the_answer_is_compared_through_the_whole_chain():
    graph, runners = pass_of(2)
    found = compare_outputs(graph, rollout(graph, runners, ROWS), pass_of(3)[1], ROWS)
    assert {name: parity.max_abs for name, parity in found.items()} == {"answer": 8}
