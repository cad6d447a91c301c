from __future__ import annotations

import json
import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgemm
from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.errors import UsageError
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.outputs.classes import Classes

INPUTS = {"image": Image(4, 6), "audio": Audio(1000, 100, 20), "text": Text(8)}
TYPES = {"image": TensorProto.UINT8, "audio": TensorProto.FLOAT, "text": TensorProto.INT32}


def onnx_bytes(nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, t, ["batch", *s]) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, t, ["batch", *s]) for n, t, s in outputs],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


@pytest.fixture
def bundle(tmp_path):
    graphs = {}
    for name, spec in INPUTS.items():
        axes = np.arange(1, len(spec.tensors[0].shape))
        graphs[name] = onnx_bytes(
            [
                helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
                helper.make_node("ReduceMean", ["f", "axes"], ["m"], keepdims=0),
                helper.make_node("Unsqueeze", ["m", "last"], ["tokens"]),
            ],
            [("x", TYPES[name], spec.tensors[0].shape[1:])],
            [("tokens", TensorProto.FLOAT, [1])],
            [("axes", axes), ("last", np.array([1]))],
        )
    graphs["fusion"] = onnx_bytes(
        [
            helper.make_node("Concat", [*INPUTS], ["all"], axis=1),
            helper.make_node("Mul", ["all", "presence"], ["seen"]),
            helper.make_node("Sub", ["seen", "age_ms"], ["answer"]),
        ],
        [*((name, TensorProto.FLOAT, [1]) for name in INPUTS), ("presence", 1, [3]), ("age_ms", 1, [3])],
        [("answer", TensorProto.FLOAT, [3])],
        [],
    )
    fusion = Node(
        "fusion", "fusion", edges({name: f"{name}.tokens" for name in INPUTS}), ("answer",), role="fusion", members=tuple(INPUTS),
        presence="presence", age="age_ms",
    )  # fmt: skip
    model = ModelGraph(
        "three",
        INPUTS,
        (*(Node(n, n, edges({"x": f"input.{n}"}), ("tokens",), role="encoder") for n in INPUTS), fusion),
        {"answer": Output.of("fusion.answer", Classes(("a", "b", "c")))},
    )
    runners = {name: OnnxRuntimeRunner(content, name) for name, content in graphs.items()}
    path = tmp_path / "three.edgemm"
    with BundleWriter(path) as writer:
        files = {name: writer.add(f"graphs/{name}/model.onnx", content) for name, content in graphs.items()}
        writer.finish(
            lambda records: Manifest(
                "three", INPUTS,
                {n: GraphRecord(tuple(r.inputs), tuple(r.outputs)) for n, r in runners.items()},
                model.nodes, model.outputs,
                {"cpu.onnxruntime.fp32": Variant("cpu", "onnxruntime", "1", "fp32", files)}, records,
            )
        )  # fmt: skip
    return path


def test_every_stage_is_measured(bundle):
    profile = edgemm.profile(bundle, runs=30)
    assert [(stage.kind, stage.name) for stage in profile.stages] == [
        ("input", "image: 6 x 4 RGB, crop"),
        ("input", "audio: 1 kHz, 100 ms by 20"),
        ("input", "text: up to 8 bytes"),
        *(("node", name) for name in ("image", "audio", "text", "fusion")),
        ("result", "result"),
        ("total", "total"),
    ]
    assert profile.runs == 30
    for stage in profile.stages:
        assert 0 < stage.edgemm.p50_us <= stage.edgemm.p95_us <= stage.edgemm.p99_us
        assert (stage.bare is None) == (stage.kind in ("input", "result"))
        assert (stage.floor is None) == (stage.bare is None)
        assert stage.ratio is None or (math.isfinite(stage.ratio) and stage.ratio > 0)


def test_the_total_is_no_less_than_its_parts(bundle):
    profile = edgemm.profile(bundle, runs=1)
    parts = [stage for stage in profile.stages if stage.kind in ("node", "result")]
    total = profile.stage("total")
    assert total.edgemm.p50_us >= sum(stage.edgemm.p50_us for stage in parts) - 0.1
    assert total.bare.p50_us == pytest.approx(sum(stage.bare.p50_us for stage in parts if stage.bare), abs=0.1)


def test_json_and_table_tell_machine_sizes_and_versions(bundle):
    profile = edgemm.profile(bundle, runs=3)
    value = json.loads(json.dumps(profile.to_json()))
    assert value["stages"][-1]["ratio"] == profile.stages[-1].ratio
    assert set(value["bytes"]) == {"image", "audio", "text", "fusion"}
    assert all(size > 0 for size in value["bytes"].values())
    assert value["machine"]["versions"]["onnxruntime"]
    assert value["machine"]["cpu"]
    assert value["load_ms"] > 0
    printed = str(profile)
    for word in ("node fusion", "bare ONNX Runtime", "cpu.onnxruntime.fp32", value["machine"]["cpu"]):
        assert word in printed


def test_an_open_model_stays_open(bundle):
    with edgemm.open(bundle) as model:
        assert edgemm.profile(model, runs=2).load_ms is None
        assert model.infer(text="a").outputs["answer"].scores.shape == (3,)


def test_no_runs_is_refused(bundle):
    with pytest.raises(UsageError, match="at least 1, got 0"):
        edgemm.profile(bundle, runs=0)
