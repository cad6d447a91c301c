"""Everything that is registered keeps its contract, whoever provides it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from edgemm.host.entries import DeviceEntry, Entry
from edgemm.host.plugin_host import ENTRY_KINDS, Registered, default_host
from edgemm.inputs.kind import InputKind
from edgemm.machine.profiles import profiles
from edgemm.outputs.kind import OutputKind
from edgemm.tensors import TensorSpec
from edgemm.testing import check_encoder, check_fusion, check_head, check_input, check_output
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.clip import Clip
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.motion import Motion
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text
from edgemm_plugins.inputs.tokens import Tokens
from edgemm_plugins.outputs.array import Array
from edgemm_plugins.outputs.boxes import Boxes
from edgemm_plugins.outputs.classes import Classes
from edgemm_plugins.outputs.values import Values

WIDTH = 24
INPUTS: dict[str, InputKind] = {
    "image": Image(96, 96),
    "audio": Audio(8000, 1000, 100),
    "text": Text(64),
}
DECLARED: list[InputKind] = [
    *INPUTS.values(),
    Image(24, 32, "letterbox"),
    Audio(16_000, 30, 10),
    Clip(8, 32, 32),
    Clip(3, 16, 24, stride=2, hop=2, fit="stretch"),
    Motion(),
    Motion(3, samples=16, hop=16, rate_hz=12.5, modality="current"),
    Tensor((16, 6)),
    Tensor((3,), "bool", "switches"),
    Tokens(b'{"model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "add": 1}, "unk_token": "[UNK]"}}', 8),
    Tokens(b'{"model": {"type": "BPE", "vocab": {"a": 0, "d": 1}, "merges": []}}', 8, "int64"),
]
Specs = dict[str, TensorSpec]


def specs(**tensors: tuple[str, tuple[int, ...]]) -> Specs:
    return {name: TensorSpec(name, dtype, ("batch", *shape)) for name, (dtype, shape) in tensors.items()}


READ: list[tuple[OutputKind, Specs]] = [
    (Array(), specs(value=("float32", (3, 2)))),
    (Array(), specs(value=("bool", ()))),
    (Classes(("no", "yes")), specs(scores=("float32", (2,)))),
    (Values(("speed", "angle"), ("m/s", "°"), (2.0, 180.0)), specs(value=("float32", (2,)))),
    (Values(("count",)), specs(value=("int64", (1,)))),
    (Boxes(), specs(boxes=("float32", (20, 4)), scores=("float32", (20,)))),
    (Boxes(("a", "b"), "cxcywh"), specs(boxes=("float16", (20, 4)), scores=("float16", (20, 2)))),
    (
        Boxes(("a", "b"), classes=True, nms_iou=1),
        specs(boxes=("float32", (20, 4)), scores=("float32", (20,)), classes=("int64", (20,))),
    ),
]
# What an entry cannot do without, where its configuration has no default for it.
OPTIONS: dict[str, dict[str, Any]] = {"heads.classify": {"labels": ["no", "yes", "perhaps"]}}


def entries_of(kind: str) -> Mapping[str, Registered[Entry]]:
    return default_host().entries(ENTRY_KINDS[kind].record)


def entries(kind: str) -> list[Any]:
    return [pytest.param(found, id=name) for name, found in sorted(entries_of(kind).items())]


def make(found: Registered[Any], *arguments: Any) -> Any:
    """The entry's module, with a configuration of its own kind."""
    host = default_host()
    configuration = host.resolve(found, found.entry.config)
    options = dict(OPTIONS.get(found.entry.name, {}))
    if "width" in configuration.model_fields:
        options["width"] = WIDTH
    return host.resolve(found, found.entry.factory)(configuration(**options), *arguments)


@pytest.mark.parametrize("found", entries("encoder"))
def test_encoder(found: Registered[Any]) -> None:
    spec = INPUTS.get(found.entry.modality, Tensor((16, 6), modality=found.entry.modality))
    check_encoder(make(found, spec), spec, width=WIDTH)


@pytest.mark.parametrize("names", [("only",), ("image", "audio", "text")], ids=["one input", "three inputs"])
@pytest.mark.parametrize("found", entries("fusion"))
def test_fusion(found: Registered[Any], names: tuple[str, ...]) -> None:
    check_fusion(make(found, names, WIDTH), names, WIDTH)


@pytest.mark.parametrize("found", entries("head"))
def test_head(found: Registered[Any]) -> None:
    check_head(make(found, WIDTH), WIDTH)


@pytest.mark.parametrize("declared", DECLARED, ids=lambda kind: f"{kind.kind} {kind.describe()}")
def test_input(declared: InputKind) -> None:
    check_input(declared)


@pytest.mark.parametrize(("declared", "given"), READ, ids=lambda value: getattr(value, "kind", ""))
def test_output(declared: OutputKind, given: Specs) -> None:
    check_output(declared, given)


def test_no_kind_of_input_or_output_is_left_out() -> None:
    assert {kind.kind for kind in DECLARED} == set(entries_of("input"))
    assert {kind.kind for kind, _ in READ} == set(entries_of("output"))


@pytest.mark.parametrize("kind", sorted(set(ENTRY_KINDS) - {"device"}))
def test_every_factory_and_configuration_resolves(kind: str) -> None:
    host = default_host()
    for found in entries_of(kind).values():
        host.resolve(found, found.entry.factory)
        if getattr(found.entry, "config", ""):
            schema = host.resolve(found, found.entry.config).model_json_schema()
            assert schema["additionalProperties"] is False, (
                f"{found.entry.name}: a typo in model.toml would go unnoticed"
            )


def test_every_device_profile_is_readable() -> None:
    assert set(profiles(default_host())) == set(default_host().entries(DeviceEntry))


@pytest.mark.parametrize("kind", ["encoder", "fusion", "head", "source", "sink", "exporter", "quantizer", "device"])
def test_something_is_registered(kind: str) -> None:
    assert entries_of(kind)


def test_every_entry_says_what_it_is() -> None:
    silent = [
        (kind, name) for kind in ENTRY_KINDS for name, found in entries_of(kind).items() if not found.entry.summary
    ]
    assert silent == []


def test_nothing_of_ours_failed() -> None:
    assert [failure for failure in default_host().failures if failure.distribution.startswith("edgemm ")] == []
