"""A whole plugin: clips of eight frames of any camera."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import edgemm
from edgemm.inputs.kind import Feed, not_this
from edgemm.inputs.windows import Ring
from edgemm.tensors import TensorSpec

FRAMES = 8


@edgemm.hookimpl
def edgemm_inputs():
    yield edgemm.InputEntry("eight_frames", "eight_frames:EightFrames", "the newest eight frames of a camera")


@dataclass(frozen=True)
class EightFrames(edgemm.InputKind):
    """Frames uint8 `(size, size, 3)`; one call takes eight of them."""

    kind: ClassVar[str] = "eight_frames"
    size: int

    @property
    def modality(self):
        return "image"

    @property
    def tensors(self):
        return (TensorSpec("frames", "uint8", ("batch", FRAMES, self.size, self.size, 3)),)

    def frame(self, raw, *axes):
        if not isinstance(raw, np.ndarray) or raw.dtype != np.uint8 or raw.shape != (*axes, self.size, self.size, 3):
            raise not_this(f"uint8 {[*axes, self.size, self.size, 3]}", raw)
        return raw

    def convert(self, raw):
        return (self.frame(raw, FRAMES)[np.newaxis],)

    def open_feed(self):
        return Frames(self)

    def example(self, generator):
        return self.draw(1, generator)[0][0, 0]

    def prepared(self, *tensors):
        return tensors[0].float() * (1 / 255)


class Frames(Feed):
    borrowed = True

    def __init__(self, kind):
        super().__init__(kind)
        self.frame, self.ring = kind.frame, Ring(FRAMES, (kind.size, kind.size, 3), np.uint8)

    def push(self, raw, captured_ns):
        clip = self.ring.append(self.frame(raw))
        return (((clip,), captured_ns),) if self.ring.written >= FRAMES else ()

    def reset(self):
        self.ring.clear()
