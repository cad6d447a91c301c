"""Finds out what this machine is, once per process, and only when somebody asks.

Device plugins name the profile that fits it (hook `edgemm_detect_device`). It knows nothing of the profiles.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgemm.machine.gpus import find_gpus
from edgemm.machine.machine import L4t, Machine

if TYPE_CHECKING:
    from edgemm.host.plugin_host import PluginHost

_L4T = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """The machine that this process runs on; looked at once, which blocks while a driver answers."""
    return probe_machine()


def probe_machine() -> Machine:
    """Look at this machine anew."""
    machine = Machine(
        architecture=platform.machine(),
        system=platform.system(),
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        memory_gb=_memory_gb(),
        board=_first_line("/proc/device-tree/model"),
        l4t=l4t_from_line(_first_line("/etc/nv_tegra_release")),
    )
    return replace(machine, gpus=find_gpus(machine))


def detect_device(host: PluginHost, machine: Machine | None = None) -> str:
    """Name of the device profile that a machine is, this one if not given; `cpu` where no plugin knows better."""
    found = host.first_result("edgemm_detect_device", machine=machine or this_machine())
    return str(found) if found else "cpu"


def l4t_from_line(line: str) -> L4t | None:
    """Read the first line of /etc/nv_tegra_release; None when it is none."""
    match = _L4T.search(line)
    return L4t(int(match[1]), match[2]) if match else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return 0.0


def _first_line(path: str) -> str:
    try:
        lines = Path(path).read_text("utf-8", "replace").replace("\0", "").splitlines()
    except OSError:
        return ""
    return lines[0].strip() if lines else ""
