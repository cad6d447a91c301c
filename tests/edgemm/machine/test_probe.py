"""What a machine says of itself, asked once."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import edgemm
from edgemm.host.plugin_host import PluginHost
from edgemm.machine import probe
from edgemm.machine.machine import Gpu, L4t, Machine


@pytest.fixture
def files(monkeypatch, tmp_path):
    """Gives the probe files of another machine, by their path."""
    read = Path.read_text

    def install(**texts):
        known = {"cpuinfo": "/proc/cpuinfo", "model": "/proc/device-tree/model", "release": "/etc/nv_tegra_release"}
        there = {known[name]: text for name, text in texts.items()}

        def read_text(path, *arguments):
            if str(path) in known.values() and str(path) not in there:
                raise FileNotFoundError(path)
            return there[str(path)] if str(path) in there else read(path, *arguments)

        monkeypatch.setattr(Path, "read_text", read_text)

    return install


def test_a_process_looks_once(monkeypatch):
    looked = []
    monkeypatch.setattr(probe, "probe_machine", lambda: looked.append(1) or Machine())
    probe.this_machine.cache_clear()
    try:
        assert probe.this_machine() is probe.this_machine()
    finally:
        probe.this_machine.cache_clear()
    assert looked == [1]


def test_this_machine_is_described():
    found = probe.probe_machine()
    assert (found.architecture, found.system) == (os.uname().machine, "Linux")
    assert found.cores == os.cpu_count()
    assert found.memory_gb == pytest.approx(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, abs=0.1)
    assert found.cpu


def test_a_jetson_is_read_from_its_files(files):
    files(
        cpuinfo="processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\n",
        model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
        release="# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n# KERNEL_VARIANT: oot\n",
    )
    found = probe.probe_machine()
    assert found.cpu == "ARMv8 Processor rev 1 (v8l)"
    assert found.board == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert found.l4t == L4t(36, "4.3")
    assert found.compute_capabilities == (87,)


def test_a_machine_without_such_files_is_still_a_machine(files):
    files()
    found = probe.probe_machine()
    assert (found.board, found.l4t, found.is_jetson) == ("", None, False)
    assert found.cpu


@pytest.mark.parametrize("line", ["Ubuntu 22.04", "", "# R (release), REVISION: 4.3"])
def test_what_is_no_release_of_jetson_linux_is_none(line):
    assert probe.l4t_from_line(line) is None


def test_a_gpu_that_does_not_tell_its_capability_has_none():
    assert Machine(gpus=(Gpu("a card"), Gpu("another", 89))).compute_capabilities == (89,)


def test_a_plugin_names_the_device():
    host = PluginHost(only=[])
    hook = edgemm.hookimpl(
        lambda machine: "tiny-board" if machine.board == "tiny" else None, specname="edgemm_detect_device"
    )
    host.register(SimpleNamespace(edgemm_detect_device=hook), "tiny")
    assert probe.detect_device(host, Machine(board="tiny")) == "tiny-board"
    assert probe.detect_device(host, Machine(board="other")) == "cpu"


def test_the_device_of_this_machine_is_asked_for_when_none_is_given(monkeypatch):
    host = PluginHost(only=[])
    hook = edgemm.hookimpl(lambda machine: machine.board, specname="edgemm_detect_device")
    host.register(SimpleNamespace(edgemm_detect_device=hook), "tiny")
    monkeypatch.setattr(probe, "this_machine", lambda: Machine(board="here"))
    assert probe.detect_device(host) == "here"
