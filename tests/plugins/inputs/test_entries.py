"""The kinds of input that are registered."""

from __future__ import annotations

from edgemm.host.entries import InputEntry
from edgemm.host.plugin_host import PluginHost
from edgemm_plugins import inputs


def test_every_kind_is_registered_under_its_name():
    host = PluginHost(only=[])
    host.register(inputs, "inputs")
    found = {name: host.load(InputEntry, name) for name in host.entries(InputEntry)}
    assert {name: kind.kind for name, kind in found.items()} == {
        name: name for name in ("image", "audio", "text", "tokens", "clip", "motion", "tensor")
    }
