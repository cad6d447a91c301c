"""Detection decides from text alone; the fixtures are written after the formats that the tools print."""

from __future__ import annotations

import re

import pytest

import edgemm_devices
from edgemm.host.plugin_host import PluginHost
from edgemm.machine.profiles import profiles
from edgemm_devices import detection
from edgemm_devices.detection import detect_device, gpus_from_nvidia_smi, l4t_release


def release(major: int, revision: str) -> str:
    return (
        f"# R{major} (release), REVISION: {revision}, GCID: 12345678, BOARD: generic, EABI: aarch64, DATE: Thu Jan  1\n"
        "# KERNEL_VARIANT: oot\n"
    )


@pytest.mark.parametrize(
    ("model", "tegra", "smi", "device", "capability"),
    [
        ("", "", "", "cpu", 0),
        ("", "", "NVIDIA GeForce RTX 2080 Ti, 7.5\n", "rtx-2080-ti", 75),
        ("", "", "NVIDIA A100-SXM4-80GB, 8.0\n", "a100", 80),
        ("", "", "NVIDIA GeForce RTX 3060, 8.6\nNVIDIA GeForce RTX 4090, 8.9\n", "rtx-3090", 86),
        ("", "", "NVIDIA L40S, 8.9\n", "rtx-4090", 89),
        ("", "", "NVIDIA RTX PRO 5000 Blackwell, 12.0\n", "rtx-5090", 120),
        ("", "", "NVIDIA GB10, 12.1\n", "dgx-spark", 121),
        ("", "", "NVIDIA H100 80GB HBM3, 9.0\n", "cpu", 90),
        ("", "", "Failed to initialize NVML: Driver/library version mismatch\n", "cpu", 0),
        ("Raspberry Pi 5 Model B Rev 1.0\0", "", "", "cpu", 0),
        (
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
            release(36, "4.3"),
            "",
            "jetson-orin-nano",
            87,
        ),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0", release(36, "4.0"), "", "jetson-orin-nano", 87),
        (
            "NVIDIA Jetson AGX Thor Developer Kit\0",
            release(38, "2.1"),
            "NVIDIA Thor, 11.0\n",
            "jetson-agx-thor",
            110,
        ),
        ("NVIDIA Jetson AGX Orin Developer Kit\0", release(35, "4.1"), "", "cpu", 87),
        ("NVIDIA Jetson Xavier NX Developer Kit\0", release(35, "3.1"), "", "cpu", 72),
        ("NVIDIA Jetson Nano Developer Kit\0", release(32, "7.3"), "", "cpu", 53),
        ("", release(36, "4.3"), "", "jetson-orin-nano", 87),
        ("", release(38, "2.0"), "", "jetson-agx-thor", 110),
        ("", release(39, "2.0"), "NVIDIA Thor, 11.0\n", "jetson-agx-thor", 110),
        ("", release(39, "2.0"), "", "cpu", 0),
        ("", release(35, "4.1"), "", "cpu", 0),
    ],
)
def test_machines(model: str, tegra: str, smi: str, device: str, capability: int) -> None:
    found = detect_device({"device_tree_model": model, "nv_tegra_release": tegra, "nvidia_smi": smi})
    assert (found.device, found.compute_capability) == (device, capability)


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ({"nvidia_smi": "NVIDIA H100 80GB HBM3, 9.0"}, "NVIDIA H100 80GB HBM3 .SM90.: no device profile"),
        ({"device_tree_model": "NVIDIA Jetson Xavier NX Developer Kit\0"}, "TensorRT 8"),
        (
            {"device_tree_model": "NVIDIA Jetson AGX Orin\0", "nv_tegra_release": release(35, "4.1")},
            "L4T 35.4.1.*update to JetPack 6.1",
        ),
        ({"nv_tegra_release": release(39, "2.0")}, "give --device"),
    ],
)
def test_the_cpu_as_a_fallback_says_why(probe: dict[str, str], said: str) -> None:
    found = detect_device(probe)
    assert found.device == "cpu"
    assert re.search(said, found.evidence), found.evidence


def test_every_generation_has_the_profile_that_detection_names() -> None:
    host = PluginHost(only=(), strict=True)
    host.register(edgemm_devices, "devices")
    known = profiles(host)
    for capability, name in detection.PROFILE_OF_GENERATION.items():
        assert known[name].compute_capability == capability


def test_the_hook_answers_from_the_probe() -> None:
    host = PluginHost(only=(), strict=True)
    host.register(edgemm_devices, "devices")
    said = {"device_tree_model": "", "nv_tegra_release": "", "nvidia_smi": "NVIDIA GeForce RTX 4070, 8.9"}
    assert host.first_result("edgemm_detect_device", probe=said) == "rtx-4090"


def test_parsers_ignore_what_they_do_not_know() -> None:
    assert gpus_from_nvidia_smi("Orin (nvgpu), [N/A]\n\nNVIDIA L4, 8.9") == [("NVIDIA L4", 89)]
    assert l4t_release("Ubuntu 22.04") is None
