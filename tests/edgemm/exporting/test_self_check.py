"""Export opens and runs what it wrote before it says done; what does not run, or computes something else, is an error and no bundle."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
import pytest

import edgemm
import edgemm.exporting.build
import edgemm.exporting.export  # before a test replaces the host that they take
from edgemm.bundle.files import Bundle
from edgemm.bundle.signing import make_key
from edgemm.errors import BundleError, ParityError
from edgemm.host.interfaces import RunnerFit

KEY = "board.xyz-1.0.fp32"


def another_graph(content: bytes) -> bytes:
    """An engine of a graph with other weights."""
    model = onnx.load_from_string(content)
    for weights in model.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT:  # not what says how tensors are sliced
            weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), weights.name))
    return b"xyz\0" + model.SerializeToString()


@pytest.fixture
def export_for_board(chain, imaginary, tmp_path, monkeypatch):
    """Exports the chain for a board; what runs its engines, `fit` or nothing, is installed here or is not."""

    def export(*, runner=True, fit=None, progress=lambda *_: None, name="b", **options):
        imaginary.device("board", ["fp32"])
        imaginary.exporter(**options.pop("exporter", {}))
        loaded = imaginary.runner(fit) if runner else []
        host = imaginary.host()
        monkeypatch.setattr("edgemm.host.plugin_host.default_host", lambda: host)
        return edgemm.export(chain, tmp_path / name, device="board", host=host, progress=progress, **options), loaded

    return export


def test_every_variant_that_this_machine_can_run_is_opened_and_run(export_for_board):
    stages = []
    summary, loaded = export_for_board(progress=lambda *told: stages.append(told))
    assert sorted(loaded) == ["last", "step"]
    assert summary.not_run == {}
    assert [told for told in stages if told[0] == "checking"] == [
        ("checking", 0, 2, "cpu.onnxruntime.fp32"),
        ("checking", 1, 2, KEY),
    ]
    assert f"opened again and run on the test vectors: cpu.onnxruntime.fp32, {KEY}" in str(summary)


RANDOM = "calibrated on random data: sizes and speed are real, accuracy is not. Give --calibration"


def test_what_was_quantized_without_samples_is_told(chain, imaginary, tmp_path):
    imaginary.quantizer("int8", backend="onnxruntime")
    host, rows = imaginary.host(), [{"x": row} for row in np.eye(8, dtype=np.float32)]
    assert RANDOM in str(edgemm.export(chain, tmp_path / "random", precision="int8", host=host))
    assert RANDOM not in str(edgemm.export(chain, tmp_path / "real", precision="int8", calibration=rows, host=host))


def test_where_only_fp32_was_asked_for_nothing_was_calibrated(chain, tmp_path):
    assert "random" not in str(edgemm.export(chain, tmp_path / "b", precision="fp32"))


def test_what_is_to_be_compiled_elsewhere_was_quantized_here(chain, imaginary, tmp_path):
    imaginary.device("board", ["int8"])
    imaginary.exporter(refuses="there is no xyz here")
    imaginary.quantizer("int8")
    assert RANDOM in str(edgemm.export(chain, tmp_path / "b", device="board", host=imaginary.host()))


@pytest.mark.parametrize("zipped", [False, True])
def test_an_engine_that_computes_something_else_leaves_no_bundle(export_for_board, tmp_path, zipped):
    with pytest.raises(
        ParityError, match=rf"(?s)what was written does not compute.*variant '{KEY}': first, .*below cosine"
    ):
        export_for_board(exporter={"writes": another_graph}, zipped=zipped)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_bundle_that_was_there(chain, export_for_board, tmp_path):
    edgemm.export(chain, tmp_path / "b", precision="fp32")
    before = Bundle(tmp_path / "b").id
    with pytest.raises(ParityError):
        export_for_board(exporter={"writes": another_graph}, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert Bundle(tmp_path / "b").id == before


@pytest.mark.parametrize("fit", [None, lambda variant: RunnerFit(exact=True)], ids=["its runner tries", "it fits"])
def test_an_engine_that_should_run_here_and_does_not_leaves_no_bundle(export_for_board, tmp_path, fit):
    with pytest.raises(ParityError, match=rf"variant '{KEY}': it does not run: this is no engine of xyz"):
        export_for_board(fit=fit, exporter={"writes": lambda content: content})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"runner": False}, "no installed plugin runs '.xyz' files"),
        ({"fit": lambda variant: RunnerFit(problem="another board is here")}, "no engine of xyz"),
    ],
    ids=["no runner", "another board"],
)
def test_what_another_machine_runs_is_said_and_its_onnx_is_run_instead(export_for_board, options, reason):
    summary, _ = export_for_board(exporter={"writes": lambda content: content}, **options)
    assert list(summary.not_run) == [KEY]
    assert reason in summary.not_run[KEY]
    assert "1 more by the ONNX they were compiled from" in str(summary)


@pytest.fixture
def planned_for_board(chain, imaginary, tmp_path, monkeypatch):
    """A bundle that only plans the board's variant, and what compiles it now; its runner is installed or is not."""

    def make(*, runner=True, **options):
        imaginary.device("board", ["fp32"])
        exporter = imaginary.exporter(refuses="there is no xyz here", **options)
        loaded = imaginary.runner() if runner else []
        host = imaginary.host()
        monkeypatch.setattr("edgemm.host.plugin_host.default_host", lambda: host)
        edgemm.export(chain, tmp_path / "b", device="board", host=host)
        exporter.refuses = ""
        return tmp_path / "b", host, loaded

    return make


