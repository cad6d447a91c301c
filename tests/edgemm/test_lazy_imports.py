"""What is not needed is not imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

TORCH_SIDE = ("torch", "onnx", "onnxscript", "safetensors")
MEDIA = ("av", "sounddevice", "soxr", "rich")
ENGINES = ("tensorrt", "tensorrt_rtx", "cuda")
CORE = ("numpy", "onnxruntime", "pydantic")


def modules(code: str, *words: str) -> set[str]:
    """Modules that `code`, given `words`, leaves in a fresh interpreter."""
    tail = "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + tail, *words], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def imported(code: str, *words: str) -> set[str]:
    """The same, the top-level ones alone."""
    return {name.partition(".")[0] for name in modules(code, *words)}


def test_import_edgemm_loads_nothing_heavy():
    assert imported("import edgemm") & {*CORE, *TORCH_SIDE, *MEDIA, *ENGINES, "pluggy"} == set()


def test_a_plugin_module_needs_no_array_library():
    names = ("vision", "audio", "text", "fusion", "heads", "sources", "sinks")
    code = "\n".join(f"import edgemm_plugins.{name}" for name in names)
    code += "\nimport edgemm_exporters.onnxruntime_quant, edgemm_exporters.tensorrt_engine, edgemm_devices"
    assert imported(code) & {*CORE, *TORCH_SIDE, *MEDIA, *ENGINES} == set()


def test_listing_every_plugin_loads_nothing_heavy():
    code = (
        "from edgemm.host.plugin_host import ENTRY_KINDS, default_host\n"
        "assert all(default_host().entries(kind.record) is not None for kind in ENTRY_KINDS.values())"
    )
    assert imported(code) & {*CORE, *TORCH_SIDE, *MEDIA, *ENGINES} == set()


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["plugins"], ["devices"], ["run", "--help"], ["export", "--help"]]
)
def test_the_command_line_loads_nothing_heavy(words):
    code = f"from edgemm.cli.main import main\nassert main({words!r}) == 0"
    assert imported(code) & {*CORE, *TORCH_SIDE, *MEDIA, *ENGINES} == set()


def test_help_discovers_no_plugin():
    assert "pluggy" not in imported("from edgemm.cli.main import main\nassert main(['--help']) == 0")


OPEN = """
import sys, importlib.metadata
import numpy as np
import edgemm

def scan(**_):
    raise AssertionError("opening scans what is installed")

importlib.metadata.entry_points = scan
with edgemm.open(sys.argv[1]) as model:
    assert list(model.infer(text="\\x08").outputs) == ["answer"]
    assert list(model.live().push("text", "\\x08", 0).outputs) == ["answer"]
"""


def test_opening_loads_the_kinds_that_the_bundle_names_and_scans_nothing(three_inputs):
    assert "pluggy" not in imported(OPEN, str(three_inputs()))


ASK = """
import sys
import edgemm

with edgemm.open(sys.argv[1]) as model:
    assert list(model.infer(text="\\x08").outputs) == ["answer"]
"""


@pytest.fixture
def asked(three_inputs):
    """What opening a folder and asking it once loads, beside what numpy and ONNX Runtime bring."""
    return modules(ASK, str(three_inputs())) - modules("import numpy, onnxruntime")


def test_asking_once_loads_no_more_than_the_rooms_that_it_goes_through(asked):
    rooms = {name.split(".")[1] for name in asked if name.startswith("edgemm.")}
    reads = {"bundle", "host", "inputs", "model", "outputs", "reading", "runners", "runtime"}
    assert rooms == reads | {"errors", "limits", "tensors", "version"}
    assert {name for name in asked if name.startswith("edgemm.host.")} == {
        "edgemm.host.declarations", "edgemm.host.named", "edgemm.host.marker"
    }  # fmt: skip
    assert {name for name in asked if name.startswith("edgemm.runtime.")} == {
        "edgemm.runtime.feeds", "edgemm.runtime.model", "edgemm.runtime.single_pass"
    }  # fmt: skip


def test_asking_once_loads_the_kinds_that_the_bundle_names_and_no_others(asked):
    assert {name for name in asked if name.startswith("edgemm_plugins.") and name.count(".") == 2} == {
        "edgemm_plugins.inputs.image", "edgemm_plugins.inputs.audio", "edgemm_plugins.inputs.text", "edgemm_plugins.outputs.array"
    }  # fmt: skip


def test_asking_a_folder_once_loads_nothing_slow_of_the_standard_library(asked):
    slow = {
        "pathlib",
        "pkgutil",
        "zipfile",
        "tempfile",
        "subprocess",
        "logging",
        "importlib.metadata",
        "concurrent",
        "urllib",
    }
    assert asked & slow == set()


USE = """
import sys
import numpy as np
import edgemm

frame = np.full((2, 2, 3), 10, np.uint8)
with edgemm.open(sys.argv[1]) as model:
    assert list(model.infer(image=frame, text="\\x08").outputs) == ["answer"]
    assert list(model.live().push("image", frame, 0).outputs) == ["answer"]
    inbox = edgemm.Inbox()
    with edgemm.stream(model, {"text": inbox}) as results:
        inbox.put("\\x08")
        assert list(next(iter(results)).outputs) == ["answer"]
"""


def test_opening_inferring_pushing_and_streaming_need_neither_torch_nor_pydantic(three_inputs):
    loaded = imported(USE, str(three_inputs()))
    assert {"numpy", "onnxruntime"} <= loaded, "something was run"
    assert loaded & {*TORCH_SIDE, *MEDIA, *ENGINES, "pydantic"} == set()
