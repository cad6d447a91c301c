"""What is added in one plugin file, by a distribution that EdgeMM knows nothing of: declared, exported, verified, streamed, and opened alone.

Each file beside this one is a whole plugin. They are installed together, as distributions of their own, in a folder that is on the path; a bundle is
then opened in a process that imports only the one that it needs.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import edgemm
from edgemm.cli.main import main
from edgemm.errors import MissingDependencyError
from edgemm.exporting.summary import ExportSummary
from edgemm.host.named import class_of_kind
from edgemm.host.plugin_host import default_host
from edgemm.tensors import TensorSpec
from edgemm.testing import check_input, check_output, check_runner

HERE = Path(__file__).parent
PLUGINS = ("imu_window", "eight_frames", "vocabulary", "detections", "elsewhere")
REFERENCE = "cpu.onnxruntime.fp32"
OPEN = """
import importlib.metadata
import json
import sys

def scan(*_, **__):
    raise AssertionError("everything that is installed was scanned")

importlib.metadata.entry_points = scan

import numpy as np
import edgemm

path, values, variant, name, step_ns, *plugins = sys.argv[1:]
rows = [str(row) if row.dtype.kind == "U" else row for row in np.load(values)["rows"]]
with edgemm.open(path, variant=variant) as model:
    live = model.live()
    results = [live.push(name, row, number * int(step_ns)) for number, row in enumerate(rows)]
    told = [result.to_json()["outputs"] for result in results if result is not None]
    print(json.dumps([model.variant, told, sorted({*plugins, "pluggy", "torch"} & set(sys.modules))]))
