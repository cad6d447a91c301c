"""Which device profile fits a machine.

It decides from the `Machine` alone, so that every machine can be tested on any other. A GPU without a profile of its own gets that of its
generation: engines fit a generation, memory and speed may differ. It knows nothing of what is installed to run on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemm.machine.machine import Machine

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
_BEFORE_ORIN = (53, 62, 72)
_OLDEST_L4T = 36
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


def detect_device(machine: Machine) -> Detection:
    """Decide by the first GPU that tells its compute capability, and on a Jetson by its release."""
    gpu = next((gpu for gpu in machine.gpus if gpu.compute_capability), None)
    capability = gpu.compute_capability if gpu is not None else 0
    if machine.is_jetson:
        return _jetson(machine, capability)
    if gpu is None:
        return Detection("cpu", "no NVIDIA GPU found")
    return _of_generation(str(gpu), capability)


def _jetson(machine: Machine, capability: int) -> Detection:
    evidence = ", ".join(filter(None, (machine.board, f"L4T {machine.l4t}" if machine.l4t else "")))
    if capability in _BEFORE_ORIN:
        return Detection("cpu", f"{evidence}: {_TOO_OLD}", capability)
    if machine.l4t is not None and machine.l4t.major < _OLDEST_L4T:
        return Detection("cpu", f"{evidence}: {_TOO_OLD}; update to JetPack 6.1 or later", capability)
    if not capability:
        return Detection("cpu", f"{evidence}: nothing here says which Jetson it is; give --device")
    return _of_generation(evidence, capability)


def _of_generation(evidence: str, capability: int) -> Detection:
    device = PROFILE_OF_GENERATION.get(capability)
    if device is None:
        return Detection("cpu", f"{evidence}: no device profile has this compute capability", capability)
    return Detection(device, evidence, capability)
