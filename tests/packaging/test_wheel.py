"""What the wheel holds, and what it can do where only its core dependencies are."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgemm.bundle.manifest import GraphRecord, Manifest, Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.classes import Classes

ROOT = Path(__file__).parents[2]
PACKAGES = {"edgemm", "edgemm_plugins", "edgemm_exporters", "edgemm_devices"}
TORCH_SIDE = ("edgemm.modeling", "edgemm.exporting", "edgemm.training", "edgemm.testing")
EXTRAS = {"torch", "onnx", "onnxscript", "safetensors", "jinja2", "rich"}
LIMIT_BYTES = 4_000_000  # compiled files included


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def answer(run, python: Path, code: str):
    """What `code` prints as JSON, run by another Python."""
    return json.loads(run(python, "-c", code).stdout.splitlines()[-1])


def test_the_top_level_is_exactly_the_four_packages(wheel):
    tops = {name.partition("/")[0] for name in names_in(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert len(tops) == len(PACKAGES) + 1


def test_every_package_is_typed(wheel):
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names_in(wheel))


def test_every_source_file_is_in_it(wheel):
    rooms = {"edgemm": ROOT / "edgemm", "edgemm_plugins": ROOT / "plugins/edgemm_plugins"}
    rooms |= {
        "edgemm_exporters": ROOT / "exporters/edgemm_exporters",
        "edgemm_devices": ROOT / "devices/edgemm_devices",
    }
    ours = {
        f"{name}/{path.relative_to(room).as_posix()}"
        for name, room in rooms.items()
        for path in room.rglob("*")
        if path.suffix in (".py", ".j2", ".css")
    }
    assert ours <= set(names_in(wheel))


def test_licences_are_in_it(wheel):
    found = {Path(name).name for name in names_in(wheel) if ".dist-info/licenses/" in name}
    assert {"LICENSE", "NOTICE"} <= found


def test_nothing_left_over_is_in_it(wheel):
    assert [
        name for name in names_in(wheel) if "__pycache__" in name or name.endswith((".pyc", ".pt", ".pkl", ".pth"))
    ] == []


def test_nothing_of_the_reference_model_is_in_it(wheel):
    data = (".safetensors", ".npz", ".npy", ".mp4", ".srt", ".jsonl")
    assert [name for name in names_in(wheel) if "digit_desk" in name or name.endswith(data)] == []


def test_the_core_install_is_small(run, bare):
    code = """
import json, re
from importlib.metadata import distributions
found = {re.sub(r'[-_.]+', '-', d.metadata['Name']).lower(): d for d in distributions()}
def needs(name):
    lines = [line for line in found[name].requires or () if 'extra ==' not in line]
    return {re.sub(r'[-_.]+', '-', re.match(r'[A-Za-z0-9._-]+', line)[0]).lower() for line in lines} & set(found)
allowed, waiting = {'pip', 'setuptools'}, ['onnxruntime', 'numpy', 'pydantic', 'pluggy']
while waiting:
    name = waiting.pop()
    if name not in allowed:
        allowed.add(name)
        waiting += needs(name)
sizes = {n: sum(f.locate().stat().st_size for f in d.files if f.locate().is_file()) for n, d in found.items() if n not in allowed}
print(json.dumps(sizes))
"""
    sizes = answer(run, bare, code)
    assert "edgemm" in sizes
    assert set(sizes) <= {"edgemm", "tomli"}
    assert sum(sizes.values()) <= LIMIT_BYTES, sizes


def test_every_core_module_can_be_imported(run, bare):
    code = """
import importlib, json, pkgutil, edgemm
missing = {}
for module in pkgutil.walk_packages(edgemm.__path__, 'edgemm.'):
    if module.name == 'edgemm.__main__':
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        missing[module.name] = error.name
print(json.dumps(missing))
"""
    missing = answer(run, bare, code)
    assert set(missing.values()) <= EXTRAS
    assert [name for name in missing if not name.startswith(TORCH_SIDE)] == []


def test_every_plugin_registers(run, bare):
    code = """
import json
from edgemm.host.plugin_host import ENTRY_KINDS, default_host
host = default_host()
names = [name for kind in ENTRY_KINDS.values() for name in host.entries(kind.record)]
print(json.dumps([names, [str(failure) for failure in host.failures]]))
"""
    names, failures = answer(run, bare, code)
    assert failures == []
    assert {"vision.cnn", "fusion.joint", "media_file", "cpu"} <= set(names)


@pytest.mark.parametrize("words", [["--help"], ["plugins", "--strict"], ["devices"], ["doctor"]])
def test_the_command_works(run, bare, words):
    run(bare.with_name("edgemm"), *words)


def test_the_demo_is_listed_and_says_what_to_install(run, bare):
    edgemm = bare.with_name("edgemm")
    assert "\n  demo " in run(edgemm, "--help").stdout
    done = run(edgemm, "demo", check=False)
    assert done.returncode == 3
    assert "needs the reference model, a distribution of its own: pip install edgemm-digit-desk\n" in done.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["export", "desk.ckpt", "--out", "desk.edgemm"], "export"),
        (["train", "model.toml", "--out", "desk.ckpt"], "train"),
    ],
)
def test_a_missing_extra_is_named(run, bare, words, extra):
    done = run(bare.with_name("edgemm"), *words, check=False)
    assert done.returncode == 3
    assert f"pip install 'edgemm[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def doubling_bundle(path: Path) -> Path:
    """A bundle of one node: answer = 2 x."""
    shape = ["batch", 3]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["answer"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, shape)],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    onnx.checker.check_model(content)
    runner = OnnxRuntimeRunner(content, "double")
    node = Node("double", "double", edges({"x": "input.x"}), ("answer",))
    model = ModelGraph(
        "doubling", {"x": Tensor((3,))}, (node,), {"answer": Output.of("double.answer", Classes(("a", "b", "c")))}
    )
    with BundleWriter(path) as writer:
        files = {"double": writer.add("graphs/double/model.onnx", content)}
        writer.finish(
            lambda records: Manifest(
                name=model.name,
                inputs=model.inputs,
                graphs={"double": GraphRecord(tuple(runner.inputs), tuple(runner.outputs))},
                nodes=model.nodes,
                outputs=model.outputs,
                variants={"cpu.onnxruntime.fp32": Variant("cpu", "onnxruntime", "1", "fp32", files)},
                files=records,
            )
        )
    return path


def test_a_bundle_is_opened_and_asked_without_torch_or_pydantic(run, bare, tmp_path):
    bundle = doubling_bundle(tmp_path / "doubling.edgemm")
    code = f"""
import json, sys
import numpy as np
import edgemm
with edgemm.open({str(bundle)!r}) as model:
    result = model.infer(x=np.array([1, 5, 2], np.float32))
loaded = sorted({{'torch', 'onnx', 'pydantic', 'pluggy', 'rich'}} & set(sys.modules))
print(json.dumps([result.outputs['answer'].scores.tolist(), result.outputs['answer'].label, loaded]))
"""
    scores, label, loaded = answer(run, bare, code)
    np.testing.assert_array_equal(scores, [2, 10, 4])
    assert label == "b"
    assert loaded == []
