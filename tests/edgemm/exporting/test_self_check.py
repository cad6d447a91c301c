"""Export opens and runs what it wrote before it says done; what does not run, or computes something else, is an error and no bundle."""

from __future__ import annotations

import onnx
import pytest

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.errors import ParityError
from edgemm.host.interfaces import RunnerFit

KEY = "board.xyz-1.0.fp32"


def another_graph(content: bytes) -> bytes:
    """An engine of a graph with other weights."""
    model = onnx.load_from_string(content)
    for weights in model.graph.initializer:
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