"""


# ---- networks, each for one of the plugins


class OfMotion(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolve, self.answer = nn.Conv1d(6, 8, 5), nn.Linear(8, 3)

    def forward(self, motion: Tensor) -> Tensor:
        return self.answer(torch.relu(self.convolve(motion.transpose(1, 2))).mean(2))


class OfVideo(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolve, self.answer = nn.Conv2d(24, 8, 3), nn.Linear(8, 3)

    def forward(self, camera: Tensor) -> Tensor:
        frames = camera.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return self.answer(torch.relu(self.convolve(frames)).mean((2, 3)))


class OfWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.answer = nn.Embedding(4, 8), nn.Linear(8, 3)

    def forward(self, text_ids: Tensor, text_mask: Tensor) -> Tensor:
        there = text_mask.float()[:, :, None]
        return self.answer((self.embed(text_ids) * there).sum(1) / there.sum(1).clamp(min=1))


class OfThings(nn.Module):
    def __init__(self):
        super().__init__()
        self.look, self.corners, self.score = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8 * 49, 20), nn.Linear(8 * 49, 5)

    def forward(self, camera: Tensor) -> dict[str, Tensor]:
        seen = torch.relu(self.look(camera)).flatten(1)
        return {"corners": self.corners(seen).unflatten(1, (5, 4)), "likelihood": torch.sigmoid(3 * self.score(seen))}


@dataclass(frozen=True)
class Added:
    """One plugin, a network that uses it, and values to stream.

    Attributes:
        inputs: the network's only input, of the plugin's module.
        values: what its source delivers, every `step_ns`.
        outputs: how the network's outputs are read; as arrays if not given.
        device, precision: what is exported beside the reference.
        arrivals: how many results the values make.
    """

    plugin: str
    net: type[nn.Module]
    inputs: Callable[[ModuleType], Mapping[str, edgemm.InputKind]]
    values: Callable[[np.random.Generator], Sequence[Any]]
    arrivals: int
    step_ns: int = 10_000_000
    outputs: Callable[[ModuleType], Mapping[str, edgemm.OutputKind]] | None = None
    device: str = "cpu"
    precision: str = "int8"


def frames(count: int) -> Callable[[np.random.Generator], Sequence[Any]]:
    return lambda generator: list(generator.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))


ADDED = (
    Added(
        "imu_window",
        OfMotion,
        lambda plugin: {"motion": plugin.ImuWindow()},
        lambda generator: list(generator.uniform(-1, 1, (20, 13, 6)).astype(np.float32)),  # 260 samples
        arrivals=7,  # at 104, 130, … 260 samples
        step_ns=13 * 10**9 // 416,
    ),
    Added("eight_frames", OfVideo, lambda plugin: {"camera": plugin.EightFrames(16)}, frames(12), arrivals=5),
    Added(
        "vocabulary",
        OfWords,
        lambda plugin: {"text": plugin.Vocabulary(b"add them now")},
        lambda generator: ["add them", "add", "now add what", "them now them now them now them now"],
        arrivals=4,
    ),
    Added(
        "detections",
        OfThings,
        lambda plugin: {"camera": edgemm.Image(16, 16)},
        frames(4),
        arrivals=4,
        outputs=lambda plugin: {"found": plugin.Detections(0.4)},
    ),
    Added(
        "elsewhere",
        OfThings,
        lambda plugin: {"camera": edgemm.Image(16, 16)},
        frames(4),
        arrivals=4,
        device="board",
        precision="fp32",
    ),
)


class Recorded:
    """A source of values, one every so often."""

    live = False

    def __init__(self, name: str, values: Sequence[Any], step_ns: int):
        self.inputs, self._values, self._step_ns = (name,), values, step_ns

    def packets(self, stopped: Callable[[], bool]) -> Iterator[edgemm.Packet]:
        for number, value in enumerate(self._values):
            yield edgemm.Packet(self.inputs[0], value, number * self._step_ns, number)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Exported:
    added: Added
    module: ModuleType
    net: nn.Module
    path: Path
    summary: ExportSummary

    @property
    def name(self) -> str:
        """Of the only input."""
        return next(iter(self.added.inputs(self.module)))

    @property
    def kind(self) -> edgemm.InputKind:
        return self.added.inputs(self.module)[self.name]

    @property
    def values(self) -> Sequence[Any]:
        return self.added.values(np.random.default_rng(1))

    @property
    def variant(self) -> str:
        """What was made for the plugin's own device, or the reference."""
        return next(iter(self.summary.variants)) if self.added.device == "cpu" else list(self.summary.variants)[-1]

    def answers(self) -> list[dict[str, np.ndarray]]:
        """What torch answers to each arrival of the values: output -> array."""
        feed, answers = self.kind.open_feed(), []
        for number, value in enumerate(self.values):
            for tensors, _ in feed.push(value, number * self.added.step_ns):
                prepared = self.kind.prepared(*(torch.from_numpy(np.array(tensor)) for tensor in tensors))
                with torch.no_grad():
                    found = self.net(*(prepared if isinstance(prepared, tuple) else (prepared,)))
                found = found if isinstance(found, dict) else {"answer": found}
                answers.append({name: tensor[0].numpy() for name, tensor in found.items()})
        return answers


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with a distribution for each plugin."""
    folder = tmp_path_factory.mktemp("site")
    for plugin in PLUGINS:
        single = HERE / f"{plugin}.py"
        shutil.copy(single, folder) if single.is_file() else shutil.copytree(HERE / plugin, folder / plugin)
        info = folder / f"{plugin}_dist-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {plugin}-dist\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[edgemm]\n{plugin} = {plugin}\n")
    return folder


@pytest.fixture(scope="module")
def installed(site) -> Iterator[None]:
    """All of them beside our own, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        _forget()
        yield
    _forget()
    for plugin in PLUGINS:
        sys.modules.pop(plugin, None)


def _forget() -> None:
    default_host.cache_clear()
    class_of_kind.cache_clear()


@pytest.fixture(scope="module", params=ADDED, ids=lambda added: added.plugin)
def exported(request, installed, tmp_path_factory) -> Exported:
    added: Added = request.param
    module = importlib.import_module(added.plugin)
    torch.manual_seed(0)
    net = added.net().eval()
    outputs = added.outputs(module) if added.outputs else None
    model = edgemm.wrap(net, added.inputs(module), outputs=outputs)
    path = tmp_path_factory.mktemp("bundles") / f"{added.plugin}.edgemm"
    summary = edgemm.export(model, path, device=added.device, precision=added.precision)
    return Exported(added, module, net, path, summary)


