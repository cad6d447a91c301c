"""Asks the CUDA driver which GPUs this machine has; needs neither CUDA's toolkit nor a Python package."""

from __future__ import annotations

import ctypes

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


def compute_capabilities() -> tuple[int, ...]:
    """The compute capability of each GPU, as 89 for 8.9; empty without a working driver. Initialises the driver."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return _ask(ctypes.CDLL(library))
        except OSError:
            continue
    return ()


def _ask(cuda: ctypes.CDLL) -> tuple[int, ...]:
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    found = []
    for index in range(count.value):
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        if cuda.cuDeviceGet(ctypes.byref(device), index) != 0:
            continue
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
        found.append(major.value * 10 + minor.value)
    return tuple(found)
