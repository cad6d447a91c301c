"""Which device profile fits this machine, from what its system files and driver say.

It decides from text alone (`edgemm.machine.probe` reads it), so that every machine can be tested on any other. A GPU without a
profile of its own gets that of its generation: engines fit a generation, memory and speed may differ. It knows nothing of what
is installed to run on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROFILE_OF_GENERATION = {
    75: "rtx-2080-ti",
    80: "a100",
    86: "rtx-3090",
    87: "jetson-orin-nano",
    89: "rtx-4090",
    110: "jetson-agx-thor",
    120: "rtx-5090",
    121: "dgx-spark",
}
_JETSONS = (  # in /proc/device-tree/model -> compute capability
    ("Thor", 110),
    ("Orin", 87),
    ("Xavier", 72),
    ("TX2", 62),
    ("Nano", 53),
)
_TOO_OLD = "JetPack 5 and older bring TensorRT 8, which EdgeMM does not compile for"


@dataclass(frozen=True)
class Detection:
    """The profile for a machine, and why.

    Attributes:
        device: name of a profile.
        evidence: what the machine said of itself, for people.
        compute_capability: of its GPU, as 89 for 8.9; 0 without one.
    """

    device: str
    evidence: str
    compute_capability: int = 0


def detect_device(probe: Mapping[str, Any]) -> Detection:
    """Decide from the texts `device_tree_model`, `nv_tegra_release` and `nvidia_smi`; a missing one counts as empty."""
    model = str(probe.get("device_tree_model", "")).strip("\0\n ")
    release = l4t_release(str(probe.get("nv_tegra_release", "")))
    jetson = _jetson(model, release)
    if jetson is not None:
        return jetson
    for name, capability in gpus_from_nvidia_smi(str(probe.get("nvidia_smi", ""))):
        return _of_generation(f"{name} (SM{capability})", capability)
    if release is not None:  # a container on a Jetson: the release file is mounted, the device tree is not
        return _of_release(release)
    return Detection("cpu", "no NVIDIA GPU found")


def gpus_from_nvidia_smi(output: str) -> list[tuple[str, int]]:
    """(name, compute capability) of each line of `nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader`."""
    found = []
    for line in output.splitlines():
        name, _, capability = (part.strip() for part in line.rpartition(","))
        match = re.fullmatch(r"(\d+)\.(\d)", capability)
        if name and match:
            found.append((name, int(match[1]) * 10 + int(match[2])))
    return found


def l4t_release(text: str) -> tuple[int, str] | None:
    """(36, "4.3") from the first line of /etc/nv_tegra_release; None when it is none."""
    match = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return (int(match[1]), match[2]) if match else None


def _jetson(model: str, release: tuple[int, str] | None) -> Detection | None:
    if "NVIDIA" not in model and "Jetson" not in model:
        return None
    for word, capability in _JETSONS:
        if word in model:
            evidence = model + (f", L4T {release[0]}.{release[1]}" if release else "")
            if capability not in PROFILE_OF_GENERATION:
                return Detection("cpu", f"{evidence}: {_TOO_OLD}", capability)
            if release is not None and release[0] < 36:
                return Detection("cpu", f"{evidence}: {_TOO_OLD}; update to JetPack 6.1 or later", capability)
            return _of_generation(evidence, capability)
    return None


def _of_release(release: tuple[int, str]) -> Detection:
    evidence = f"L4T {release[0]}.{release[1]}"
    if release[0] < 36:
        return Detection("cpu", f"{evidence}: {_TOO_OLD}; update to JetPack 6.1 or later")
    if release[0] == 36:
        return _of_generation(evidence, 87)
    if release[0] == 38:
        return _of_generation(evidence, 110)
    return Detection("cpu", f"{evidence} runs on several Jetsons and the device tree does not say which: give --device")


def _of_generation(evidence: str, capability: int) -> Detection:
    device = PROFILE_OF_GENERATION.get(capability)
    if device is None:
        return Detection("cpu", f"{evidence}: no device profile has this compute capability", capability)
    return Detection(device, evidence, capability)
