"""With everything at its defaults nothing is recorded below the user's folders and no name is looked up, by what we depend on either.

ONNX Runtime is switched off before it is imported (`edgemm/__init__.py`); each test is one way to import it, in a fresh process with a fresh home.
What strace sees of whole commands is in `cli/test_what_commands_touch.py`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUTSIDE = {"edgemm_exporters": ROOT / "exporters", "edgemm_digit_desk": ROOT / "plugins" / "digit_desk"}
SWITCH = "ORT_DISABLE_TELEMETRY"
ASK = "import numpy as np\nwith edgemm.open(PATH) as model:\n    assert model.infer(image=np.zeros((2, 2, 3), np.uint8)).outputs"
USES = {
    "open": ASK,
    "profile": "edgemm.profile(PATH, runs=2)",
    "doctor": "edgemm.doctor()",
    "profile's command": "from edgemm.cli.main import main\nassert main(['profile', PATH, '--runs', '2']) == 0",
    "facts of a machine": "from edgemm.machine.facts import machine_facts\nmachine_facts()",
}


def in_fresh_home(home: Path, code: str, path: Path) -> list[str]:
    """Run `code`, which may use `edgemm` and `PATH`; the files that it left in its home, which is its folder for temporary files too."""
    home.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != SWITCH and not name.startswith("XDG_")}
    environment |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    script = f"import edgemm\nPATH = {str(path)!r}\n{code}\n"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = [str(found.relative_to(home)) for found in home.rglob("*") if found.is_file() or found.is_symlink()]
    # the doctor asks for microphones, and the sound server's client keeps a folder
    return sorted(name for name in left if "/pulse/" not in name)


@pytest.mark.parametrize("use", USES)
def test_no_file_is_left_in_the_user_s_folders(three_inputs, tmp_path, use):
    assert in_fresh_home(tmp_path / "home", USES[use], three_inputs()) == []


EXPORT = """
import numpy as np, torch
net = torch.nn.Linear(4, 2)
model = edgemm.wrap(net, inputs={"x": edgemm.Tensor((4,))}, labels=["a", "b"])
edgemm.export(model, PATH, precision="int8", calibration=[{"x": np.ones(4, np.float32) * n} for n in range(40)])
"""


@pytest.mark.export
def test_an_export_leaves_no_file_in_the_user_s_folders(tmp_path):
    left = in_fresh_home(tmp_path / "home", EXPORT, tmp_path / "out.edgemm")
    assert (tmp_path / "out.edgemm" / "manifest.json").is_file()
    assert [name for name in left if "icrosoft" in name or "onnxruntime" in name or ".ses" in name] == []


def test_who_wants_it_on_has_it_on():
    code = f"import os; os.environ[{SWITCH!r}] = '0'; import edgemm; print(os.environ[{SWITCH!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]


def test_a_child_process_that_compiles_has_it_off(monkeypatch):
    pytest.importorskip("edgemm_exporters")
    from edgemm_exporters.tensorrt_engine.guard import call_guarded

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    answer = call_guarded("test_nothing_is_sent:switch_of_child", {}, what="asking a child", timeout_s=60)
    assert answer == "1"


def switch_of_child(payload, hooks):
    """Called in the child."""
    return os.environ.get(SWITCH)


def modules_that_import_onnxruntime() -> list[str]:
    found = []
    for package, folder in OUTSIDE.items():
        for path in sorted((folder / package).rglob("*.py")):
            named = {
                name
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                for name in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
            }
            if any(name.partition(".")[0] == "onnxruntime" for name in named):
                found.append(".".join(path.relative_to(folder).with_suffix("").parts))
    return found


WATCH = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get({SWITCH!r}), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
import MODULE
"""


@pytest.mark.parametrize("module", modules_that_import_onnxruntime())
def test_a_module_outside_the_core_imports_edgemm_before_onnxruntime(module):
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    code = WATCH.replace("MODULE", module)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
