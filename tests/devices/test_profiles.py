"""Device profiles: every file is a valid, registered profile that says where its figures come from."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.resources import files

import pytest

import edgemm_devices
from edgemm.errors import ExportError, PluginError, UnknownNameError
from edgemm.host.entries import DeviceEntry
from edgemm.host.plugin_host import PluginHost
from edgemm.machine.profiles import find_device, profiles
from edgemm.model.precision import PRECISIONS

EXPECTED = {
    "cpu": (0, "onnxruntime", "here"),
    "rtx-2080-ti": (75, "tensorrt_rtx", "here"),
    "a100": (80, "tensorrt_rtx", "here"),
    "rtx-3090": (86, "tensorrt_rtx", "here"),
    "rtx-4090": (89, "tensorrt_rtx", "here"),
    "rtx-5090": (120, "tensorrt_rtx", "here"),
    "dgx-spark": (121, "tensorrt_rtx", "here"),
    "jetson-orin-nano": (87, "tensorrt", "on-device"),
    "jetson-agx-thor": (110, "tensorrt", "on-device"),
}


@pytest.fixture
def host() -> PluginHost:
    host = PluginHost(only=(), strict=True)
    host.register(edgemm_devices, "devices")
    return host


def test_every_file_is_a_profile_and_the_first_ones_are_there(host: PluginHost) -> None:
    found = profiles(host)
    on_disk = {f.name.removesuffix(".toml") for f in files(edgemm_devices).joinpath("profiles").iterdir()}
    assert set(found) == on_disk
    for name, (capability, backend, build) in EXPECTED.items():
        profile = found[name]
        assert (profile.name, profile.compute_capability, profile.backend, profile.build) == (
            name,
            capability,
            backend,
            build,
        )


@pytest.mark.parametrize("name", EXPECTED)
def test_a_profile_is_complete(host: PluginHost, name: str) -> None:
    profile = profiles(host)[name]
    assert host.entries(DeviceEntry)[name].entry.summary == profile.title
    assert profile.precisions
    assert profile.source, "figures need their source"
    assert not profile.verified, "nothing has run on hardware yet"
    assert all(precision in PRECISIONS for precision in profile.refused)
    assert set(profile.precisions) | set(profile.refused) == set(PRECISIONS), "each is taken, or refused with a reason"
    assert not set(profile.precisions) & set(profile.refused)
    if profile.compute_capability:
        assert profile.memory_gb > 0
        assert profile.bandwidth_gb_s > 0
    if profile.build == "on-device":
        assert "JetPack" in profile.notes
        assert "edgemm build" in profile.notes


@pytest.mark.parametrize("name", ["rtx-2080-ti", "a100", "rtx-3090"])
def test_figures_from_memory_say_so(host: PluginHost, name: str) -> None:
    assert "from memory" in profiles(host)[name].notes


def test_names_and_aliases_belong_to_one_profile(host: PluginHost) -> None:
    names = [name for profile in profiles(host).values() for name in (profile.name, *profile.aliases)]
    assert len(names) == len(set(names))
    assert find_device(host, "sm89").name == "rtx-4090"
    with pytest.raises(UnknownNameError, match="did you mean 'rtx-4090'"):
        find_device(host, "rtx-4900")


@pytest.mark.parametrize(("precision", "reason"), [("fp32", "FP32 GEMM is not supported"), ("int8", r"use int8\+fp16")])
def test_turing_refuses_fp32_products_with_the_reason(host: PluginHost, precision: str, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        find_device(host, "rtx-2080-ti").check_precision(precision)


def test_the_cpu_refuses_fp16_with_the_reason(host: PluginHost) -> None:
    with pytest.raises(ExportError, match="compute in FP32"):
        find_device(host, "cpu").check_precision("fp16")


@pytest.fixture
def with_a_profile(tmp_path, monkeypatch):
    """A host whose own devices are all right, and a plugin's `board` that is what a test writes."""

    def make(text: str, strict: bool = False) -> PluginHost:
        package = tmp_path / "boards"
        package.mkdir()
        (package / "__init__.py").write_text(
            "import edgemm\n\n@edgemm.hookimpl\ndef edgemm_devices():\n    yield edgemm.DeviceEntry('board', 'boards:board.toml')\n"
        )
        (package / "board.toml").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "boards", raising=False)
        host = PluginHost(only=(), strict=strict)
        host.register(edgemm_devices, "devices")
        host.register(importlib.import_module("boards"), "boards")
        return host

    return make


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title = 'Board'", r"boards/board.toml: 'name' is missing; a device profile has: .*precisions"),
        ("title = ", r"boards/board.toml: cannot be read: "),
        ("name = 'board'\ntitle = 'B'\nbackend = 'xyz'\nprecisions = ['fp7']", r"precisions names 'fp7'"),
    ],
)
def test_a_broken_profile_is_a_plugins_failure_and_the_other_devices_are_there(with_a_profile, text, problem):
    host = with_a_profile(text)
    assert find_device(host, "cpu").name == "cpu"
    find_device(host, "rtx-4090")
    (failure,) = host.failures
    assert (failure.plugin, failure.stage) == ("boards", "device 'board'")
    assert re.search(problem, failure.error)
    with pytest.raises(PluginError, match=problem):
        find_device(host, "board")
    sys.modules.pop("boards")


def test_a_strict_host_raises_it(with_a_profile):
    with pytest.raises(PluginError, match="'name' is missing"):
        profiles(with_a_profile("title = 'Board'", strict=True))
    sys.modules.pop("boards")
