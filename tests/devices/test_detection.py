"""Detection decides from a machine's description alone, so that every machine can be tested on any other."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import edgemm_devices
from edgemm.host.plugin_host import PluginHost
from edgemm.machine.gpus import jetson_gpu
from edgemm.machine.machine import Gpu, L4t, Machine
from edgemm.machine.profiles import profiles
from edgemm_devices import detection
from edgemm_devices.detection import detect_device


def desktop(*gpus: Gpu) -> Machine:
    return Machine("x86_64", "Linux", gpus=gpus)


def jetson(board: str, major: int, revision: str, *gpus: Gpu) -> Machine:
    """As the probe describes it: with the driver's GPUs, or that of its board."""
    machine = Machine("aarch64", "Linux", board=board, l4t=L4t(major, revision))
    integrated = jetson_gpu(machine)
    return replace(machine, gpus=gpus or ((integrated,) if integrated else ()))


@pytest.mark.parametrize(
    ("machine", "device", "capability"),
    [
        (desktop(), "cpu", 0),
        (desktop(Gpu("NVIDIA GeForce RTX 2080 Ti", 75)), "rtx-2080-ti", 75),
        (desktop(Gpu("NVIDIA A100-SXM4-80GB", 80)), "a100", 80),
        (desktop(Gpu("NVIDIA GeForce RTX 3060", 86), Gpu("NVIDIA GeForce RTX 4090", 89)), "rtx-3090", 86),
        (desktop(Gpu("a card that tells nothing"), Gpu("NVIDIA L40S", 89)), "rtx-4090", 89),
        (desktop(Gpu("NVIDIA RTX PRO 5000 Blackwell", 120)), "rtx-5090", 120),
        (desktop(Gpu("NVIDIA GB10", 121)), "dgx-spark", 121),
        (desktop(Gpu("NVIDIA H100 80GB HBM3", 90)), "cpu", 90),
        (desktop(Gpu("a card that tells nothing")), "cpu", 0),
        (Machine(board="Raspberry Pi 5 Model B Rev 1.0"), "cpu", 0),
        (
            jetson("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", 36, "4.3"),
            "jetson-orin-nano",
            87,
        ),
        (jetson("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", 36, "4.0"), "jetson-orin-nano", 87),
        (jetson("NVIDIA Jetson AGX Thor Developer Kit", 38, "2.1", Gpu("NVIDIA Thor", 110)), "jetson-agx-thor", 110),
        (jetson("NVIDIA Jetson AGX Orin Developer Kit", 35, "4.1"), "cpu", 87),
        (jetson("NVIDIA Jetson Xavier NX Developer Kit", 35, "3.1"), "cpu", 72),
        (jetson("NVIDIA Jetson Nano Developer Kit", 32, "7.3"), "cpu", 53),
        (jetson("", 36, "4.3"), "jetson-orin-nano", 87),
        (jetson("", 38, "2.0"), "jetson-agx-thor", 110),
        (jetson("", 39, "2.0", Gpu("NVIDIA Thor", 110)), "jetson-agx-thor", 110),
        (jetson("", 39, "2.0"), "cpu", 0),
        (jetson("", 35, "4.1"), "cpu", 0),
    ],
)
def test_a_machine_gets_the_profile_of_its_generation(machine: Machine, device: str, capability: int) -> None:
    found = detect_device(machine)
    assert (found.device, found.compute_capability) == (device, capability)


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (desktop(), "^no NVIDIA GPU found$"),
        (desktop(Gpu("NVIDIA H100 80GB HBM3", 90)), "NVIDIA H100 80GB HBM3 .SM90.: no device profile"),
        (
            jetson("NVIDIA Jetson Xavier NX Developer Kit", 35, "3.1"),
            "Xavier NX Developer Kit, L4T 35.3.1: .*does not compile for$",
        ),
        (jetson("NVIDIA Jetson AGX Orin", 35, "4.1"), "L4T 35.4.1.*update to JetPack 6.1"),
        (jetson("", 35, "4.1"), "^L4T 35.4.1.*update to JetPack 6.1"),
        (jetson("", 39, "2.0"), "give --device"),
    ],
)
def test_the_cpu_as_a_fallback_says_why(machine: Machine, said: str) -> None:
    found = detect_device(machine)
    assert found.device == "cpu"
    assert re.search(said, found.evidence), found.evidence


def test_every_generation_has_the_profile_that_detection_names() -> None:
    host = PluginHost(only=(), strict=True)
    host.register(edgemm_devices, "devices")
    known = profiles(host)
    for capability, name in detection.PROFILE_OF_GENERATION.items():
        assert known[name].compute_capability == capability


def test_the_hook_answers_from_the_machine() -> None:
    host = PluginHost(only=(), strict=True)
    host.register(edgemm_devices, "devices")
    machine = desktop(Gpu("NVIDIA GeForce RTX 4070", 89))
    assert host.first_result("edgemm_detect_device", machine=machine) == "rtx-4090"
