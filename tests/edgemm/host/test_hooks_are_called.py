"""Every hook has a caller in the product: what EdgeMM offers people to do reaches a plugin that implements it.

A distribution that implements all hooks is installed. What its records name raises `Reached` when it is called, so that nothing has to be run to
its end. A new hook needs an entry in `PATHS`: what a user does that calls it.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

import edgemm
from edgemm.bundle.files import Bundle
from edgemm.bundle.manifest import Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.cli.main import main
from edgemm.errors import EdgeMMError
from edgemm.host import hookspecs
from edgemm.host.interfaces import Packet
from edgemm.host.named import class_of_kind
from edgemm.host.plugin_host import ENTRY_KINDS, default_host
from edgemm.modeling.spec import spec_from_text

HOOKS = [name for name in vars(hookspecs) if name.startswith("edgemm_")]
PLUGIN = '''
"""Implements every hook; each entry is called "every", and so is what it takes."""
from dataclasses import dataclass

from edgemm import InputKind, OutputKind, hookimpl
from edgemm.errors import EdgeMMError
from edgemm.host.plugin_host import ENTRY_KINDS

called, reached = [], []
FIELDS = {
    "source": {"schemes": ("every",)},
    "exporter": {"backend": "every"},
    "quantizer": {"backend": "onnxruntime", "precisions": ("fp16",)},
    "runner": {"formats": ("every",), "native": False},
}


class Reached(EdgeMMError):
    pass


def factory(kind):
    def make(*arguments, **options):
        reached.append(kind)
        raise Reached(kind)

    return make


def yields(kind):
    def hook():
        called.append(kind.hook)
        fields = {"factory": f"every_hook:make_{kind.name}"} | FIELDS.get(kind.name, {})
        if kind.name == "device":
            yield kind.record("every", factory="every_hook:every.toml")
            yield kind.record("every-cpu", factory="every_hook:every-cpu.toml")
        else:
            yield kind.record("every", **fields)

    return hookimpl(hook)


for kind in ENTRY_KINDS.values():
    globals()[kind.hook] = yields(kind)
    globals()[f"make_{kind.name}"] = factory(kind.name)


class run_command:
    """What a command's factory names is a module."""

    @staticmethod
    def add_arguments(parser):
        parser.description = "every"

    run = factory("command")


make_command = run_command


def declaration(kind, base):
    """What an input's or output's factory names is a declaration."""
    return dataclass(frozen=True)(type("Every", (base,), {"kind": "every", "__post_init__": factory(kind)}))


make_input = declaration("input", InputKind)
make_output = declaration("output", OutputKind)


@hookimpl
def edgemm_detect_device(machine):
    called.append("edgemm_detect_device")
    return "every"
'''
DEVICE = 'name = "{name}"\ntitle = "Every device"\nbackend = "{backend}"\nprecisions = ["fp16"]\n'
SPEC = """
[model]
name = "every"
[inputs.image]
kind = "image"
height = 16
width = 16
[encoders.image]
use = "{encoder}"
[fusion]
use = "{fusion}"
[heads.answer]
use = "{head}"
labels = ["no", "yes"]
[training]
task = "every"
"""
OURS = {"encoder": "vision.cnn", "fusion": "fusion.concat", "head": "heads.classify"}


class Frame:
    inputs, live = ("image",), False

    def packets(self, stopped):
        yield Packet("image", np.zeros((2, 2, 3), np.uint8), 0)

    def close(self):
        pass


@pytest.fixture
def every(tmp_path, monkeypatch):
    """The module of the installed distribution, among our own plugins."""
    package = tmp_path / "site" / "every_hook"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN)
    (package / "every.toml").write_text(DEVICE.format(name="every", backend="every"))
    (package / "every-cpu.toml").write_text(DEVICE.format(name="every-cpu", backend="onnxruntime"))
    info = tmp_path / "site" / "every_dist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: every-dist\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgemm]\nevery = every_hook\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    default_host.cache_clear()
    class_of_kind.cache_clear()
    assert default_host().failures == []
    yield importlib.import_module("every_hook")
    default_host.cache_clear()
    sys.modules.pop("every_hook", None)


class Paths:
    """What a user does that calls each hook."""

    def __init__(self, folder, three_inputs):
        self._folder, self._three_inputs = folder, three_inputs

    def edgemm_encoders(self):
        self._compose(encoder="every")

    def edgemm_fusions(self):
        self._compose(fusion="every")

    def edgemm_heads(self):
        self._compose(head="every")

    def edgemm_inputs(self):
        spec_from_text(SPEC.replace('kind = "image"\nheight = 16\nwidth = 16', 'kind = "every"').format(**OURS))

    def edgemm_outputs(self):
        spec_from_text(SPEC.replace("[training]", '[heads.answer.output]\nkind = "every"\n[training]').format(**OURS))

    def edgemm_tasks(self):
        (self._folder / "model.toml").write_text(SPEC.format(**OURS))
        edgemm.train(self._folder / "model.toml", self._folder / "trained")

    def edgemm_sources(self):
        edgemm.stream(self._three_inputs(), {"image": "every:"})

    def edgemm_sinks(self):
        edgemm.stream(self._three_inputs(), {"image": Frame()}, sinks=["every"])

    def edgemm_exporters(self):
        self._export("every")

    def edgemm_quantizers(self):
        self._export("every-cpu:fp16")

    def edgemm_runners(self):
        source, path = Bundle(self._three_inputs()), self._folder / "every.edgemm"
        with BundleWriter(path) as writer:
            for name in source.manifest.files:
                writer.add(name, source.read(name))
            files = {graph: writer.add(f"variants/{graph}.every", b"every") for graph in source.manifest.graphs}
            variants = {**source.manifest.variants, "every.every-1.fp16": Variant("every", "every", "1", "fp16", files)}
            writer.finish(lambda records: replace(source.manifest, variants=variants, files=records))
        edgemm.open(path, variant="every.every-1.fp16")

    def edgemm_devices(self):
        assert main(["devices", "every"]) == 0

    def edgemm_detect_device(self):
        assert main(["devices"]) == 0

    def edgemm_commands(self):
        main(["every"])

    def edgemm_observers(self):
        with edgemm.stream(self._three_inputs(), {"image": Frame()}, realtime=False) as stream:
            list(stream)

    def _compose(self, **parts):
        from edgemm.modeling.compose import compose

        compose(spec_from_text(SPEC.format(**OURS | parts)))

    def _export(self, device):
        model = edgemm.wrap(nn.Linear(3, 2), {"x": edgemm.Tensor((3,))})
        edgemm.export(model, self._folder / "out.edgemm", device=device)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_product_calls_every_hook(hook, every, tmp_path, three_inputs, capsys):
    do = getattr(Paths(tmp_path, three_inputs), hook, None)
    assert do is not None, f"nothing that a user does is known to call {hook}: say what does, or delete the hook"
    with suppress(EdgeMMError):
        do()
    assert hook in every.called
    kinds = [kind.name for kind in ENTRY_KINDS.values() if kind.hook == hook and kind.name != "device"]
    assert set(kinds) <= set(every.reached), "the entry is listed, but what it names is not called"


def test_no_path_is_kept_for_a_hook_that_is_gone():
    assert {name for name in vars(Paths) if name.startswith("edgemm_")} == set(HOOKS)
