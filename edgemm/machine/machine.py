"""What a machine is, as data: filled in once by `edgemm.machine.probe`, read by everything that asks. It knows nothing of how one finds out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU.

    Attributes:
        name: as the driver or the board tells it.
        compute_capability: 89 for 8.9; 0 where it is not told.
        driver: version of the driver; "" where it is not told.
        memory_gb: of its own, in GiB; 0 when it shares the machine's.
    """

    name: str
    compute_capability: int = 0
    driver: str = ""
    memory_gb: float = 0.0

    def __str__(self) -> str:
        return f"{self.name} (SM{self.compute_capability})" if self.compute_capability else self.name


@dataclass(frozen=True)
class L4t:
    """The Jetson Linux release: 36 and "4.3" for R36.4.3, which is JetPack 6.2."""

    major: int
    revision: str

    def __str__(self) -> str:
        return f"{self.major}.{self.revision}"


@dataclass(frozen=True)
class Machine:
    """One machine.

    Attributes:
        architecture: `x86_64`, `aarch64`.
        system: `Linux`, `Darwin`, `Windows`.
        cpu: the processor's name, else its architecture.
        cores: logical processors.
        memory_gb: of main memory, in GiB; 0 where it is not told.
        board: what the device tree calls a single-board computer; "" where there is none.
        l4t: the release of Jetson Linux; None elsewhere.
        gpus: its NVIDIA GPUs, in the driver's order, which need not be CUDA's.
    """

    architecture: str = ""
    system: str = ""
    cpu: str = ""
    cores: int = 1
    memory_gb: float = 0.0
    board: str = ""
    l4t: L4t | None = None
    gpus: tuple[Gpu, ...] = ()

    @property
    def is_jetson(self) -> bool:
        """Whether it is a Jetson (NVIDIA's boards are not all called so), or a container on one."""
        return self.l4t is not None or "Jetson" in self.board or "NVIDIA" in self.board

    @property
    def compute_capabilities(self) -> tuple[int, ...]:
        """Of each GPU that tells it."""
        return tuple(gpu.compute_capability for gpu in self.gpus if gpu.compute_capability)
