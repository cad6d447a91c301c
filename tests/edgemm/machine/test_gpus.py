"""GPUs are found by NVML, by nvidia-smi, or by a Jetson's board; where there are none, that is no error and no noise."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from edgemm.machine import gpus
from edgemm.machine.gpus import find_gpus, gpu_from_line, jetson_gpu
from edgemm.machine.machine import Gpu, L4t, Machine

ORIN = Machine(board="NVIDIA Jetson Orin Nano Developer Kit", l4t=L4t(36, "4.3"))


class Nvml(ModuleType):
    """`pynvml` of a machine with the given GPUs: (name, capability, memory in bytes), None for what it does not support."""

    class NVMLError(Exception):
        pass

    def __init__(self, *found, driver="580.65.06", broken=""):
        super().__init__("pynvml")
        self.found, self.driver, self.broken = found, driver, broken
        self.open = 0

    def answer(self, value):
        if value is None:
            raise self.NVMLError("Not Supported")
        return value

    def nvmlInit(self):
        if self.broken == "nvmlInit":
            raise self.NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlSystemGetDriverVersion(self):
        return self.answer(self.driver)

    def nvmlDeviceGetCount(self):
        if self.broken == "nvmlDeviceGetCount":
            raise self.NVMLError("Unknown Error")
        return len(self.found)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.answer(self.found[index])

    def nvmlDeviceGetName(self, handle):
        return self.answer(handle[0])

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return self.answer(handle[1])

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=self.answer(handle[2]))


RTX_4090 = ("NVIDIA GeForce RTX 4090", (8, 9), 24564 * 2**20)


@pytest.fixture
def nvml(monkeypatch):
    """Installs a `pynvml`; breaks the test if it is left open."""
    installed = []

    def install(*found, **options):
        installed.append(Nvml(*found, **options))
        monkeypatch.setitem(sys.modules, "pynvml", installed[-1])

    yield install
    assert [module.open for module in installed] == [0] * len(installed)


class Cuda:
    """`libcuda` of a machine with the given GPUs: (name, major, minor)."""

    def __init__(self, *found, broken=""):
        self.found, self.broken = found, broken

    def cuInit(self, flags):
        return 999 if self.broken == "cuInit" else 0

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.found)
        return 999 if self.broken == "cuDeviceGetCount" else 0

    def cuDeviceGet(self, device, index):
        device._obj.value = index + 40

    def cuDeviceGetName(self, name, size, device):
        name.value = self.found[device.value - 40][0]

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = self.found[device.value - 40][attribute - 74]


@pytest.fixture
def cuda(monkeypatch):
    """Makes `libcuda.so.1` the given library, or no library; lists what was looked for."""
    asked = []

    def install(library):
        def load(name):
            asked.append(name)
            if library is None or name != "libcuda.so.1":
                raise OSError(name)
            return library

        monkeypatch.setattr(gpus.ctypes, "CDLL", load)
        return asked

    return install


@pytest.fixture
def smi(monkeypatch, tmp_path, cuda):
    """Makes `nvidia-smi` a script of the given lines, or there is none; and no NVML and no CUDA until they are installed."""
    monkeypatch.setattr(gpus.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    cuda(None)

    def install(*lines):
        script = tmp_path / "nvidia-smi"
        script.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr(gpus.shutil, "which", lambda name: str(script) if name == "nvidia-smi" else None)

    return install


def test_nvml_tells_name_capability_driver_and_memory(nvml):
    nvml(RTX_4090, ("NVIDIA GB10", (12, 1), None))
    assert find_gpus(Machine()) == (
        Gpu("NVIDIA GeForce RTX 4090", 89, "580.65.06", 24.0),
        Gpu("NVIDIA GB10", 121, "580.65.06", 0.0),
    )


def test_nvml_may_answer_in_bytes(nvml):
    nvml((b"NVIDIA L4", (8, 9), 2**30), driver=b"535.1")
    assert find_gpus(Machine()) == (Gpu("NVIDIA L4", 89, "535.1", 1.0),)


def test_a_gpu_that_nvml_cannot_reach_is_left_out_and_the_others_stay(nvml):
    nvml(None, RTX_4090)
    assert [gpu.name for gpu in find_gpus(Machine())] == ["NVIDIA GeForce RTX 4090"]


def test_what_nvml_does_not_tell_stays_open(nvml, smi):
    smi("exit 1")
    nvml((None, None, None), driver=None)
    assert find_gpus(Machine()) == (Gpu("GPU 0"),)


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount"])
def test_where_nvml_fails_nvidia_smi_is_asked(nvml, smi, broken):
    smi("echo 'NVIDIA GeForce RTX 4090, 8.9, 580.65.06, 24564'")
    nvml(RTX_4090, broken=broken)
    assert find_gpus(Machine()) == (Gpu("NVIDIA GeForce RTX 4090", 89, "580.65.06", 24.0),)


def test_where_nvml_answers_nvidia_smi_is_not_started(nvml, smi, tmp_path):
    smi(f"touch {tmp_path}/started")
    nvml(RTX_4090)
    find_gpus(Machine())
    assert not (tmp_path / "started").exists()


def test_where_nvml_is_not_installed_nvidia_smi_is_asked(smi):
    smi("echo 'NVIDIA L4, 8.9, 580.65.06, 23034'", "echo 'NVIDIA A100-SXM4-80GB, 8.0, 580.65.06, 81920'")
    assert find_gpus(Machine()) == (
        Gpu("NVIDIA L4", 89, "580.65.06", 22.5),
        Gpu("NVIDIA A100-SXM4-80GB", 80, "580.65.06", 80.0),
    )


def test_a_driver_that_fails_is_no_gpu(smi):
    smi("echo 'NVIDIA GeForce RTX 4090, 8.9, 580.65.06, 24564'", "exit 9")
    assert find_gpus(Machine()) == ()


def test_a_driver_that_hangs_is_no_gpu(smi, monkeypatch):
    monkeypatch.setattr(gpus, "_TIMEOUT_S", 0.2)
    smi("sleep 2", "echo 'NVIDIA GeForce RTX 4090, 8.9, 580.65.06, 24564'")
    assert find_gpus(Machine()) == ()


def test_where_only_cuda_is_there_cuda_is_asked(smi, cuda):
    cuda(Cuda((b"NVIDIA L4", 8, 9), (b"NVIDIA GB10", 12, 1)))
    assert find_gpus(Machine()) == (Gpu("NVIDIA L4", 89), Gpu("NVIDIA GB10", 121))


@pytest.mark.parametrize("broken", ["cuInit", "cuDeviceGetCount"])
def test_a_cuda_that_does_not_work_is_no_gpu(smi, cuda, broken):
    cuda(Cuda((b"NVIDIA L4", 8, 9), broken=broken))
    assert find_gpus(Machine()) == ()


def test_cuda_is_not_started_where_something_else_answers(smi, nvml, cuda):
    asked = cuda(Cuda((b"NVIDIA L4", 8, 9)))
    find_gpus(ORIN)
    nvml(RTX_4090)
    find_gpus(Machine())
    assert asked == []


def test_a_machine_without_any_of_it_has_none(smi):
    assert find_gpus(Machine()) == ()


def test_the_real_nvml_is_quiet_on_a_machine_without_a_driver():
    pytest.importorskip("pynvml", reason="needs nvidia-ml-py: pip install 'edgemm[nvml]'")
    code = "from edgemm.machine.gpus import _gpus_from_nvml as ask; found = ask(); import sys; sys.exit(len(found))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode > 0 and not done.stderr:
        pytest.skip("this machine has an NVIDIA driver")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("line", "gpu"),
    [
        ("NVIDIA GeForce RTX 4090, 8.9, 580.65.06, 24564", Gpu("NVIDIA GeForce RTX 4090", 89, "580.65.06", 24.0)),
        ("NVIDIA GB10, 12.1, 580.95.05, [N/A]", Gpu("NVIDIA GB10", 121, "580.95.05", 0.0)),
        ("Orin (nvgpu), [N/A], 540.4.0, [N/A]", Gpu("Orin (nvgpu)", 0, "540.4.0", 0.0)),
        ("A card, with a comma, 8.9, 1, 1024", Gpu("A card, with a comma", 89, "1", 1.0)),
        ("NVIDIA-SMI has failed because it could not communicate with the driver", None),
        ("", None),
    ],
)
def test_a_line_of_nvidia_smi_is_a_gpu_or_nothing(line, gpu):
    assert gpu_from_line(line) == gpu


def test_a_jetson_whose_driver_tells_no_capability_has_that_of_its_board(smi):
    smi("echo 'Orin (nvgpu), [N/A], 540.4.0, [N/A]'")
    assert find_gpus(ORIN) == (Gpu("Orin (nvgpu)", 87, "540.4.0"),)


def test_a_card_that_is_plugged_into_a_jetson_keeps_its_own_capability(smi):
    smi("echo 'NVIDIA L4, 8.9, 580.0, 23034'", "echo 'Orin (nvgpu), [N/A], 540.4.0, [N/A]'")
    assert [gpu.compute_capability for gpu in find_gpus(ORIN)] == [89, 87]


def test_a_jetson_whose_driver_tells_nothing_has_the_gpu_of_its_board(smi):
    assert find_gpus(ORIN) == (Gpu("Jetson Orin", 87),)


def test_what_a_jetsons_driver_tells_is_kept(smi):
    smi("echo 'NVIDIA Thor, 11.0, 580.0, [N/A]'")
    assert find_gpus(Machine(l4t=L4t(39, "2.0"))) == (Gpu("NVIDIA Thor", 110, "580.0"),)


@pytest.mark.parametrize(
    ("board", "release", "capability"),
    [
        ("NVIDIA Jetson AGX Thor Developer Kit", 38, 110),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", 36, 87),
        ("NVIDIA Orin Nano Developer Kit", 0, 87),
        ("Jetson-AGX Xavier", 0, 72),
        ("NVIDIA Jetson Xavier NX Developer Kit", 35, 72),
        ("quill: NVIDIA Jetson TX2", 32, 62),
        ("NVIDIA Jetson Nano Developer Kit", 32, 53),
        ("", 36, 87),
        ("", 38, 110),
        ("NVIDIA board of tomorrow", 38, 110),
    ],
)
def test_a_jetsons_gpu_is_known_by_its_board_or_release(board, release, capability):
    found = jetson_gpu(Machine(board=board, l4t=L4t(release, "1.0") if release else None))
    assert found is not None
    assert found.compute_capability == capability


@pytest.mark.parametrize(
    "machine", [Machine(), Machine(board="Raspberry Pi 5 Model B Orin edition"), Machine(l4t=L4t(39, "2.0"))]
)
def test_what_is_no_jetson_or_does_not_say_which_has_no_gpu_of_a_board(machine):
    assert jetson_gpu(machine) is None
