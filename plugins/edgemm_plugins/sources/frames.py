"""Decoded pictures to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def rgb_from_frame(frame: VideoFrame) -> np.ndarray:
    """uint8 RGB `(H, W, 3)`, C-contiguous, owned by the caller, upright as a player would show it."""
    array = frame.to_ndarray(format="rgb24")
    quarter_turns = round(getattr(frame, "rotation", 0) / 90) % 4  # counter-clockwise, as np.rot90's
    return np.ascontiguousarray(np.rot90(array, quarter_turns) if quarter_turns else array)
