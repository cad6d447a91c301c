"""Files that declarations carry, in a bundle: written with it, hashed with it, and nothing else is ever opened for them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from onnx import TensorProto, helper

import edgemm
from edgemm import assets
from edgemm.assets import Asset
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.errors import BundleError
from edgemm.host import declarations, named
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array

WORDS = Asset("words.txt", b"add\nthem\n")


@dataclass(frozen=True)
class Spoken(Array):
    """An output that carries its vocabulary."""

    kind: ClassVar[str] = "spoken"
    assets: ClassVar[tuple[str, ...]] = ("words",)
    words: Asset


@dataclass(frozen=True)
class Worded(Tensor):
    """An input that carries a file."""

    kind: ClassVar[str] = "worded"
    assets: ClassVar[tuple[str, ...]] = ("words",)
    words: Asset = WORDS


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    made = {"worded": Worded, "spoken": Spoken}
    monkeypatch.setattr(declarations, "class_of_kind", lambda role, name, provider: made[name])
    monkeypatch.setattr(named, "INDEX", {("input", "worded"): "", ("output", "spoken"): ""})


def content():
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "y", "answer")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "y"], ["answer"])], "graph", value[:2], value[2:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


@pytest.fixture
def bundle(tmp_path):
    """A bundle of two inputs and an output that carry files; returns its path."""

    def write(x=WORDS, y=WORDS, answer=WORDS, zipped=False):
        runner = OnnxRuntimeRunner(content(), "add")
        model = ModelGraph(
            "add",
            {"x": Worded((2,), words=x), "y": Worded((2,), words=y)},
            (Node("add", "add", edges(x="input.x", y="input.y"), ("answer",)),),
            {"answer": Output.of("add.answer", Spoken(answer))},
        )
        path = tmp_path / "add.edgemm"
        with BundleWriter(path, zipped=zipped) as writer:
            files = {"add": writer.add("graphs/add/model.onnx", content())}
            writer.finish(
                lambda records: Manifest(
                    name="add",
                    inputs=model.inputs,
                    graphs={"add": GraphRecord(tuple(runner.inputs), tuple(runner.outputs))},
                    nodes=model.nodes,
                    outputs=model.outputs,
                    variants={"cpu.onnxruntime.fp32": Variant("cpu", "onnxruntime", "1", "fp32", files)},
                    files=records,
                )
            )
        return path

    return write


def change(path, **changed):
    """Change a manifest's input `x` or its records of files, and sign it anew."""
    value = json.loads((path / "manifest.json").read_text())
    value["inputs"]["x"] |= changed.pop("x", {})
    value["files"] |= changed
    text = json.dumps(value)
    (path / "manifest.json").write_text(text)
    (path / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest() + "  manifest.json\n")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_declaration_comes_back_with_its_file(bundle, zipped):
    other = Asset("words.txt", b"other")
    path = bundle(y=other, zipped=zipped)
    with edgemm.open(path) as model:
        assert model.graph.inputs["x"].words == WORDS
        assert model.graph.inputs["y"].words == other
        assert model.graph.outputs["answer"].kind.words == WORDS
        assert model.infer(x=np.ones(2, np.float32), y=np.ones(2, np.float32)).outputs["answer"].tolist() == [2, 2]


def test_the_manifest_has_the_name_and_the_hash_only(bundle):
    path = bundle()
    text = (path / "manifest.json").read_text()
    assert "them" not in text
    assert json.loads(text)["inputs"]["x"]["words"] == WORDS.path
    assert json.loads(text)["files"][WORDS.path] == {
        "bytes": len(WORDS.content),
        "sha256": hashlib.sha256(WORDS.content).hexdigest(),
    }
    assert (path / WORDS.path).read_bytes() == WORDS.content


def test_what_several_carry_is_there_once(bundle):
    path = bundle()
    assert len(list((path / "assets").rglob("words.txt"))) == 1


def test_a_bundle_that_is_written_anew_keeps_them(bundle, tmp_path):
    source = Bundle(bundle())
    with BundleWriter(tmp_path / "again.edgemm") as writer:
        for name in source.manifest.files:
            writer.add(name, source.read(name))
        again = writer.finish(lambda records: replace(source.manifest, files=records))
    assert again == source.id


def test_only_readers_that_know_of_them_may_read_it(bundle, three_inputs, monkeypatch):
    assert json.loads((bundle() / "manifest.json").read_text())["reads_from"] == 3
    monkeypatch.undo()
    assert json.loads((three_inputs() / "manifest.json").read_text())["reads_from"] == 2


def test_one_changed_byte_is_noticed_when_it_is_opened(bundle):
    path = bundle()
    (path / WORDS.path).write_bytes(b"ADD\nthem\n")
    with pytest.raises(BundleError, match="does not match its SHA-256"):
        edgemm.open(path)


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret.txt", "assets/none.txt"])
def test_a_file_that_is_not_the_bundles_is_not_opened(bundle, name):
    path = bundle()
    (path.parent / "secret.txt").write_text("secret")
    change(path, x={"words": name})
    with pytest.raises(BundleError, match=f"a declaration names '{name}', which is not among its files"):
        edgemm.open(path)


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret.txt"])
def test_not_even_if_the_manifest_lists_it(bundle, name):
    path = bundle()
    (path.parent / "secret.txt").write_text("secret")
    record = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    change(path, x={"words": name}, **{name: record})
    with pytest.raises(BundleError, match="is not a path inside the bundle"):
        edgemm.open(path)


@pytest.mark.parametrize("value", [5, ["words.txt"], {"name": "words.txt"}, ""])
def test_what_names_no_file_is_refused(bundle, value):
    path = bundle()
    change(path, x={"words": value})
    with pytest.raises(BundleError, match=r"inputs\.x: words: expected the name of a file"):
        edgemm.open(path)


def test_what_is_too_large_is_not_read(bundle, monkeypatch):
    path = bundle()
    monkeypatch.setattr(assets, "LIMIT_BYTES", 8)
    with pytest.raises(BundleError, match="has 9 bytes; what declarations carry may have 8 each"):
        edgemm.open(path)


def test_what_is_too_large_together_is_not_read(bundle, monkeypatch):
    path = bundle(y=Asset("words.txt", b"other"))
    monkeypatch.setattr(assets, "TOTAL_LIMIT_BYTES", 13)
    with pytest.raises(BundleError, match=r"may have \d+ each and 13 together"):
        edgemm.open(path)
    monkeypatch.setattr(assets, "TOTAL_LIMIT_BYTES", 14)
    edgemm.open(path).close()
