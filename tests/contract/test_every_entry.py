"""Everything that is registered keeps its contract, whoever provides it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from edgemm.host.entries import DeviceEntry, Entry
from edgemm.host.plugin_host import ENTRY_KINDS, Registered, default_host
from edgemm.inputs.kind import InputKind
from edgemm.machine.profiles import profiles
from edgemm.testing import check_encoder, check_fusion, check_head
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.inputs.text import Text

WIDTH = 24
INPUTS: dict[str, InputKind] = {
    "image": Image(96, 96),
    "audio": Audio(8000, 1000, 100),
    "text": Text(64),
}
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
