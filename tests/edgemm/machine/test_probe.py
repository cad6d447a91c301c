"""What a machine says of itself."""

from __future__ import annotations

from types import SimpleNamespace

import edgemm
from edgemm.host.plugin_host import PluginHost, default_host
from edgemm.machine import probe as machine


def test_a_gpu_is_read_from_its_line():
    gpu = machine.gpu_from_line("NVIDIA GeForce RTX 4090, 8.9, 580.65.06, 24564")
    assert gpu == {
        "name": "NVIDIA GeForce RTX 4090",
        "compute_capability": 89,
        "driver": "580.65.06",
        "memory_gb": 24.0,
    }


def test_a_gpu_that_shares_its_memory_reports_none():
    gpu = machine.gpu_from_line("NVIDIA GB10, 12.1, 580.95.05, [N/A]")
    assert gpu is not None
    assert (gpu["compute_capability"], gpu["memory_gb"]) == (121, 0.0)


def test_anything_else_is_no_gpu():
    assert machine.gpu_from_line("NVIDIA-SMI has failed because it could not communicate with the driver") is None


def test_a_driver_that_fails_is_no_gpu(monkeypatch, tmp_path):
    broken = tmp_path / "nvidia-smi"
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert machine.probe_machine()["gpus"] == []


def test_the_probe_has_every_documented_key():
    keys = {"machine", "system", "cores", "memory_gb", "device_tree_model", "nv_tegra_release", "gpus", "nvidia_smi"}
    assert set(machine.probe_machine()) == keys


def test_a_driver_that_answers_is_read(monkeypatch, tmp_path):
    working = tmp_path / "nvidia-smi"
    working.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 4090, 8.9, 580.65.06, 24564'\n")
    working.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    probe = machine.probe_machine()
    assert probe["nvidia_smi"] == "NVIDIA GeForce RTX 4090, 8.9"
    assert machine.detect_device(default_host(), probe | {"device_tree_model": ""}) == "rtx-4090"


def test_a_plugin_names_the_device():
    host = PluginHost(only=[])
    hook = edgemm.hookimpl(
        lambda probe: "tiny-board" if probe["machine"] == "tiny" else None, specname="edgemm_detect_device"
    )
    host.register(SimpleNamespace(edgemm_detect_device=hook), "tiny")
    assert machine.detect_device(host, {"machine": "tiny"}) == "tiny-board"
    assert machine.detect_device(host, {"machine": "other"}) == "cpu"
