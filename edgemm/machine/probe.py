"""What this machine is: its processor, GPUs and board, found without loading any GPU library.

Device plugins read the probe to name the profile that fits (hook `edgemm_detect_device`). It knows nothing of the profiles.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgemm.host.plugin_host import PluginHost

_QUERY = "name,compute_cap,driver_version,memory.total"
_TIMEOUT_S = 20


def probe_machine() -> dict[str, Any]:
    """Describe this machine.

    Returns:
        `machine` (x86_64, aarch64), `system`, `cores`, `memory_gb`; the first lines of `device_tree_model` and `nv_tegra_release`, ""
        where there are none; `gpus`, a list of {`name`, `compute_capability` as 89 for 8.9, `driver`, `memory_gb`}; and `nvidia_smi`,
        the same as its lines "name, 8.9".
    """
    gpus = _gpus()
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count() or 1,
        "memory_gb": _memory_gb(),
        "device_tree_model": _first_line("/proc/device-tree/model"),
        "nv_tegra_release": _first_line("/etc/nv_tegra_release"),
        "gpus": gpus,
        "nvidia_smi": "\n".join(f"{gpu['name']}, {capability_text(gpu['compute_capability'])}" for gpu in gpus),
    }


def capability_text(capability: int) -> str:
    """89 as people write it: 8.9."""
    return f"{capability // 10}.{capability % 10}"


def detect_device(host: PluginHost, probe: dict[str, Any] | None = None) -> str:
    """Name of the device profile that this machine is; `cpu` where no plugin knows better."""
    found = host.first_result("edgemm_detect_device", probe=probe_machine() if probe is None else probe)
    return str(found) if found else "cpu"


def _gpus() -> list[dict[str, Any]]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # a driver that hangs or is of another version than its kernel module
        return []
    return [gpu for line in answer.splitlines() if (gpu := gpu_from_line(line))]


def gpu_from_line(line: str) -> dict[str, Any] | None:
    """Read one line of nvidia-smi's CSV; None for what is no such line. Integrated GPUs report no memory of their own: 0."""
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 4:
        return None
    name, capability, driver, memory = parts
    number = capability.replace(".", "")
    return {
        "name": name,
        "compute_capability": int(number) if number.isdigit() else 0,
        "driver": driver,
        "memory_gb": round(float(memory) / 1024, 1) if memory.replace(".", "", 1).isdigit() else 0.0,
    }


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
