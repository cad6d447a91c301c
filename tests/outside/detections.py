"""A whole plugin: an output of boxes with likelihoods, of which the likely ones are told."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import edgemm


@edgemm.hookimpl
def edgemm_outputs():
    yield edgemm.OutputEntry("detections", "detections:Detections", "boxes that are likely enough")


@dataclass(frozen=True)
class Detections(edgemm.OutputKind):
    """`corners` `(batch, N, 4)` and `likelihood` `(batch, N)`, read as a list of (corners, likelihood)."""

    kind: ClassVar[str] = "detections"
    tensors: ClassVar[tuple[str, ...]] = ("corners", "likelihood")
    threshold: float = 0.5

    def check(self, specs):
        fits = len(specs["corners"].shape) == 3 and specs["corners"].shape[:2] == specs["likelihood"].shape
        return "" if fits else "there must be a likelihood for each box"

    def read(self, tensors):
        pairs = zip(tensors["corners"].tolist(), tensors["likelihood"].tolist(), strict=True)
        return [(corners, likelihood) for corners, likelihood in pairs if likelihood >= self.threshold]

    def show(self, value):
        return f"{len(value)} found"

    def to_json(self, value):
        return [[*corners, likelihood] for corners, likelihood in value]

    def agreement(self, reference, other):
        kept = [tensors["likelihood"] >= self.threshold for tensors in (reference, other)]
        return np.asarray((kept[0] == kept[1]).mean(axis=1) > 0.8)
