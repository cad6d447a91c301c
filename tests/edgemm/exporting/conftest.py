"""A chain of two small graphs, and a plugin of a test's own: a backend, and a quantizer that writes what the test wants."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import edgemm
import edgemm_devices
from edgemm.errors import BundleError
from edgemm.exporting import graphs as graphs_module
from edgemm.host.interfaces import EngineRecord, RunnerFit
from edgemm.host.plugin_host import PluginHost
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.runners.onnxruntime import OnnxRuntimeRunner

WIDTH = 8
MARK = b"xyz\0"  # what an engine of the imaginary backend begins with


class Step(nn.Module):
    """x to y = 2 x and whether its first element is positive."""

    def __init__(self):
        super().__init__()
        self.product = nn.Linear(WIDTH, WIDTH, bias=False)
        self.product.weight = nn.Parameter(2 * torch.eye(WIDTH))

    def forward(self, x):
        y = self.product(x)
        return y, y[:, :1] > 0


class Chain:
    """x -> first -> second -> third -> answer; the first two share the graph `step`, the third has the graph `last`."""

    def __init__(self, step: nn.Module, last: nn.Module):
        self.state_by_graph = {}
        outputs = ("y", "up")
        nodes = (
            Node("first", "step", edges({"x": "input.x"}), outputs),
            Node("second", "step", edges({"x": "first.y"}), outputs),
            Node("third", "last", edges({"x": "second.y"}), outputs),
        )
        self.graph = ModelGraph(
            "chain",
            {"x": edgemm.Tensor((WIDTH,))},
            nodes,
            {"answer": Output.of("third.y", edgemm.Classes(tuple("abcdefgh")))},
        )
        self.modules_by_graph = {"step": step.eval(), "last": last.eval()}


@pytest.fixture(scope="session")
def chain() -> Chain:
    return Chain(Step(), Step())


@pytest.fixture(scope="session")
def exported_graphs() -> dict[object, tuple[nn.Module, bytes, tuple[str, ...]]]:
    """What torch made of each module so far."""
    return {}


@pytest.fixture(scope="module", autouse=True)
def torch_exports_each_module_once(exported_graphs):
    """Torch takes seconds for the smallest graph: what it wrote for a module is written again, the rest of the export is as ever."""
    real = graphs_module.onnx_from_torch

    def remembered(module, example, inputs, outputs, path):
        key = (_content(module), inputs, outputs)
        if key not in exported_graphs:
            kept = real(module, example, inputs, outputs, path)
            exported_graphs[key] = module, path.read_bytes(), kept
        path.write_bytes(exported_graphs[key][1])
        return exported_graphs[key][2]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs_module, "onnx_from_torch", remembered)
        yield


def _content(module: nn.Module) -> object:
    """Equal for a module that was loaded or composed again; one without weights is only itself."""
    state = module.state_dict()
    if not state:
        return module
    return repr(module), tuple((name, tensor.numpy().tobytes()) for name, tensor in state.items())


# ---- a plugin of a test's own


class Quantizer:
    """Writes the graph itself, or what a test makes of it.

    Args:
        changes: precision, or (precision, graph) -> what is done to the graph, or the exception that is raised instead.

    Attributes:
        asked: (precision, graph) of every call.
        calibration: graph -> the rows that it was last calibrated on.
        kept: graph -> the nodes that it was last told to keep in FP32.
    """

    def __init__(self, changes: Mapping[Any, Callable[[onnx.ModelProto], None] | Exception]):
        self.changes = changes
        self.asked: list[tuple[str, str]] = []
        self.calibration: dict[str, np.ndarray] = {}
        self.kept: dict[str, tuple[str, ...]] = {}

    def quantize(self, source, target, *, precision, calibration, keep_fp32):
        graph = source.parent.name
        self.asked.append((precision, graph))
        self.kept[graph] = tuple(keep_fp32)
        self.calibration[graph] = np.concatenate([feeds["x"] for feeds in calibration()])
        change = self.changes.get((precision, graph), self.changes.get(precision))
        if isinstance(change, Exception):
            target.write_bytes(b"half")
            raise change
        model = onnx.load(source)
        if change is not None:
            change(model)
        onnx.save(model, target)


class Exporter:
    """Compiles for the imaginary backend: an engine is the ONNX behind a mark.

    Args:
        refuses: why it cannot compile here; "" when it can.
        writes: what it makes of an ONNX.
    """

    format = "xyz"

    def __init__(self, refuses: str = "", writes: Callable[[bytes], bytes] = lambda content: MARK + content):
        self.refuses = refuses
        self.writes = writes

    def unavailable(self, device):
        return self.refuses

    def version(self):
        return "1.0"

    def build(self, source, target, *, device, shapes):
        assert {(shape.minimum[0], shape.usual[0], shape.maximum[0]) for shape in shapes.values()} == {(1, 1, 8)}
        target.write_bytes(self.writes(source.read_bytes()))
        return EngineRecord("xyz 1.0", 0.1, target.stat().st_size)


_number = itertools.count()


class Imaginary:
    """A plugin: an importable package whose device profiles are files, as they must be, and whose objects are those of a test."""

    def __init__(self, folder: Path):
        self.name = f"imaginary_{next(_number)}"
        self._folder = folder / self.name
        self._folder.mkdir()
        (self._folder / "__init__.py").touch()
        self._module = importlib.import_module(self.name)
        self._entries: dict[str, list[Any]] = {}

    def device(self, name: str, precisions: Sequence[str], **keys: Any) -> None:
        """Add a device profile; its backend is `xyz` unless told otherwise."""
        table = {"name": name, "title": name, "backend": "xyz", "precisions": list(precisions), **keys}
        (self._folder / f"{name}.toml").write_text("".join(f"{key} = {value!r}\n" for key, value in table.items()))
        self._add("devices", edgemm.DeviceEntry(name, f"{self.name}:{name}.toml"))

    def exporter(self, **options: Any) -> Exporter:
        """Add what compiles for `xyz`."""
        exporter = Exporter(**options)
        self._add("exporters", edgemm.ExporterEntry("xyz", self._put(lambda: exporter), backend="xyz"))
        return exporter

    def runner(self, fit: Callable[[object], RunnerFit] | None = None) -> list[str]:
        """Add what runs engines of `xyz`: the ONNX behind the mark; returns the graphs that it will have loaded."""
        loaded = []

        def load(content: bytes, options: Mapping[str, Any]) -> OnnxRuntimeRunner:
            loaded.append(options["graph"])
            if not content.startswith(MARK):
                raise BundleError("this is no engine of xyz")
            return OnnxRuntimeRunner(content.removeprefix(MARK), options["graph"])

        entry = edgemm.RunnerEntry("xyz", self._put(load), formats=("xyz",), fit=self._put(fit) if fit else "")
        self._add("runners", entry)
        return loaded

    def quantizer(self, *precisions: str, backend: str = "xyz", changes: Mapping[Any, Any] | None = None) -> Quantizer:
        """Add what writes graphs of `precisions`; see `Quantizer` for `changes`."""
        quantizer = Quantizer({} if changes is None else changes)
        self._add(
            "quantizers",
            edgemm.QuantizerEntry(
                f"own.{backend}", self._put(lambda: quantizer), backend=backend, precisions=precisions
            ),
        )
        return quantizer

    def host(self, *plugins: ModuleType, distribution: str = "registered by hand") -> PluginHost:
        """A host with our device profiles, this plugin, as that distribution brings it, and `plugins`, and nothing else."""
        host = PluginHost(only=(), strict=True)
        for plugin in (edgemm_devices, *plugins):
            host.register(plugin, plugin.__name__)
        host.register(self._module, self.name, distribution)
        return host

    def _put(self, function: Callable[..., Any]) -> str:
        name = f"made_{next(_number)}"
        setattr(self._module, name, function)
        return f"{self.name}:{name}"

    def _add(self, kind: str, entry: Any) -> None:
        entries = self._entries.setdefault(kind, [])
        entries.append(entry)
        setattr(self._module, f"edgemm_{kind}", edgemm.hookimpl(lambda: entries))


@pytest.fixture
def imaginary(tmp_path_factory, monkeypatch) -> Iterator[Imaginary]:
    """A plugin that knows nothing yet."""
    folder = tmp_path_factory.mktemp("plugin")
    monkeypatch.syspath_prepend(folder)
    plugin = Imaginary(folder)
    yield plugin
    del sys.modules[plugin.name]
