"""Which NVIDIA GPUs a machine has.

NVML is asked where its Python bindings are installed (`edgemm[nvml]`), else `nvidia-smi`; a Jetson's driver tells little or nothing to either, so there
the board says what its GPU is. CUDA, which is slow to start, is asked only where none of these says anything. A machine without a GPU, a driver or its
tools has none, quietly.

Source: https://docs.nvidia.com/deploy/nvml-api/, `nvidia-smi --help-query-gpu`, https://docs.nvidia.com/cuda/cuda-driver-api/
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from edgemm.machine.machine import Gpu, Machine

_QUERY = "name,compute_cap,driver_version,memory.total"
_TIMEOUT_S = 20
_CUDA_MAJOR, _CUDA_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_JETSON_CAPABILITIES = (  # word in the device tree's model -> compute capability; "Orin Nano" is an Orin
    ("Thor", 110),
    ("Orin", 87),
    ("Xavier", 72),
    ("TX2", 62),
    ("Nano", 53),
)
_RELEASES_OF_ONE_SOC = {36: ("Orin", 87), 38: ("Thor", 110)}  # L4T 39 runs on both


def find_gpus(machine: Machine) -> tuple[Gpu, ...]:
    """The GPUs of this machine, of which everything else is known already."""
    found = _gpus_from_nvml() or _gpus_from_nvidia_smi()
    integrated = jetson_gpu(machine)
    if integrated is None:
        return found or _gpus_from_cuda()
    capability = integrated.compute_capability
    told = (gpu if gpu.compute_capability else replace(gpu, compute_capability=capability) for gpu in found)
    return tuple(told) or (integrated,)


def jetson_gpu(machine: Machine) -> Gpu | None:
    """The GPU that a Jetson has by its board, or, in a container that does not see the device tree, by its release; None where they do not say."""
    if not machine.is_jetson:
        return None
    for word, capability in _JETSON_CAPABILITIES:
        if word in machine.board:
            return Gpu(f"Jetson {word}", capability)
    if machine.l4t is not None and machine.l4t.major in _RELEASES_OF_ONE_SOC:
        word, capability = _RELEASES_OF_ONE_SOC[machine.l4t.major]
        return Gpu(f"Jetson {word}", capability)
    return None


def gpu_from_line(line: str) -> Gpu | None:
    """Read one line of nvidia-smi's CSV; None for what is no such line."""
    parts = [part.strip() for part in line.rsplit(",", 3)]
    if len(parts) != 4:
        return None
    name, capability, driver, memory = parts
    told = re.fullmatch(r"(\d+)\.(\d)", capability)
    return Gpu(
        name,
        compute_capability=int(told[1]) * 10 + int(told[2]) if told else 0,
        driver=driver,
        memory_gb=round(float(memory) / 1024, 1) if memory.replace(".", "", 1).isdigit() else 0.0,
    )


def _gpus_from_nvidia_smi() -> tuple[Gpu, ...]:
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # a driver that hangs or is of another version than its kernel module
        return ()
    return tuple(gpu for line in answer.splitlines() if (gpu := gpu_from_line(line)))


def _gpus_from_nvml() -> tuple[Gpu, ...]:
    try:
        import pynvml
    except Exception:  # not installed, or another module of that name that does not load
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or one that does not answer
        return ()
    try:
        driver = _text(_told(pynvml, pynvml.nvmlSystemGetDriverVersion) or "")
        count = _told(pynvml, pynvml.nvmlDeviceGetCount) or 0
        gpus = (_gpu_from_nvml(pynvml, index, driver) for index in range(count))
        return tuple(gpu for gpu in gpus if gpu is not None)
    finally:
        _told(pynvml, pynvml.nvmlShutdown)


def _gpu_from_nvml(pynvml: ModuleType, index: int, driver: str) -> Gpu | None:
    handle = _told(pynvml, pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:  # it fell off the bus, or belongs to somebody else
        return None
    major, minor = _told(pynvml, pynvml.nvmlDeviceGetCudaComputeCapability, handle) or (0, 0)
    memory = _told(pynvml, pynvml.nvmlDeviceGetMemoryInfo, handle)
    return Gpu(
        _text(_told(pynvml, pynvml.nvmlDeviceGetName, handle) or f"GPU {index}"),
        compute_capability=major * 10 + minor,
        driver=driver,
        memory_gb=round(memory.total / 2**30, 1) if memory is not None else 0.0,
    )


def _gpus_from_cuda() -> tuple[Gpu, ...]:
    """By the CUDA driver itself, which stays initialised: for a container that was given nothing else."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            cuda = ctypes.CDLL(library)
        except OSError:
            continue
        count = ctypes.c_int()
        if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
            return ()
        return tuple(_gpu_from_cuda(cuda, index) for index in range(count.value))
    return ()


def _gpu_from_cuda(cuda: ctypes.CDLL, index: int) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _CUDA_MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CUDA_MINOR, device)
    return Gpu(_text(name.value) or f"GPU {index}", compute_capability=major.value * 10 + minor.value)


def _told(pynvml: ModuleType, ask: Callable[..., Any], *arguments: Any) -> Any:
    """What NVML answers; None for what it does not support here, as on integrated GPUs."""
    try:
        return ask(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value  # bytes from old bindings