def test_what_is_built_on_the_device_is_run_there_and_only_that(planned_for_board):
    path, host, loaded = planned_for_board()
    before, stages = Bundle(path).id, []
    summary = edgemm.build(path, host=host, progress=lambda *told: stages.append(told))
    assert sorted(loaded) == ["last", "step"]
    assert [told for told in stages if told[0] == "checking"] == [("checking", 0, 1, KEY)]
    assert summary.not_run == {}
    assert f"run on the test vectors: {KEY}" in str(summary)
    assert Bundle(path).manifest.provenance["built"] == [{"from": before, "added": [KEY]}]


def test_what_was_built_and_computes_something_else_leaves_the_bundle_as_it_was(planned_for_board):
    path, host, _ = planned_for_board(writes=another_graph)
    before = Bundle(path).id
    with pytest.raises(ParityError, match=rf"(?s)what was compiled does not compute.*variant '{KEY}'"):
        edgemm.build(path, host=host)
    assert Bundle(path).id == before
    assert [each.name for each in path.parent.iterdir()] == ["b"]


def test_what_was_built_and_cannot_be_run_here_is_told(planned_for_board):
    path, host, _ = planned_for_board(runner=False)
    summary = edgemm.build(path, host=host)
    assert "no installed plugin runs '.xyz' files" in summary.not_run[KEY]
    assert f"{KEY:<52} not run here: " in str(summary)
    assert "run on the test vectors" not in str(summary)


def test_what_was_built_into_a_bundle_without_test_vectors_was_not_run(planned_for_board):
    path, host, loaded = planned_for_board()
    manifest = json.loads((path / "manifest.json").read_text())
    text = json.dumps(manifest | {"vectors": ""})
    (path / "manifest.json").write_text(text)
    (path / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest() + "  manifest.json\n")
    summary = edgemm.build(path, host=host)
    assert summary.not_run == {KEY: "the bundle has no test vectors"}
    assert loaded == []


def test_a_signature_does_not_cover_what_was_built(planned_for_board, tmp_path):
    path, host, _ = planned_for_board()
    private, public = make_key(tmp_path.parent / f"{tmp_path.name}.key")
    edgemm.sign(path, private)
    summary = edgemm.build(path, host=host, trust=edgemm.Trust(keys=public))
    assert "sign it again" in str(summary)
    with pytest.raises(BundleError, match="it is not signed"):
        edgemm.open(path, trust=edgemm.Trust(keys=public))
