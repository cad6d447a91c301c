"""A bundle is verified on its own test vectors: what each variant may be off by, and what does not run."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.checking.vectors import load_vectors, save_vectors
from edgemm.errors import BundleError
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runners.onnxruntime import OnnxRuntimeRunner

MODEL = ModelGraph(
    "one", {"x": edgemm.Tensor((4,))}, (Node("net", "net", edges(x="input.x"), ("y",)),), {"answer": Output.of("net.y", edgemm.Classes(tuple("abcd")))}
)  # fmt: skip
ROWS = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]] + 0.1
KEYS = {"fp32": "cpu.onnxruntime.fp32", "int8": "cpu.onnxruntime.int8"}


def product(matrix, name="x"):
    """y = x @ matrix."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", [name, "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.asarray(matrix, np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


@pytest.fixture
def write(tmp_path):
    """Writes a bundle whose vectors are those of y = x, and whose variants are the graphs that a test gives."""

    def make(graphs, precisions=None, vectors=None, rows=ROWS, engine=None):
        reference = OnnxRuntimeRunner(product(np.eye(4)), "net")
        with BundleWriter(tmp_path / "b", overwrite=True) as writer:
            files = {key: {"net": writer.add(f"{key}.onnx", content)} for key, content in graphs.items()}
            saved = save_vectors(writer, MODEL, {"net": reference}, {"x": rows})
            if vectors is not None:
                saved = writer.add(saved, vectors) if vectors else ""
            precisions = precisions or {key: key for key in graphs}
            variants = {KEYS[k]: Variant("cpu", "onnxruntime", "1", precisions[k], files[k]) for k in graphs}
            if engine is not None:
                sources = {"net": writer.add("source.onnx", engine)}
                paths = {"net": writer.add("net.engine", b"native code")}
                variants["gpu"] = Variant("gpu", "tensorrt", "10.3", "fp16", paths, sources, 89)
            record = GraphRecord(tuple(reference.inputs), tuple(reference.outputs))
            writer.finish(
                lambda records: Manifest(
                    MODEL.name, MODEL.inputs, {"net": record}, MODEL.nodes, MODEL.outputs, variants, records, saved
                )
            )  # fmt: skip
        return tmp_path / "b"

    return make


def turned(degrees):
    """Every row of the vectors turned by an angle, so that its cosine is the angle's."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.kron(np.eye(2), [[c, -s], [s, c]])


def test_what_computes_the_same_passes_and_says_how_well(write):
    found = edgemm.verify(write({"fp32": product(np.eye(4))}))
    assert found.passed
    assert set(found.parity[KEYS["fp32"]]) == {"net", "output answer"}
    assert found.files == 2
    assert "cpu.onnxruntime.fp32" in str(found)
    assert "ok" in str(found)


@pytest.mark.parametrize(("degrees", "passes"), [(0.05, True), (1, False)])
def test_the_reference_must_reach_its_own_cosine(write, degrees, passes):
    assert edgemm.verify(write({"fp32": product(turned(degrees))})).passed == passes


@pytest.mark.parametrize(("degrees", "passes"), [(12, True), (14, False)])
def test_a_quantized_variant_may_miss_a_hundredth_of_the_cosine(write, degrees, passes):
    """cos 12° = 0.978, cos 14° = 0.970; the gate is 0.985."""
    found = edgemm.verify(write({"fp32": product(np.eye(4)), "int8": product(turned(degrees))}))
    assert found.passed == passes
    assert set(found.failed) == (set() if passes else {KEYS["int8"]})


def test_what_fails_is_named_with_what_it_missed(write):
    found = edgemm.verify(write({"fp32": product(turned(30))}))
    assert found.failed == {KEYS["fp32"]: "net, output answer below cosine 0.999999 or agreement 1.000"}
    assert "FAILED: net, output answer below" in str(found)


@pytest.mark.parametrize(("slips", "passes"), [(1, True), (2, False)])
def test_a_quantized_variant_may_answer_one_row_of_eight_otherwise(write, slips, passes):
    """Rows that are nearly undecided, of which a small error turns some: no cosine shows it."""
    rows = np.ones((8, 4), np.float32)
    rows[:, 0] += np.where(np.arange(8) < slips, 0.001, 0.1)
    assert (
        edgemm.verify(write({"fp32": product(np.eye(4)), "int8": product(np.diag([0.99, 1, 1, 1]))}, rows=rows)).passed
        == passes
    )


def test_a_variant_that_should_run_here_and_does_not_has_failed(write):
    found = edgemm.verify(write({"int8": product(np.eye(4), name="other"), "fp32": product(np.eye(4))}))
    assert found.skipped == {}
    assert found.failed[KEYS["int8"]].startswith("it does not run: ")
    assert "graph 'net' of variant 'cpu.onnxruntime.int8' takes other" in found.failed[KEYS["int8"]]
    assert "FAILED: it does not run" in str(found)
    assert list(found.parity) == [KEYS["fp32"]], "the others are checked all the same"


def test_a_bundle_without_vectors_or_of_an_unknown_precision_is_refused(write):
    with pytest.raises(BundleError, match="has no test vectors"):
        edgemm.verify(write({"fp32": product(np.eye(4))}, vectors=b""))
    with pytest.raises(BundleError, match=r"unknown precision 'int9'; known: fp32, fp16, int8, int8\+fp16"):
        edgemm.verify(write({"fp32": product(np.eye(4))}, precisions={"fp32": "int9"}))


@pytest.mark.parametrize(("degrees", "passes"), [(1, True), (14, False)])
def test_an_engine_that_nobody_trusts_is_checked_by_its_source(write, degrees, passes):
    found = edgemm.verify(write({"fp32": product(np.eye(4))}, engine=product(turned(degrees))))
    assert list(found.skipped) == ["gpu"]
    assert "native code" in found.skipped["gpu"]
    assert found.passed == passes
    (line,) = [line for line in str(found).splitlines() if "gpu" in line]
    assert line.endswith("(its ONNX source; the engine was not run here)")


def test_each_variant_is_told_to_whoever_watches(write):
    told = []
    edgemm.verify(
        write({"fp32": product(np.eye(4)), "int8": product(np.eye(4))}), progress=lambda *step: told.append(step)
    )
    assert told == [("checking", 0, 2, KEYS["fp32"]), ("checking", 1, 2, KEYS["int8"])]


def arrays(**changed):
    """An archive of test vectors of y = x."""
    vectors = {"input.x": ROWS, "net.y": ROWS, "output.answer.scores": ROWS} | changed
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in vectors.items() if array is not None})
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["input.x", "output.answer.scores"])
def test_vectors_that_lack_an_input_or_an_answer_are_refused(write, name):
    assert edgemm.verify(write({"fp32": product(np.eye(4))}, vectors=arrays())).passed
    with pytest.raises(BundleError, match=f"its test vectors lack '{name}'"):
        edgemm.verify(write({"fp32": product(np.eye(4))}, vectors=arrays(**{name: None})))


@pytest.mark.parametrize(
    "content",
    [b"nothing that numpy knows", arrays()[:-200], arrays(**{"input.x": np.array([{}, {}], object)})],
    ids=["no archive", "cut off", "pickled objects"],
)
def test_vectors_that_cannot_be_read_are_refused_and_never_unpickled(write, content):
    with pytest.raises(BundleError, match="its test vectors cannot be read"):
        edgemm.verify(write({"fp32": product(np.eye(4))}, vectors=content))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("input.x", ROWS[:, :3]),
        ("input.x", ROWS.astype(np.float64)),
        ("input.x", ROWS[:0]),
        ("net.y", ROWS[:, :3]),
        ("net.y", ROWS[0]),
        ("net.y", np.array(list("abcdefgh"))),
        ("output.answer.scores", ROWS[:, :3]),
        ("output.answer.scores", ROWS[:5]),
        ("output.answer.scores", ROWS.astype(np.int64)),
    ],
)
def test_vectors_of_another_shape_are_refused_with_both(write, name, array):
    with pytest.raises(BundleError, match=r"its test vectors have '.*' as .*; expected float32 \[batch, 4\], \d rows"):
        edgemm.verify(write({"fp32": product(np.eye(4))}, vectors=arrays(**{name: array})))


def test_a_result_says_all_of_it_in_json(write):
    found = edgemm.verify(write({"fp32": product(turned(30))})).to_json()
    assert json.loads(json.dumps(found)) == found
    assert (found["passed"], found["files"], list(found["failed"])) == (False, 2, [KEYS["fp32"]])


def test_every_session_is_closed(write, monkeypatch):
    closed = []
    close = OnnxRuntimeRunner.close
    path = write({"fp32": product(np.eye(4)), "int8": product(np.eye(4))})

    def noted(self):
        closed.append(self)
        close(self)

    monkeypatch.setattr(OnnxRuntimeRunner, "close", noted)
    edgemm.verify(path)
    assert len(closed) == 2


def test_a_few_rows_are_kept_as_vectors(write):
    bundle = Bundle(write({"fp32": product(np.eye(4))}, rows=np.repeat(ROWS, 3, axis=0)))
    assert {name: len(array) for name, array in load_vectors(bundle).items()} == {
        "input.x": 8,
        "net.y": 8,
        "output.answer.scores": 8,
    }


def through_float16(factor):
    """y = x, computed as x × factor ÷ factor in FP16, which ends at 65504."""
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["half", "factor"], ["large"]),
        helper.make_node("Div", ["large", "factor"], ["back"]),
        helper.make_node("Cast", ["back"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.float16(factor), "factor")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


@pytest.mark.parametrize(("factor", "passes"), [(1000, True), (60000, False)])
def test_the_source_of_an_fp16_engine_overflows_here_as_it_would_there(write, factor, passes):
    found = edgemm.verify(write({"fp32": product(np.eye(4))}, engine=through_float16(factor)))
    assert ("gpu" in found.failed) != passes


def test_without_onnx_an_fp16_source_is_judged_unrounded_and_says_so(write, monkeypatch):
    monkeypatch.setattr("edgemm.checking.as_its_backend.is_installed", lambda name: name != "onnx")
    found = edgemm.verify(write({"fp32": product(np.eye(4))}, engine=through_float16(60000)))
    assert found.passed
    assert (
        "judging FP16 by values that are rounded to FP16 needs onnx: pip install 'edgemm[export]'"
        in found.skipped["gpu"]
    )


def test_only_the_variants_that_are_asked_for_are_run(write):
    path = write({"fp32": product(np.eye(4)), "int8": product(turned(80))})
    assert set(edgemm.verify(path, variants=[KEYS["fp32"]]).parity) == {KEYS["fp32"]}
    assert not edgemm.verify(path).passed
