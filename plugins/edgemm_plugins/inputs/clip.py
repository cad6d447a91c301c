"""A camera's frames as clips: the newest of them, every so many, as networks of video and gestures read them.

How a frame is made the model's size is `image`'s. It knows nothing of codecs: frames come as sources deliver them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from edgemm.errors import InputError
from edgemm.inputs.kind import CAMERA_PERIOD_MS, Feed, InputKind, Tensors, check_choice, check_positive, not_this
from edgemm.inputs.windows import Ring
from edgemm.tensors import BATCH, TensorSpec
from edgemm_plugins.inputs.image import FITS, Image


@dataclass(frozen=True)
class Clip(InputKind):
    """The newest frames of a camera, of any size, made this one's; oldest first.

    Attributes:
        frames: how many a clip has.
        height, width, fit: of each frame, as `edgemm.Image` has them.
        stride: every so many of the camera's frames one is taken.
        hop: taken frames between two clips.
        gap_ms: a longer time between two frames starts a new clip: no clip spans an interruption.
    """

    kind: ClassVar[str] = "clip"
    live_packets: ClassVar[int] = 16  # a frame that is dropped is missing in several clips
    frames: int
    height: int
    width: int
    stride: int = 1
    hop: int = 1
    fit: str = "crop"
    gap_ms: int = 1000

    def __post_init__(self) -> None:
        check_positive(self, "frames", "height", "width", "stride", "hop", "gap_ms")
        check_choice(self, "fit", FITS)

    @property
    def modality(self) -> str:
        """What any camera delivers."""
        return Image.kind

    @cached_property
    def image(self) -> Image:
        """How one frame is made the model's size."""
        return Image(self.height, self.width, self.fit)

    @property
    def span(self) -> int:
        """The camera's frames from a clip's first to its last."""
        return (self.frames - 1) * self.stride + 1

    @property
    def period_ms(self) -> float:
        """A clip per hop of taken frames, from a camera of the usual rate."""
        return CAMERA_PERIOD_MS * self.stride * self.hop

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """uint8 `(batch, frames, height, width, 3)`, RGB."""
        return (TensorSpec("clip", "uint8", (BATCH, self.frames, self.height, self.width, 3)),)

    def convert(self, raw: Any) -> Tensors:
        """A clip of exactly `frames` frames as it is, or the newest clip of a longer piece of video, of which every `stride`-th is taken.

        Args:
            raw: frames uint8, oldest first: `(n, height, width, 3)`, grey `(n, height, width)`, or a list of frames.

        Raises:
            InputError: for another type, dtype or number of axes, or too few frames.
        """
        if not isinstance(raw, (np.ndarray, list, tuple)) or (isinstance(raw, np.ndarray) and raw.ndim < 3):
            raise not_this("frames as a numpy array, uint8 (n, height, width, 3), or a list of frames", raw)
        count = len(raw)
        if count != self.frames and count < self.span:
            raise InputError(
                f"expected a clip of {self.frames} frames, or at least {self.span} to take every {self.stride}. of; got {count}"
            )
        taken: Any = raw if count == self.frames else raw[count - self.span :: self.stride]
        if isinstance(taken, np.ndarray) and taken.dtype == np.uint8 and taken.shape[1:] == self.tensors[0].shape[2:]:
            return (np.ascontiguousarray(taken)[np.newaxis],)
        return (np.stack([self.image.fitted(frame) for frame in taken])[np.newaxis],)

    def open_feed(self) -> Feed:
        """Frame by frame to clips; nothing until one is whole."""
        return _Clips(self)

    def draw(self, count: int, generator: np.random.Generator) -> Tensors:
        """Noise that drifts: each frame is the one before, moved by a row."""
        still = generator.integers(0, 256, (count, self.height, self.width, 3), dtype=np.uint8)
        return (np.stack([np.roll(still, step, axis=1) for step in range(self.frames)], axis=1),)

    def example(self, generator: np.random.Generator) -> Any:
        """A frame as a usual camera has it."""
        return self.image.example(generator)

    def prepared(self, *tensors: Any) -> Any:
        """uint8 `(B, T, H, W, 3)` to float `(B, 3, T, H, W)` in [0, 1], as networks of video take it."""
        return tensors[0].float().permute(0, 4, 1, 2, 3) * (1 / 255)

    def describe(self) -> str:
        """One line for people."""
        taken = f", one of {self.stride}" if self.stride > 1 else ""
        return f"{self.frames} frames{taken}, {self.image.describe()}; every {self.hop}"


class _Clips(Feed):
    """Takes every `stride`-th frame into a ring, and gives the ring when it is full and then after every hop.

    A clip is as old as its newest frame.
    """

    borrowed = True

    def __init__(self, clip: Clip) -> None:
        super().__init__(clip)
        self._clip = clip
        self._gap_ns = clip.gap_ms * 1_000_000
        self._ring = Ring(clip.frames, (clip.height, clip.width, 3), np.uint8)
        self.reset()

    def reset(self) -> None:
        """Forget every frame."""
        self._ring.clear()
        self._until_taken = 1
        self._newest_ns: int | None = None

    def push(self, raw: Any, captured_ns: int) -> Iterable[tuple[Tensors, int]]:
        """Take a frame; (clip `(1, frames, height, width, 3)`, its capture time) if it completes one.

        The clip is a view: it is overwritten by later frames.

        Raises:
            InputError: it is no frame.
        """
        clip, ring = self._clip, self._ring
        frame = clip.image.checked(raw)  # also one that is not taken: what is no frame is told, wherever it comes
        if self._newest_ns is not None and not 0 <= captured_ns - self._newest_ns <= self._gap_ns:
            self.reset()
        self._newest_ns = captured_ns
        self._until_taken -= 1
        if self._until_taken:
            return ()
        self._until_taken = clip.stride
        window = ring.append(clip.image.fitted(frame))
        since_full = ring.written - clip.frames
        return (((window,), captured_ns),) if since_full >= 0 and since_full % clip.hop == 0 else ()
