"""Parity and verify of models that remember: what is right at every step, and goes wrong with time, is found."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.parity import compare_nodes, compare_outputs
from edgemm.checking.rollout import rollout
from edgemm.checking.vectors import MOMENTS, load_vectors, save_vectors
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.precision import PRECISIONS
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm_plugins.outputs.array import Array

INT8 = PRECISIONS["int8"].gate
KEYS = {"fp32": "cpu.onnxruntime.fp32", "int8": "cpu.onnxruntime.int8"}
GRAPH = ModelGraph(
    "turning",
    {"x": edgemm.Tensor((2,))},
    (Node("turn", "turn", edges(x="input.x"), ("y", "h_next"), state={"h_next": "h"}),),
    {"where": Output.of("turn.y", Array())},
)
ROWS = np.zeros((40, 2), np.float32)
ROWS[0] = [1, 0]  # a push, and then the state alone


def turning(degrees, keeps=1.0):
    """h_next = keeps * h turned by an angle + x, and y = h_next: an error of the angle grows with every step while the state is kept."""
    angle = np.deg2rad(degrees)
    turn = keeps * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "w"], ["turned"]),
            helper.make_node("Add", ["turned", "x"], ["h_next"]),
            helper.make_node("Identity", ["h_next"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "h")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("y", "h_next")],
        [numpy_helper.from_array(np.asarray(turn, np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def runners(content):
    return {"turn": OnnxRuntimeRunner(content, "turn")}


def test_an_error_of_each_step_that_passes_alone_does_not_pass_when_it_grows():
    """One degree too much per step: cosine 0.9998 on the reference's state, and another place altogether on its own."""
    reference = rollout(GRAPH, runners(turning(10)), {"x": ROWS}, streams=1)
    wrong = runners(turning(11))
    alone = wrong["turn"].run(reference.feeds("turn"))[0]
    seen = reference.values("turn")["y"]
    cosines = (alone * seen).sum(1) / np.linalg.norm(alone, axis=1) / np.linalg.norm(seen, axis=1)
    assert cosines.mean() > 0.999
    assert not compare_nodes(GRAPH, reference, wrong)["turn"].passes(INT8)
    assert not compare_outputs(GRAPH, reference, wrong, {"x": ROWS})["where"].passes(INT8)


def test_the_same_error_passes_where_the_state_fades():
    pushes = np.tile(ROWS[:1], (40, 1))
    reference = rollout(GRAPH, runners(turning(10, keeps=0.5)), {"x": pushes}, streams=1)
    assert compare_nodes(GRAPH, reference, runners(turning(11, keeps=0.5)))["turn"].passes(INT8)


def test_a_node_is_rolled_out_over_streams_of_unequal_length():
    reference = rollout(GRAPH, runners(turning(10)), {"x": ROWS}, streams=3)
    assert compare_nodes(GRAPH, reference, runners(turning(10)))["turn"].max_abs == 0
    assert compare_nodes(GRAPH, reference, runners(turning(10)))["turn"].rows == 40


# ---- test vectors


@pytest.fixture
def write(tmp_path):
    """Writes a bundle whose vectors are those of 10 degrees a step, and whose variants are the graphs that a test gives."""

    def make(**graphs):
        reference = OnnxRuntimeRunner(turning(10), "turn")
        with BundleWriter(tmp_path / "b", overwrite=True) as writer:
            files = {key: {"turn": writer.add(f"{key}.onnx", content)} for key, content in graphs.items()}
            saved = save_vectors(writer, GRAPH, {"turn": reference}, {"x": ROWS})
            variants = {KEYS[key]: Variant("cpu", "onnxruntime", "1", key, files[key]) for key in graphs}
            record = GraphRecord(tuple(reference.inputs), tuple(reference.outputs))
            writer.finish(
                lambda records: Manifest(
                    GRAPH.name, GRAPH.inputs, {"turn": record}, GRAPH.nodes, GRAPH.outputs, variants, records, saved
                )
            )  # fmt: skip
        return tmp_path / "b"

    return make


def test_vectors_are_one_stream_from_its_start_on(write):
    vectors = load_vectors(Bundle(write(fp32=turning(10))))
    assert {name: len(array) for name, array in vectors.items()} == dict.fromkeys(
        ["input.x", "turn.y", "turn.h_next", "output.where.value"], MOMENTS
    )
    angles = np.deg2rad(10 * np.arange(MOMENTS))
    np.testing.assert_allclose(vectors["turn.y"], np.stack([np.cos(angles), np.sin(angles)], 1), atol=1e-5)


def test_verify_rolls_the_vectors_out(write):
    found = edgemm.verify(write(fp32=turning(10), int8=turning(10.2)))
    assert found.passed
    assert found.parity[KEYS["fp32"]]["turn"]["max_abs"] < 1e-6
    assert found.parity[KEYS["fp32"]]["turn"]["rows"] == MOMENTS


def test_a_variant_whose_error_grows_with_time_fails(write):
    found = edgemm.verify(write(fp32=turning(10), int8=turning(14)))
    assert set(found.failed) == {KEYS["int8"]}
    assert "turn, output where below cosine" in found.failed[KEYS["int8"]]
