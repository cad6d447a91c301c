"""A bundle that plans to have files outside of it read, written or compiled is refused before a compiler sees anything."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgemm
from edgemm.bundle.writer import BundleWriter
from edgemm.errors import BundleError

GRAPH = "graphs/net/model.onnx"


def change(bundle, edit):
    value = json.loads((bundle / "manifest.json").read_text())
    edit(value)
    text = json.dumps(value)
    (bundle / "manifest.json").write_text(text)
    (bundle / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest())


def plan(sources):
    planned = {"device": "board", "backend": "xyz", "precision": "fp32", "sources": sources, "reason": ""}
    return lambda manifest: manifest.update(planned={"board.xyz-planned.fp32": planned})


@pytest.fixture
def compiled():
    """What a compiler was given."""
    return []


@pytest.fixture
def host(imaginary, compiled):
    imaginary.device("board", ["fp32"])
    imaginary.exporter(writes=lambda content: compiled.append(content) or b"engine")
    return imaginary.host()


def test_what_is_planned_of_the_bundle_s_own_graphs_is_compiled(one_node, host):
    change(one_node, plan({"net": GRAPH}))
    assert list(edgemm.build(one_node, host=host).built) == ["board.xyz-1.0.fp32"]


@pytest.mark.parametrize("place", ["/etc/hostname", "../secret"])
def test_a_plan_cannot_have_a_file_outside_compiled(one_node, host, compiled, place):
    (one_node.parent / "secret").write_text("x")
    change(one_node, plan({"net": place}))
    with pytest.raises(BundleError, match="which is not among its files"):
        edgemm.build(one_node, host=host)
    assert compiled == []


def test_a_plan_names_the_graphs_of_the_model(one_node, host):
    change(one_node, plan({"net": GRAPH, "../../../escaped": GRAPH}))
    with pytest.raises(BundleError, match="the model has net"):
        edgemm.build(one_node, host=host)


def test_a_graph_s_name_cannot_lead_out_of_the_bundle(one_node, host):
    def rename(manifest):
        name = "../../../../escaped"
        plan({name: GRAPH})(manifest)
        manifest["graphs"][name] = manifest["graphs"].pop("net")
        manifest["nodes"][0]["graph"] = name
        manifest["variants"]["cpu.onnxruntime.fp32"]["files"] = {name: GRAPH}

    change(one_node, rename)
    with pytest.raises(BundleError, match="is not a path inside the bundle"):
        edgemm.build(one_node, host=host)
    assert not list(one_node.parent.rglob("escaped*"))


@pytest.mark.parametrize("name", ["/tmp/x", "../x", "a/../../x", ""])
def test_a_writer_writes_nothing_outside(tmp_path, name):
    with BundleWriter(tmp_path / "b") as writer, pytest.raises(BundleError, match="is not a path inside the bundle"):
        writer.add(name, b"x")


def test_a_graph_that_names_a_file_is_not_handed_to_a_compiler(one_node, host, compiled):
    weight = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/hostname")
    shape = ["batch", 3]
    graph = helper.make_graph(
        [helper.make_node("Sum", ["a", "b", "w"], ["answer"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "ab"],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, shape)],
        [weight],
    )
    content = helper.make_model(graph).SerializeToString()
    (one_node / GRAPH).write_bytes(content)

    def reseal(manifest):
        plan({"net": GRAPH})(manifest)
        manifest["files"][GRAPH] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    change(one_node, reseal)
    with pytest.raises(BundleError, match="another file"):
        edgemm.build(one_node, host=host)
    assert compiled == []
