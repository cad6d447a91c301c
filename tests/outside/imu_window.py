"""A whole plugin: an inertial sensor in windows of its own, at its own default rate."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import edgemm
from edgemm.inputs.kind import check_positive, not_this
from edgemm.inputs.windows import SlidingWindow
from edgemm.tensors import TensorSpec


@edgemm.hookimpl
def edgemm_inputs():
    yield edgemm.InputEntry(
        "imu_window", "imu_window:ImuWindow", "acceleration and rotation, 416 Hz unless told otherwise"
    )


@dataclass(frozen=True)
class ImuWindow(edgemm.InputKind):
    """Samples `(6,)` or blocks `(n, 6)`, float32."""

    kind: ClassVar[str] = "imu_window"
    live_packets: ClassVar[int] = 500
    rate_hz: int = 416
    samples: int = 104
    hop: int = 26

    def __post_init__(self):
        check_positive(self, "rate_hz", "samples", "hop")

    @property
    def tensors(self):
        return (TensorSpec("imu", "float32", ("batch", self.samples, 6)),)

    def block(self, raw):
        if not isinstance(raw, np.ndarray) or raw.dtype != np.float32 or raw.shape[-1:] != (6,) or raw.ndim > 2:
            raise not_this("float32 (6,) or (n, 6)", raw)
        return np.atleast_2d(raw)

    def convert(self, raw):
        block = self.block(raw)
        if len(block) < self.samples:
            raise not_this(f"float32 ({self.samples}, 6)", raw)
        return (np.ascontiguousarray(block[-self.samples :])[np.newaxis],)

    def open_feed(self):
        return SlidingWindow(
            self, self.block, size=self.samples, hop=self.hop, rate_hz=self.rate_hz, row=(6,), first=self.samples
        )

    def example(self, generator):
        return self.draw(1, generator)[0][0, : self.hop]
