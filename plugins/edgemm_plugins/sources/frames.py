"""Decoded pictures to arrays, and how large they may be.

Source: FFmpeg's option `max_pixels`, https://ffmpeg.org/ffmpeg-codecs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgemm.limits import PICTURE_PIXELS

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

LIMITS = {"max_pixels": str(PICTURE_PIXELS)}
"""Options of decoders."""


def opening(options: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """How `av.open` is told FFmpeg's options, so that it decodes nothing larger either when it looks what a stream is.

    PyAV before 18 tells streams nothing: it frees what it did not allocate, and crashes, where streams appear while it looks (FLV, MPEG-TS).
    """
    import av

    if int(av.__version__.partition(".")[0]) < 18:
        return {"container_options": dict(options)}
    return {"options": {**options, **LIMITS}}


def limit_pictures(stream: VideoStream) -> None:
    """Make a stream's decoder refuse what is larger, before it allocates anything for it; to be asked before it decodes."""
    if stream.codec_context is not None:  # as of a stream that nothing here decodes
        stream.codec_context.options = {**stream.codec_context.options, **LIMITS}


def rgb_from_frame(frame: VideoFrame) -> np.ndarray:
    """uint8 RGB `(H, W, 3)`, C-contiguous, owned by the caller, upright as a player would show it."""
    array = frame.to_ndarray(format="rgb24")
    quarter_turns = round(getattr(frame, "rotation", 0) / 90) % 4  # counter-clockwise, as np.rot90's
    return np.ascontiguousarray(np.rot90(array, quarter_turns) if quarter_turns else array)