def run_python(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh process, without the folder unless `environment` has it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "EDGEMM"))}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False)


with_a_backend = pytest.mark.parametrize("exported", [ADDED[-1]], ids=lambda added: added.plugin, indirect=True)


def test_it_keeps_its_contract(exported):
    check_input(exported.kind)
    if exported.added.plugin == "detections":
        specs = {"corners": ("batch", 5, 4), "likelihood": ("batch", 5)}
        check_output(
            exported.module.Detections(), {name: TensorSpec(name, "float32", shape) for name, shape in specs.items()}
        )


def test_what_was_asked_for_is_made_in_full(exported):
    made = list(exported.summary.variants)
    if exported.added.device == "cpu":
        assert made == [REFERENCE, "cpu.onnxruntime.int8"]
        assert exported.summary.fallbacks == {}
    else:
        assert len(made) == 2
        assert made[1].startswith("board.elsewhere-")


def test_it_is_verified(exported, capsys):
    assert main(["verify", str(exported.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["parity"]) == set(exported.summary.variants)
    assert told["skipped"] == {}


def test_it_streams_what_torch_computes(exported):
    wanted = exported.answers()
    assert len(wanted) == exported.added.arrivals
    source = Recorded(exported.name, exported.values, exported.added.step_ns)
    with edgemm.stream(exported.path, {exported.name: source}, realtime=False, variant=exported.variant) as stream:
        got = [by_name(result) for result in stream]
    assert len(got) == len(wanted)
    for left, right in zip(got, wanted, strict=True):
        assert left.keys() == right.keys()
        for name, array in left.items():
            np.testing.assert_allclose(array, right[name], rtol=1e-4, atol=1e-5)


def by_name(result: Any) -> dict[str, np.ndarray]:
    """The network's outputs, which an output of several tensors has by their own names."""
    return {
        output if tensor == "value" else tensor: array
        for output, tensors in result.tensors.items()
        for tensor, array in tensors.items()
    }


def test_it_is_opened_where_nothing_else_is_loaded(exported, site, tmp_path):
    np.savez(tmp_path / "values.npz", rows=np.array(exported.values))
    words = (exported.path, tmp_path / "values.npz", exported.variant, exported.name, exported.added.step_ns, *PLUGINS)
    done = run_python("-c", OPEN, *words, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    variant, told, loaded = json.loads(done.stdout.splitlines()[-1])
    assert variant == exported.variant
    assert loaded == [exported.added.plugin]
    with edgemm.open(exported.path, variant=exported.variant) as model:
        live = model.live()
        rows = enumerate(exported.values)
        results = [live.push(exported.name, value, number * exported.added.step_ns) for number, value in rows]
    assert told == [json.loads(json.dumps(result.to_json()["outputs"])) for result in results if result is not None]
    assert len(told) == exported.added.arrivals


def test_where_it_is_not_installed_the_error_names_the_distribution(exported):
    command = ("-m", "edgemm", "profile", exported.path, "--variant", exported.variant, "--runs", 1)
    done = run_python(*command)
    assert done.returncode != 0
    plugin = exported.added.plugin
    assert f"need the distribution '{plugin}-dist': pip install {plugin}-dist" in done.stderr
    assert "Traceback" not in done.stderr


@with_a_backend
def test_a_backend_that_is_gone_leaves_the_reference(exported, monkeypatch):
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if not (Path(folder) / "elsewhere").is_dir()])
    _forget()
    with edgemm.open(exported.path) as model:
        assert model.variant == REFERENCE
        assert "pip install elsewhere-dist" in model.variant_reason
    with pytest.raises(MissingDependencyError, match="pip install elsewhere-dist"):
        edgemm.open(exported.path, variant=exported.variant, trust=edgemm.Trust(engines=True))
    monkeypatch.undo()
    _forget()


@with_a_backend
def test_its_runner_keeps_its_contract(exported):
    with edgemm.open(exported.path, variant=exported.variant) as model:
        (runner,) = model.runners.values()
        check_runner(runner)
